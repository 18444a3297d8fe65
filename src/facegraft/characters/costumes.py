"""Costumes: the body below a neckline, swollen a little, so that skin can never poke through."""

from __future__ import annotations

import numpy as np

NECK_AXIS_Z = 0.25
"""The neck's axis passes here, decimetres."""

NECKLINES = {
    "crew": (5.72, 6.02),
    "vneck": (5.05, 6.02),
    "turtleneck": (6.1, 6.45),
    "yoke": (5.85, 6.2),
}
"""Height of the neckline in front and behind, decimetres."""


def costume_depth(rest: np.ndarray, style: str) -> np.ndarray:
    """How far each vertex lies below the neckline, float32 (V,), decimetres; < 0 is skin."""
    front, back = NECKLINES[style]
    azimuth = np.arctan2(rest[:, 0], rest[:, 2] - NECK_AXIS_Z)
    round_neck = (1 - np.cos(azimuth)) / 2
    share = np.clip(np.abs(azimuth) / 1.1, 0, 1) if style == "vneck" else round_neck
    return (front + (back - front) * share - rest[:, 1]).astype(np.float32)
