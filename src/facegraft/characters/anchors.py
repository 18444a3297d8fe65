"""Surface points whose place in the picture is known: exact correspondence between renders.

Two renders under one attribute set differ by how each surface point has moved; a decoder that
bends pixels can be taught that motion directly.
"""

from __future__ import annotations

import numpy as np

from facegraft.characters.hair import SHEET_VERTICES

SKIN_ANCHORS = 480
SHEET_STRIDE = 24
"""Every so many vertices of the hair sheet is an anchor."""

FEATURE_DENSITY = 2.0
"""Anchors lie this much closer together around eyes, nose and mouth."""

TOLERANCE = 0.04
"""Decimetres that an anchor may lie behind what its pixel shows and still count as visible."""


def choose_anchors(rest: np.ndarray, showing: np.ndarray) -> np.ndarray:
    """Spread anchors over the head's front and sides, the ears and the hair sheet.

    Args:
        rest: (V, 3), the mean head's vertices in decimetres.
        showing: bool (V,), vertices that a frontal view shows.

    Returns:
        int64 (K,), vertices of the whole mesh (the hair sheet follows the V body vertices).
    """
    x, y, z = rest.T
    near = np.flatnonzero(showing & (y > 5.9) & (z > -0.3) & (np.abs(x) < 1.1))
    features = (np.abs(x) < 0.6) & (y > 6.4) & (y < 7.55) & (z > 0.9)
    stretched = rest * np.where(features, FEATURE_DENSITY, 1.0)[:, None]
    skin = near[_farthest(stretched[near], SKIN_ANCHORS)]
    sheet = len(rest) + np.arange(0, SHEET_VERTICES, SHEET_STRIDE)
    return np.concatenate([np.sort(skin), sheet]).astype(np.int64)


def _farthest(points: np.ndarray, count: int) -> np.ndarray:
    """Farthest-point sampling (Gonzalez 1985) from the first point: int64 (count,)."""
    gap = np.full(len(points), np.inf)
    chosen = [0]
    for _ in range(count - 1):
        gap = np.minimum(gap, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(gap.argmax()))
    return np.array(chosen)


def place_anchors(
    screen: np.ndarray, distance: np.ndarray, depth: np.ndarray, size: int
) -> np.ndarray:
    """Where the anchors lie in the picture and whether it shows them.

    Args:
        screen: (K, 2), pixels, x right and y down.
        distance: (K,), decimetres from the camera.
        depth: (size, size), what each pixel shows, decimetres, infinite on the background.
        size: width and height in pixels.

    Returns:
        float32 (K, 3): x and y in [-1, 1] over the picture (outside of it beyond), then 1 where
        visible, else 0.
    """
    inside = (screen >= 0).all(axis=1) & (screen < size).all(axis=1)
    column, row = np.clip(screen.astype(np.int64), 0, size - 1).T
    seen = inside & (distance < depth[row, column] + TOLERANCE)
    return np.column_stack([screen * (2.0 / size) - 1.0, seen]).astype(np.float32)
