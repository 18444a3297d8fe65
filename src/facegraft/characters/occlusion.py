"""Ambient occlusion of the rest head, baked once per machine: how much sky a vertex sees."""

from __future__ import annotations

import numpy as np
import torch

from facegraft.characters.raster import rasterise

DIRECTIONS = 64
RESOLUTION = 320
REACH = 3.2
"""Half width of each shadow picture, decimetres."""

BIAS = 0.03
"""A vertex this far behind what the picture shows still counts as lit, decimetres."""


def ambient_occlusion(
    vertices: np.ndarray, normals: np.ndarray, triangles: np.ndarray
) -> np.ndarray:
    """Share of the sky's light that reaches each vertex, float32 (V,) in [0, 1].

    Args:
        vertices, normals: float32 (V, 3); triangles: int64 (T, 3), what casts shadow.
    """
    centre = np.array([0.0, 6.9, 0.3])
    lit = np.zeros(len(vertices))
    total = np.full(len(vertices), 1e-6)
    both = np.ones(len(triangles), bool)
    for direction in _directions():
        right = np.cross([0.0, 1.0, 0.05], direction)
        right /= np.linalg.norm(right)
        up = np.cross(direction, right)
        offset = vertices - centre
        # Far away, so that perspective-correct depth is as good as linear.
        depth = 1000.0 - offset @ direction
        scale = RESOLUTION / (2 * REACH)
        screen = np.stack([offset @ right + REACH, REACH - offset @ up], axis=1) * scale
        seen = rasterise(screen, depth, triangles, both, RESOLUTION)
        picture = torch.full((RESOLUTION * RESOLUTION,), torch.inf)
        picture[seen.pixel] = seen.depth
        column, row = np.clip(screen.astype(np.int64), 0, RESOLUTION - 1).T
        front = picture.numpy()[row * RESOLUTION + column]
        weight = np.clip(normals @ direction, 0, 1) * (1.0 + 0.5 * direction[1])
        lit += weight * (depth < front + BIAS + 0.05 * (1 - weight))
        total += weight
    return (lit / total).astype(np.float32)


def _directions() -> np.ndarray:
    """Evenly spread unit vectors (DIRECTIONS, 3): a Fibonacci sphere."""
    k = np.arange(DIRECTIONS) + 0.5
    height = 1 - 2 * k / DIRECTIONS
    level = np.sqrt(1 - height**2)
    turn = np.pi * (1 + 5**0.5) * k
    return np.stack([np.cos(turn) * level, height, np.sin(turn) * level], axis=1)
