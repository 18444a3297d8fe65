"""Lays a hair style over a head: one sheet of a fixed grid, from the crown downwards."""

from __future__ import annotations

import numpy as np

from facegraft.characters.hairstyles import KNOTS, HairStyle
from facegraft.characters.skull import AZIMUTHS, CENTRE, COLUMNS, ELEVATIONS, directions

STEPS = 28
"""Rows of the sheet from crown to tip."""

SHEET_VERTICES = STEPS * COLUMNS


def sheet_triangles() -> np.ndarray:
    """Triangles of the sheet, int64 (T, 3), counter-clockwise from outside."""
    grid = np.arange(SHEET_VERTICES).reshape(STEPS, COLUMNS)
    a, b = grid[:-1, :-1].ravel(), grid[:-1, 1:].ravel()
    c, d = grid[1:, :-1].ravel(), grid[1:, 1:].ravel()
    return np.concatenate([np.stack([a, c, d], axis=1), np.stack([a, d, b], axis=1)])


def sheet_coordinates() -> np.ndarray:
    """(azimuth, place from crown 0 to tip 1, 0) of each vertex, float32 (N, 3)."""
    place, azimuth = np.meshgrid(np.linspace(0, 1, STEPS), AZIMUTHS, indexing="ij")
    return (
        np.stack([azimuth, place, np.zeros_like(place)], axis=-1).reshape(-1, 3).astype(np.float32)
    )


def hairline(style: HairStyle, azimuth: np.ndarray) -> np.ndarray:
    """Elevation of the hair's edge in radians at each azimuth (radians)."""
    return np.radians(np.interp(np.abs(np.degrees(azimuth)), KNOTS, style.edge))


def lay(style: HairStyle, volume: float, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape the sheet.

    Args:
        style: a style that is not painted.
        volume: in [0, 1], scales the thickness from 0.7 to 1.3.
        radius: float32 (ROWS, COLUMNS), the skull along the directions of `skull`.

    Returns:
        vertices float32 (N, 3), and how far each follows the head's rotation, float32 (N,).
    """
    azimuth = AZIMUTHS
    edge = hairline(style, azimuth)
    fall = np.interp(np.abs(np.degrees(azimuth)), KNOTS, style.fall)
    clump = np.cos(azimuth * style.clumps + 1.7 * np.sin(3 * azimuth))
    has_tip = fall > 0.01
    fall = np.where(has_tip, np.maximum(fall + style.tips * clump, 0.02), 0.0)
    edge = edge + np.where(has_tip, 0.0, style.tips * clump * 0.6)
    skull_length = (np.pi / 2 - edge) * 1.05
    total = skull_length + fall
    place = np.linspace(0, 1, STEPS)[:, None]
    travelled = place * total
    elevation = np.maximum(np.pi / 2 - travelled / 1.05, edge)
    hang = np.maximum(travelled - skull_length, 0)
    ground = _radius_at(radius, elevation)
    height = style.thickness * (0.7 + 0.6 * volume) * _relief(style, azimuth, elevation, clump)
    tuck = np.clip((1 - place) * 9, 0, 1) ** 0.5
    left = np.where(has_tip | (not style.closed), 1.0, tuck)
    height = height * left + _crest(style, azimuth, elevation, ground, volume)
    height = height + 0.03 * left - 0.06 * (1 - left)
    height = height + hang * style.flare
    points = (
        CENTRE
        + directions(np.broadcast_to(azimuth, elevation.shape), elevation)
        * (ground + height)[..., None]
    )
    points[..., 1] -= hang
    sway = style.wave * np.sin(hang * 9 + azimuth * 5) * np.clip(hang * 2, 0, 1)
    points[..., 0] += sway * np.cos(azimuth)
    points[..., 2] -= sway * np.sin(azimuth) + 0.12 * hang * (np.abs(azimuth) < 1.4)
    follows = 1 - 0.35 * np.clip(hang / 1.5, 0, 1)
    return points.reshape(-1, 3).astype(np.float32), follows.ravel().astype(np.float32)


def _radius_at(radius: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """The skull's radius at elevations (STEPS, COLUMNS), linear between grid rows."""
    step = float(ELEVATIONS[0] - ELEVATIONS[1])
    row = np.clip((ELEVATIONS[0] - elevation) / step, 0, len(ELEVATIONS) - 1.001)
    low = row.astype(np.int64)
    part = row - low
    column = np.arange(COLUMNS)[None, :]
    return radius[low, column] * (1 - part) + radius[low + 1, column] * part


def _relief(
    style: HairStyle, azimuth: np.ndarray, elevation: np.ndarray, clump: np.ndarray
) -> np.ndarray:
    """Thickness factor over the head: front, top and sides, with locks."""
    upward = np.clip(np.sin(elevation), 0, 1) ** 1.5
    front = (
        np.clip(np.cos(azimuth), 0, 1) ** 2 * (1 - upward) * np.clip(np.sin(elevation) * 3, 0, 1)
    )
    side = 1 - upward - front
    broad = style.top * upward + style.front * front + style.side * side
    return broad * (1 + style.clump_depth * clump * np.cos(elevation))


def _crest(
    style: HairStyle, azimuth: np.ndarray, elevation: np.ndarray, ground: np.ndarray, volume: float
) -> np.ndarray:
    """A ridge along the middle line."""
    if style.crest == 0:
        return np.zeros_like(ground)
    sideways = np.sin(azimuth) * np.cos(elevation) * ground
    along = np.clip((elevation + 0.5) * 2, 0, 1)
    return (
        style.crest * (0.7 + 0.6 * volume) * np.exp(-((sideways / style.crest_width) ** 2)) * along
    )
