"""Face paint and scars, drawn on the rest mesh so that they move with the skin."""

from __future__ import annotations

import torch

from facegraft.characters.tones import smoothstep

FACE_PAINTS = ("none", "bars", "band", "half", "tears")
SCARS = ("none", "brow", "cheek", "lip")

_LINES = {
    "brow": ((0.27, 7.66), (0.40, 7.02)),
    "cheek": ((0.58, 7.06), (0.26, 6.74)),
    "lip": ((-0.10, 6.86), (-0.19, 6.46)),
}
"""Ends of each scar on the face, decimetres (x, y)."""


def paint_opacity(style: str, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Opacity (N,) of face paint at rest positions x, y, z, each (N,)."""
    side = x.abs()
    face = smoothstep(0.55, 0.7, z)
    if style == "bars":
        upper, lower = (y - 7.03 + 0.12 * (side - 0.4)).abs(), (y - 6.9 + 0.12 * (side - 0.4)).abs()
        stripe = 1 - smoothstep(0.03, 0.045, torch.minimum(upper, lower))
        return stripe * smoothstep(0.2, 0.23, side) * (1 - smoothstep(0.62, 0.68, side)) * face
    if style == "band":
        return (1 - smoothstep(0.13, 0.16, (y - 7.29).abs())) * face
    if style == "half":
        return smoothstep(-0.01, 0.01, x) * face
    if style == "tears":
        streak = 1 - smoothstep(0.03, 0.05, (side - 0.3).abs())
        return streak * smoothstep(6.62, 6.72, y) * (1 - smoothstep(7.2, 7.24, y)) * face
    return torch.zeros_like(x)


def scar_opacity(style: str, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Opacity (N,) of a scar at rest positions x, y, z, each (N,)."""
    if style == "none":
        return torch.zeros_like(x)
    (ax, ay), (bx, by) = _LINES[style]
    length = (bx - ax) ** 2 + (by - ay) ** 2
    along = (((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length).clamp(0, 1)
    wobble = 0.008 * (along * 22).sin()
    gap_x, gap_y = x - ax - along * (bx - ax) + wobble, y - ay - along * (by - ay)
    width = 0.007 + 0.012 * along * (1 - along) * 4
    near = 1 - (gap_x * gap_x + gap_y * gap_y).sqrt() / width
    return smoothstep(0.0, 0.5, near) * (z > 0.7)
