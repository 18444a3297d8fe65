"""Three-point lighting: ambient from above, a key, a fill opposite to it, and a rim."""

from __future__ import annotations

import math

import torch

from facegraft.characters.attributes import Attributes


def light(
    attributes: Attributes,
    albedo: torch.Tensor,
    normal: torch.Tensor,
    gloss: torch.Tensor,
    shine: torch.Tensor,
    soft: torch.Tensor,
    hair: torch.Tensor,
) -> torch.Tensor:
    """Light N pixels.

    Args:
        albedo: float32 (3, N), linear; normal: float32 (3, N), unit length, towards the camera.
        gloss, shine, soft: float32 (N,), see `materials.Finish`.
        hair: bool (N,), pixels whose highlight runs across strands.

    Returns:
        Linear RGB float32 (3, N), not yet clipped.
    """
    nx, ny, nz = normal
    key = _direction(attributes.light_azimuth, attributes.light_elevation)
    fill = _direction(-0.7 * attributes.light_azimuth - 20, 10)
    key_colour = (
        torch.tensor([1 + 0.12 * attributes.warmth, 1.0, 1 - 0.16 * attributes.warmth])
        * attributes.key
    )
    facing = nx * key[0] + ny * key[1] + nz * key[2]
    # Red light travels furthest under the skin: the terminator is soft and warm.
    bleed = torch.stack([1.25 * soft, 0.75 * soft, 0.6 * soft])
    diffuse = ((facing + bleed) / (1 + bleed)).clamp_min(0)
    from_fill = (nx * fill[0] + ny * fill[1] + nz * fill[2]).clamp_min(0)
    edge = (1 - nz.clamp(0, 1)) ** 3
    sky = attributes.ambient * (0.8 + 0.2 * ny)
    even = sky + attributes.fill * 0.6 * from_fill + 0.5 * attributes.rim * edge
    lit = albedo * (diffuse * (1.15 * key_colour)[:, None] + even)
    return lit + _highlight(key, normal, gloss, hair) * shine * (3 * facing).clamp(0, 1) * (
        0.9 * attributes.key
    )


def _direction(azimuth: float, elevation: float) -> tuple[float, float, float]:
    a, e = math.radians(azimuth), math.radians(elevation)
    return math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)


def _highlight(
    key: tuple[float, float, float], normal: torch.Tensor, gloss: torch.Tensor, hair: torch.Tensor
) -> torch.Tensor:
    """Blinn's half-way lobe; on hair the lobe across strands that run down the head."""
    half = torch.tensor([key[0], key[1], key[2] + 1])
    half = half / half.norm()
    nx, ny, nz = normal
    cosine = nx * half[0] + ny * half[1] + nz * half[2]
    # Down the surface: gravity without its part along the normal.
    tx, ty, tz = -nx * ny, 1 - ny * ny, -nz * ny
    length = (tx * tx + ty * ty + tz * tz).clamp_min(1e-6).sqrt()
    along = (tx * half[0] + ty * half[1] + tz * half[2]) / length
    across = (1 - along * along).clamp_min(0).sqrt()
    return torch.where(hair, across, cosine.clamp_min(0)).pow(gloss)
