"""Three-point lighting: ambient from above, a key, a fill opposite to it, and a rim."""

from __future__ import annotations

import math

import torch

from facegraft.characters.attributes import Attributes
from facegraft.characters.materials import Finish

EXPOSURE = 1.35


def light(
    attributes: Attributes,
    finish: Finish,
    normal: torch.Tensor,
    open_sky: torch.Tensor | float,
    strands: bool,
) -> torch.Tensor:
    """Light N pixels of one material.

    Args:
        finish: how the material answers to light.
        normal: float32 (3, N), unit length, towards the camera.
        open_sky: share of ambient light that arrives, in [0, 1].
        strands: the highlight runs across strands of hair.

    Returns:
        Linear RGB float32 (3, N) in [0, 1), highlights rolled off.
    """
    _, ny, nz = normal
    key = _direction(attributes.light_azimuth, attributes.light_elevation)
    fill = _direction(-0.7 * attributes.light_azimuth - 20, 10)
    facing = _along(key, normal)
    from_fill = _along(fill, normal).clamp_min_(0)
    edge = (1 - nz).clamp_(0, 1)
    shaded = 0.32 + 0.68 * open_sky
    even = (ny * 0.2 + 0.9).mul_(attributes.ambient)
    even.add_(edge * edge * edge, alpha=0.6 * attributes.rim).mul_(open_sky)
    even.addcmul_(from_fill, torch.as_tensor(shaded), value=0.6 * attributes.fill)
    glint = _highlight(key, normal, finish.gloss, strands)
    glint.mul_((3 * facing).clamp_(0, 1)).mul_(finish.shine).mul_(shaded)
    glint.mul_(0.9 * attributes.key)
    lit = torch.empty_like(normal)
    tints = (1 + 0.12 * attributes.warmth, 1.0, 1 - 0.16 * attributes.warmth)
    # Red light travels furthest under the skin: the terminator is soft and warm.
    for channel, (tint, reach) in enumerate(zip(tints, (1.25, 0.75, 0.6), strict=True)):
        bleed = reach * finish.soft
        strength = 1.1 * attributes.key * tint / (1 + bleed)
        diffuse = (facing * strength).add_(strength * bleed).clamp_min_(0)
        diffuse.mul_(shaded).add_(even).mul_(finish.albedo[channel]).add_(glint)
        # A shoulder instead of a clip, so that pale skin keeps its modelling.
        torch.expm1(diffuse.mul_(-EXPOSURE), out=lit[channel])
    return lit.neg_()


def _along(direction: tuple[float, float, float], normal: torch.Tensor) -> torch.Tensor:
    """Cosine (N,) between a direction and unit normals (3, N)."""
    total = normal[0] * direction[0]
    return total.add_(normal[1], alpha=direction[1]).add_(normal[2], alpha=direction[2])


def _direction(azimuth: float, elevation: float) -> tuple[float, float, float]:
    a, e = math.radians(azimuth), math.radians(elevation)
    return math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)


def _highlight(
    key: tuple[float, float, float], normal: torch.Tensor, gloss: float, strands: bool
) -> torch.Tensor:
    """Blinn's half-way lobe; on hair the lobe across strands that run down the head."""
    length = math.sqrt(key[0] ** 2 + key[1] ** 2 + (key[2] + 1) ** 2)
    half = (key[0] / length, key[1] / length, (key[2] + 1) / length)
    if not strands:
        return _along(half, normal).clamp_min_(0).pow_(gloss)
    # Strands run down the surface: gravity without its part along the normal.
    nx, ny, nz = normal
    tx, ty, tz = -nx * ny, 1 - ny * ny, -nz * ny
    steep = (tx * tx + ty * ty + tz * tz).clamp_min_(1e-6).sqrt_()
    along = (tx * half[0] + ty * half[1] + tz * half[2]) / steep
    return (1 - along * along).clamp_min_(0).pow_(gloss / 2)
