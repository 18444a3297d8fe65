"""Painted outlines: brows and irises, which lie on the skin or the eyeball but do not move with it.

A surface point stays what it is when identity is exchanged; a brow becomes thicker and an iris
another colour on the same skin. So their outlines are points of their own, the last `STROKES` of a
picture's points, and they are drawn as coverage: where the paint lies in a picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

BROW_STEPS = 5
"""Places along a brow, from the nose outwards, at which its lower and its upper edge are known."""

BROW_POINTS = 2 * 2 * BROW_STEPS
"""Both brows, left as seen in the picture first; of each its lower edge, then its upper one."""

IRIS_POINTS = 2 * 3
"""Both irises, left first: the middle, the rim towards the right, the rim upwards."""

STROKES = BROW_POINTS + IRIS_POINTS

KINDS = 2
"""Channels of `coverage`: brows, irises."""

SOFT = 0.75
"""Pixels over which an edge fades."""


def coverage(points: Tensor, side: int) -> Tensor:
    """Where the paint lies.

    Args:
        points: (B, STROKES, 2), x and y in [-1, 1] over the picture.
        side: pixels of the picture.

    Returns:
        (B, KINDS, side, side) in [0, 1].
    """
    ticks = (torch.arange(side, device=points.device) + 0.5) * 2 / side - 1
    spots = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), dim=-1).view(-1, 2)  # (N, 2)
    brows, irises = points.split((BROW_POINTS, IRIS_POINTS), dim=1)
    scale = side / (2 * SOFT)
    kinds = [
        torch.sigmoid(scale * depth(spots, shape)).amax(dim=1).view(-1, side, side)
        for depth, shape in (
            (_within_brow, brows.unflatten(1, (2, 2, BROW_STEPS))),
            (_within_iris, irises.unflatten(1, (2, 3))),
        )
    ]
    return torch.stack(kinds, dim=1)


def _within_brow(spots: Tensor, edges: Tensor) -> Tensor:
    """How far spots (N, 2) lie inside of brows (B, 2, 2, BROW_STEPS, 2), in halves of the side.

    A brow is a chain of capsules about its middle line. Returns (B, 2, N).
    """
    middle = edges.mean(dim=2)  # (B, 2, STEPS, 2)
    half = torch.linalg.vector_norm(edges[:, :, 1] - edges[:, :, 0] + 1e-6, dim=-1) / 2
    start, stretch = middle[:, :, :-1, None], middle.diff(dim=2)[:, :, :, None]  # (B, 2, 4, 1, 2)
    length = stretch.square().sum(dim=-1) + 1e-6
    along = (((spots - start) * stretch).sum(dim=-1) / length).clamp(0.0, 1.0)  # (B, 2, 4, N)
    away = torch.linalg.vector_norm(spots - start - along[..., None] * stretch + 1e-6, dim=-1)
    thick = half[:, :, :-1, None] + along * half.diff(dim=2)[..., None]
    return (thick - away).amax(dim=2)


def _within_iris(spots: Tensor, irises: Tensor) -> Tensor:
    """How far spots (N, 2) lie inside of irises (B, 2, 3, 2), in halves of the side: (B, 2, N).

    Middle and rims are an ellipse: a circle on an eyeball that looks anywhere. No ellipse reaches
    farther than its two radii together; without that one of no width would be an endless line.
    """
    middle = irises[:, :, :1]  # (B, 2, 1, 2)
    across, up = (irises[:, :, 1:] - middle)[..., None, :].unbind(dim=2)  # (B, 2, 1, 2) each
    area = across[..., 0] * up[..., 1] - across[..., 1] * up[..., 0]
    area = torch.where(area.abs() < 1e-6, torch.full_like(area, 1e-6), area)
    off = spots - middle  # (B, 2, N, 2)
    u = (off[..., 0] * up[..., 1] - off[..., 1] * up[..., 0]) / area
    v = (across[..., 0] * off[..., 1] - across[..., 1] * off[..., 0]) / area
    within = (1.0 - torch.sqrt(u.square() + v.square() + 1e-6)) * torch.sqrt(area.abs())
    reach = torch.linalg.vector_norm(irises[:, :, 1:] - middle + 1e-6, dim=-1).sum(dim=2)
    return torch.minimum(within, reach[..., None] - torch.linalg.vector_norm(off + 1e-6, dim=-1))
