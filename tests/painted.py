"""A grid whose last points are outlines of brows and irises, where a test knows them to lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from facegraft.dataset import Grid
from facegraft.strokes import BROW_STEPS, STROKES
from tests import tiny


def outlines() -> torch.Tensor:
    """Two level brows, 0.1 thick, from 0.2 to 0.6 beside the middle; two irises of radius 0.1."""
    x = torch.linspace(0.2, 0.6, BROW_STEPS)
    brows = [
        torch.stack([side * x, torch.full_like(x, height)], dim=1)
        for side in (-1, 1)
        for height in (-0.3, -0.4)
    ]
    iris = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.0, -0.1]])
    irises = [iris + torch.tensor([side * 0.4, 0.0]) for side in (-1, 1)]
    return torch.cat([*brows, *irises])[None]


def painted_faces() -> Grid:
    """A grid whose last points are outlines."""
    grid = tiny.faces()
    cells = grid.anchors.shape[:2]
    shown = np.concatenate([outlines()[0].numpy(), np.ones((STROKES, 1))], axis=1)
    strokes = np.broadcast_to(shown, (*cells, STROKES, 3))
    anchors = np.concatenate([grid.anchors, strokes], axis=2).astype(np.float16)
    return replace(grid, anchors=anchors, strokes=STROKES, anchor_set="test")
