"""The skull as a radius by direction: what hair is laid upon."""

from __future__ import annotations

import numpy as np

CENTRE = np.array([0.0, 7.5, 0.3], np.float32)
"""Directions are seen from here, decimetres."""

COLUMNS = 73
"""Azimuths from -180 to 180 degrees; the first and the last coincide at the back."""

ROWS = 34
"""Elevations from 90 down to -75 degrees."""

ELEVATIONS = np.radians(np.linspace(90, -75, ROWS)).astype(np.float32)
AZIMUTHS = np.radians(np.linspace(-180, 180, COLUMNS)).astype(np.float32)
NEIGHBOURS = 5


def angles(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth (0 in front) and elevation of points (N, 3), radians."""
    offset = points - CENTRE
    length = np.maximum(np.linalg.norm(offset, axis=1), 1e-9)
    return (
        np.arctan2(offset[:, 0], offset[:, 2]),
        np.arcsin(np.clip(offset[:, 1] / length, -1, 1)),
    )


def directions(azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 3) of azimuth and elevation in radians."""
    level = np.cos(elevation)
    return np.stack([np.sin(azimuth) * level, np.sin(elevation), np.cos(azimuth) * level], axis=-1)


def skull_neighbours(rest: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each direction of the grid, the nearest usable vertices and their weights.

    Args:
        rest: float32 (V, 3); usable: bool (V,), skin that hair may lie on (no ears).

    Returns:
        index int64 (ROWS * COLUMNS, NEIGHBOURS) and weight float32 of the same shape.
    """
    candidates = np.flatnonzero(usable)
    offset = rest[candidates] - CENTRE
    offset = offset / np.linalg.norm(offset, axis=1, keepdims=True)
    elevation, azimuth = np.meshgrid(ELEVATIONS, AZIMUTHS, indexing="ij")
    wanted = directions(azimuth, elevation).reshape(-1, 3)
    nearness = wanted @ offset.T
    nearest = np.argpartition(-nearness, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    nearest = np.sort(nearest, axis=1)
    gap = np.arccos(np.clip(np.take_along_axis(nearness, nearest, axis=1), -1, 1))
    weight = 1 / (gap + 0.03) ** 2
    weight /= weight.sum(axis=1, keepdims=True)
    return candidates[nearest], weight.astype(np.float32)
