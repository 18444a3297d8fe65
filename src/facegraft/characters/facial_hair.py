"""Beards: skin of the lower face, coloured and swollen a little."""

from __future__ import annotations

import numpy as np

FACIAL_HAIR = ("none", "stubble", "moustache", "goatee", "full")
SWELL = {"none": 0.0, "stubble": 0.0, "moustache": 0.03, "goatee": 0.04, "full": 0.05}
"""How far the hair stands out, decimetres."""


def beard_depth(rest: np.ndarray, lips: np.ndarray, style: str) -> np.ndarray:
    """How far each vertex lies inside the beard's outline, float32 (V,), about decimetres.

    Args:
        rest: float32 (V, 3); lips: float32 (V,) in [0, 1].
        style: one of `FACIAL_HAIR`.
    """
    x, y, z = rest.T
    side = np.abs(x)
    cheek = np.interp(side, [0, 0.22, 0.45, 0.62, 0.8], [6.56, 6.60, 6.78, 6.95, 7.2]) - y
    jaw = y - (6.03 + np.maximum(1.35 - z, 0) * 0.53)
    full = np.minimum(np.minimum(cheek, jaw), z - 0.35)
    moustache = np.minimum(np.minimum(6.84 - y - 0.15 * side, y - 6.62), 0.32 - side)
    moustache = np.where(z > 1.2, moustache, -1.0)
    goatee = np.minimum(full, 0.2 - side)
    outline = {
        "none": np.full_like(y, -1.0),
        "stubble": np.maximum(full, moustache),
        "moustache": moustache,
        "goatee": np.maximum(goatee, moustache),
        "full": np.maximum(full, moustache),
    }[style]
    return (outline - 0.25 * np.clip(lips * 2, 0, 1)).astype(np.float32)
