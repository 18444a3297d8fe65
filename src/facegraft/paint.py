"""What colours brows and irises have: read where the paint is, not what lies beside it."""

from __future__ import annotations

import torch
from torch import Tensor

from facegraft.points import colours_at
from facegraft.strokes import BROW_POINTS, BROW_STEPS, IRIS_POINTS

FINE = 2
"""Pixels across that the colour of a brow or an iris is the mean of."""


def within_paint(outlines: Tensor) -> Tensor:
    """Places whose colour is the paint's, not that of what lies beside it.

    Args:
        outlines: (B, STROKES, 2), see `strokes`.

    Returns:
        (B, STROKES, 2): between a brow's edges; between an iris' pupil and its rim, on three sides.
    """
    edges = outlines[:, :BROW_POINTS].unflatten(1, (2, 2, BROW_STEPS))
    brows = edges.mean(dim=2, keepdim=True).lerp(edges, 0.4)
    middle, right, up = outlines[:, BROW_POINTS:].unflatten(1, (2, 3)).unbind(dim=2)
    rims = torch.stack([2 * middle - right, right, up], dim=2)
    irises = middle[:, :, None].lerp(rims, 0.7)
    return torch.cat([brows.flatten(1, 3), irises.flatten(1, 2)], dim=1)


def paint_colours(images: Tensor, outlines: Tensor) -> Tensor:
    """Colours (B, STROKES, 3) in [-1, 1] of images (B, 3, S, S) at `within_paint`."""
    return colours_at(images, within_paint(outlines), FINE)


def by_kind(strokes: Tensor) -> Tensor:
    """Means over brows and over irises: (B, STROKES, C) -> (B, KINDS, C)."""
    brows, irises = strokes.split((BROW_POINTS, IRIS_POINTS), dim=1)
    return torch.stack([brows.mean(dim=1), irises.mean(dim=1)], dim=1)


def by_stroke(kinds: Tensor) -> Tensor:
    """Every stroke point has what its kind has: (B, KINDS, C) -> (B, STROKES, C)."""
    counts = torch.tensor((BROW_POINTS, IRIS_POINTS), device=kinds.device)
    return kinds.repeat_interleave(counts, dim=1)
