"""Eyebrows, painted on the rest mesh so that they move with the skin."""

from __future__ import annotations

import math

import numpy as np
import torch

from facegraft.characters.identity import Identity
from facegraft.characters.tones import smoothstep

LOWEST, HIGHEST, FRONT = 7.36, 7.70, 0.75
"""No brow lies outside this band (y) or behind this depth (z), decimetres."""

OUTER = 0.57
"""Where a brow ends, decimetres from the middle of the face."""

HALF_OPAQUE = 0.7
"""Share of a brow's half width within which it is more than half opaque."""

MARGIN = 0.15
"""Longer than any edge of a triangle at the brows, decimetres."""


def near_brows(y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Whether a triangle with a corner at rest position y, z may show a brow, bool (N,)."""
    return (y > LOWEST - MARGIN) & (y < HIGHEST + MARGIN) & (z > FRONT - MARGIN)


def brow_opacity(
    identity: Identity, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor
) -> torch.Tensor:
    """Opacity (N,) in [0, 1] of the brows at rest positions x, y, z, each (N,)."""
    opacity = torch.zeros_like(y)
    near = torch.nonzero((y > LOWEST) & (y < HIGHEST) & (z > FRONT)).flatten()
    opacity[near] = _drawn(identity, x[near], y[near])
    return opacity


def brow_edges(identity: Identity, along: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where a brow is half opaque.

    Args:
        along: float (N,), from the inner end, 0, to the outer one, 1.

    Returns:
        The distance from the middle of the face, the lower and the upper edge, float64 (N,) each,
        rest positions in decimetres.
    """
    place = torch.from_numpy(along)
    inner = _inner(identity)
    middle, width = _curve(identity, place)
    half = HALF_OPAQUE * width
    edges = (inner + place * (OUTER - inner), middle - half, middle + half)
    x, lower, upper = (edge.numpy() for edge in edges)
    return x, lower, upper


def _inner(identity: Identity) -> float:
    return 0.13 + 0.05 * identity.brow_gap


def _curve(identity: Identity, along: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The height of a brow's middle line and its half width."""
    arch = 0.045 + 0.04 * identity.brow_arch
    middle = (
        7.50
        + 0.05 * identity.brow_tilt * (along - 0.4)
        + arch * (math.pi * (along * 1.05).clamp(0, 1)).sin()
        - 0.10 * (along - 0.65).clamp_min(0)
    )
    width = (0.038 + 0.022 * identity.brow_thickness) * (1.1 - 0.75 * along.clamp(0, 1) ** 1.5)
    return middle, width


def _drawn(identity: Identity, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    inner = _inner(identity)
    along = (x.abs() - inner) / (OUTER - inner)
    middle, width = _curve(identity, along)
    hairs = 0.07 * (x.abs() * 210 - (y - middle) * 120).sin()
    depth = 1 - (y - middle).abs() / width + hairs
    ends = smoothstep(-0.08, 0.08, along) * (1 - smoothstep(0.9, 1.04, along))
    return smoothstep(0.0, 0.6, depth) * ends
