"""Eyebrows, painted on the rest mesh so that they move with the skin."""

from __future__ import annotations

import math

import torch

from facegraft.characters.identity import Identity
from facegraft.characters.tones import smoothstep

LOWEST, HIGHEST, FRONT = 7.36, 7.70, 0.75
"""No brow lies outside this band (y) or behind this depth (z), decimetres."""


def brow_opacity(
    identity: Identity, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor
) -> torch.Tensor:
    """Opacity (N,) in [0, 1] of the brows at rest positions x, y, z, each (N,)."""
    opacity = torch.zeros_like(y)
    near = torch.nonzero((y > LOWEST) & (y < HIGHEST) & (z > FRONT)).flatten()
    opacity[near] = _drawn(identity, x[near], y[near])
    return opacity


def _drawn(identity: Identity, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    inner = 0.13 + 0.05 * identity.brow_gap
    along = (x.abs() - inner) / (0.57 - inner)
    arch = 0.045 + 0.04 * identity.brow_arch
    middle = (
        7.50
        + 0.05 * identity.brow_tilt * (along - 0.4)
        + arch * (math.pi * (along * 1.05).clamp(0, 1)).sin()
        - 0.10 * (along - 0.65).clamp_min(0)
    )
    width = (0.038 + 0.022 * identity.brow_thickness) * (1.1 - 0.75 * along.clamp(0, 1) ** 1.5)
    hairs = 0.07 * (x.abs() * 210 - (y - middle) * 120).sin()
    depth = 1 - (y - middle).abs() / width + hairs
    width = width * (0.4 + 0.6 * smoothstep(-0.1, 0.18, along))
    ends = smoothstep(-0.08, 0.08, along) * (1 - smoothstep(0.9, 1.04, along))
    return smoothstep(0.0, 0.6, depth) * ends
