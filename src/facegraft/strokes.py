"""Painted outlines: brows and irises, which lie on the skin or the eyeball but do not move with it.

A surface point stays what it is when identity is exchanged; a brow becomes thicker and an iris
another colour on the same skin. So their outlines are points of their own, the last `STROKES` of a
picture's points, and they are drawn as coverage: where the paint lies in a picture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BROW_ALONG = (0.0, 0.2425, 0.485, 0.7275, 0.97)
"""Where along a brow its lower and its upper edge are known, from the nose outwards; its ends fade
out."""

BROW_STEPS = len(BROW_ALONG)

BROW_POINTS = 2 * 2 * BROW_STEPS
"""Both brows, left as seen in the picture first; of each its lower edge, then its upper one."""

IRIS_POINTS = 2 * 3
"""Both irises, left first: the middle, the rim towards the right, the rim upwards."""

STROKES = BROW_POINTS + IRIS_POINTS

MEANING = f"brows at {BROW_ALONG}, lower then upper; irises: middle, right, up"
"""What the points are: a part of the name of every dataset's points. Change it with them."""

KINDS = 2
"""Channels of `coverage`: brows, irises."""

SOFT = 0.75
"""Pixels over which an edge fades."""

MARGIN = 6
"""Pixels about the outlines; what little they cover beyond, at most .002, is left out.

Paint takes up a small part of a picture: to look there alone is five times as fast.
"""


def coverage(points: Tensor, side: int) -> Tensor:
    """Where the paint lies.

    Args:
        points: (B, STROKES, 2), x and y in [-1, 1] over the picture.
        side: pixels of the picture.

    Returns:
        (B, KINDS, side, side) in [0, 1].
    """
    brows, irises = points.split((BROW_POINTS, IRIS_POINTS), dim=1)
    kinds = (
        _brows(brows.unflatten(1, (2, 2, BROW_STEPS)), side),
        _irises(irises.unflatten(1, (2, 3)), side),
    )
    return torch.stack(
        [
            F.pad(torch.sigmoid(depth * side / (2 * SOFT)).amax(dim=1), around)
            for depth, around in kinds
        ],
        dim=1,
    )


Window = tuple[Tensor, Tensor, tuple[int, int, int, int]]
"""x (W,) and y (H, 1) of its pixels, and how many lie left, right, above and below of it."""


def _window(low: Tensor, high: Tensor, side: int) -> Window:
    """The part of a picture that holds everything between corners (..., 2), and `MARGIN`."""
    first = ((low.detach().flatten(0, -2).amin(dim=0) + 1) * side / 2 - MARGIN).clamp(0, side)
    last = ((high.detach().flatten(0, -2).amax(dim=0) + 1) * side / 2 + MARGIN).clamp(0, side)
    corners = torch.nan_to_num(torch.cat([first.floor(), last.ceil()]))  # NaN stays in the depths
    left, top, right, bottom = corners.long().tolist()
    ticks = (torch.arange(side, device=low.device) + 0.5) * 2 / side - 1
    around = (left, side - right, top, side - bottom)
    return ticks[left:right], ticks[top:bottom, None], around


def _brows(edges: Tensor, side: int) -> tuple[Tensor, tuple[int, int, int, int]]:
    """How far pixels lie inside of brows (B, 2, 2, BROW_STEPS, 2), in halves of the side.

    A brow is a chain of capsules about its middle line. Returns (B, 2, H, W) of a window, and what
    lies around it.
    """
    middle = edges.mean(dim=2)  # (B, 2, STEPS, 2)
    half = torch.linalg.vector_norm(edges[:, :, 1] - edges[:, :, 0] + 1e-6, dim=-1) / 2
    x, y, around = _window(middle - half[..., None], middle + half[..., None], side)
    (x0, y0), (dx, dy) = (
        part[..., None, None, :].unbind(dim=-1)  # (B, 2, STEPS - 1, 1, 1) each
        for part in (middle[:, :, :-1], middle.diff(dim=2))
    )
    length = dx.square() + dy.square() + 1e-6
    along = ((x - x0) * (dx / length) + (y - y0) * (dy / length)).clamp(0.0, 1.0)
    away = ((x - x0 - along * dx).square() + (y - y0 - along * dy).square() + 1e-12).sqrt()
    thick = half[:, :, :-1, None, None] + along * half.diff(dim=2)[..., None, None]
    return (thick - away).amax(dim=2), around


def _irises(irises: Tensor, side: int) -> tuple[Tensor, tuple[int, int, int, int]]:
    """How far pixels lie inside of irises (B, 2, 3, 2), as `_brows`.

    Middle and rims are an ellipse: a circle on an eyeball that looks anywhere. No ellipse reaches
    farther than its two radii together; without that one of no width would be an endless line.
    """
    middle = irises[:, :, :1]  # (B, 2, 1, 2)
    radii = irises[:, :, 1:] - middle  # (B, 2, 2, 2)
    (ax, ay), (bx, by) = (
        radii[:, :, k, None, None].unbind(dim=-1)  # (B, 2, 1, 1) each
        for k in (0, 1)
    )
    area = ax * by - ay * bx
    area = torch.where(area.abs() < 1e-6, torch.full_like(area, 1e-6), area)
    far = radii.abs().sum(dim=2, keepdim=True)
    x, y, around = _window(middle - far, middle + far, side)
    x, y = x - middle[..., :1], y - middle[..., 1:]
    u, v = (x * by - y * bx) / area, (y * ax - x * ay) / area
    within = (1.0 - torch.sqrt(u.square() + v.square() + 1e-6)) * torch.sqrt(area.abs())
    reach = torch.linalg.vector_norm(radii + 1e-6, dim=-1).sum(dim=2)[..., None, None]
    return torch.minimum(within, reach - torch.sqrt(x.square() + y.square() + 1e-12)), around
