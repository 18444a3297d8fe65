"""Three-point lighting: ambient from above, a key, a fill opposite to it, and a rim."""

from __future__ import annotations

import math

import torch

from facegraft.characters.attributes import Attributes

EXPOSURE = 1.35


def light(
    attributes: Attributes,
    albedo: torch.Tensor,
    normal: torch.Tensor,
    gloss: torch.Tensor,
    shine: torch.Tensor,
    soft: torch.Tensor,
    open_sky: torch.Tensor,
    hair: slice,
) -> torch.Tensor:
    """Light N pixels.

    Args:
        albedo: float32 (3, N), linear; normal: float32 (3, N), unit length, towards the camera.
        gloss, shine, soft: float32 (N,), see `materials.Finish`.
        open_sky: float32 (N,), share of ambient light that arrives.
        hair: the pixels whose highlight runs across strands.

    Returns:
        Linear RGB float32 (3, N) in [0, 1), highlights rolled off.
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
    diffuse = ((facing + bleed) / (1 + bleed)).clamp_min_(0)
    from_fill = (nx * fill[0] + ny * fill[1] + nz * fill[2]).clamp_min_(0)
    edge = (1 - nz).clamp(0, 1) ** 3
    shaded = 0.45 + 0.55 * open_sky
    even = (
        attributes.ambient * open_sky * (0.9 + 0.2 * ny)
        + (0.6 * attributes.fill) * from_fill * shaded
        + (0.6 * attributes.rim) * edge * open_sky
    )
    lit = albedo * (diffuse * shaded * (1.1 * key_colour)[:, None] + even)
    glint = _highlight(key, normal, gloss, hair) * shine * (3 * facing).clamp_(0, 1)
    lit += glint * shaded * (0.9 * attributes.key)
    # A shoulder instead of a clip, so that pale skin keeps its modelling.
    return 1 - torch.exp(-EXPOSURE * lit)


def _direction(azimuth: float, elevation: float) -> tuple[float, float, float]:
    a, e = math.radians(azimuth), math.radians(elevation)
    return math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)


def _highlight(
    key: tuple[float, float, float], normal: torch.Tensor, gloss: torch.Tensor, hair: slice
) -> torch.Tensor:
    """Blinn's half-way lobe; on hair the lobe across strands that run down the head."""
    half = torch.tensor([key[0], key[1], key[2] + 1])
    half = half / half.norm()
    nx, ny, nz = normal
    cosine = (nx * half[0] + ny * half[1] + nz * half[2]).clamp_min_(0)
    # Strands run down the surface: gravity without its part along the normal.
    nx, ny, nz = nx[hair], ny[hair], nz[hair]
    tx, ty, tz = -nx * ny, 1 - ny * ny, -nz * ny
    length = (tx * tx + ty * ty + tz * tz).clamp_min(1e-6).sqrt()
    along = (tx * half[0] + ty * half[1] + tz * half[2]) / length
    cosine[hair] = (1 - along * along).clamp_min(0).sqrt()
    return cosine.pow(gloss)
