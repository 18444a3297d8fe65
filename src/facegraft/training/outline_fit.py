"""The regressions of `outline.Outline`, in closed form from what the renderer knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facegraft.method.exchange import Exchange
from facegraft.method.landmarks import OVAL, canonical
from facegraft.method.outline import OUTER_LANDMARKS, Outline, motion_features, own_features
from facegraft.method.shapes import Shapes

PAIRS = 400
"""Pairs drawn from every grid."""

RIDGE = 1000.0

MARGIN = 1.03
"""Points beyond so many times the face's outline are none of the face."""


@dataclass(frozen=True)
class Surroundings:
    """What a grid shows of I people under A attribute sets.

    Attributes:
        landmarks: (I, A, 478, 3). expression: (I, A, 52). vectors: (I, A, V), of the encoder.
        anchors: (I, A, K, 3), x, y and 1 where visible; of surface and hair.
        identity: the elements of `vectors` that a swap takes from the source, bool (V,).
        people: rows that are persons of their own.
    """

    landmarks: Tensor
    expression: Tensor
    vectors: Tensor
    anchors: Tensor
    identity: Tensor
    people: tuple[int, ...]


def outer_landmarks(grids: Sequence[Surroundings], shapes: Shapes) -> Tensor:
    """Which anchors lie beyond the face in the mean: int64, at most `OUTER_LANDMARKS`."""
    sums: Tensor | None = None
    for grid in grids:
        landmarks = grid.landmarks.flatten(0, 1)
        _, scale, _ = canonical(landmarks, shapes.mean)
        middle = landmarks[..., :2].mean(dim=1, keepdim=True)
        placed = (grid.anchors.flatten(0, 1)[..., :2] - middle) * scale[:, None, None]
        sums = placed.sum(0) if sums is None else sums + placed.sum(0)
    assert sums is not None
    count = sum(grid.landmarks.shape[0] * grid.landmarks.shape[1] for grid in grids)
    mean = sums / count
    oval = (shapes.mean[list(OVAL), :2] - shapes.mean[:, :2].mean(0)) * MARGIN
    beyond = torch.nonzero(~_inside(mean, oval)).flatten()
    step = max(1, -(-len(beyond) // OUTER_LANDMARKS))
    return beyond[::step]


def _inside(points: Tensor, polygon: Tensor) -> Tensor:
    """Whether points (K, 2) lie in a polygon (N, 2), by the even-odd rule: bool (K,)."""
    first, second = polygon, polygon.roll(-1, dims=0)
    x, y = points[:, None, 0], points[:, None, 1]
    spans = (first[:, 1] > y) != (second[:, 1] > y)
    slope = (second[:, 0] - first[:, 0]) / (second[:, 1] - first[:, 1] + 1e-12)
    crossed = spans & (x < slope * (y - first[:, 1]) + first[:, 0])
    return crossed.sum(dim=1) % 2 == 1


def fit_outline(
    outline: Outline,
    exchange: Exchange,
    shapes: Shapes,
    grids: Sequence[Surroundings],
    seed: int = 0,
) -> None:
    """Fill `outline`; one that is fitted to grids without anchors stays still."""
    if not grids or not grids[0].anchors.shape[2]:
        outline.place.zero_()
        outline.move.zero_()
        return
    chosen = outer_landmarks(grids, shapes)
    place, move = _Ridge(len(outline.place)), _Ridge(len(outline.move))
    for number, grid in enumerate(grids):
        rng = np.random.default_rng((seed, number))
        own, placed, moved, motion, seen = _drawn(exchange, shapes, grid, chosen, rng)
        place.add(own, torch.cat([placed, seen[..., None]], dim=2).flatten(1))
        move.add(moved, motion.flatten(1))
    for weights, found, numbers in ((outline.place, place, 3), (outline.move, move, 2)):
        rows = len(weights)
        known = found.solved().view(rows, len(chosen), numbers)
        weights.zero_().view(rows, OUTER_LANDMARKS, numbers)[:, : len(chosen)] = known


def _drawn(
    exchange: Exchange,
    shapes: Shapes,
    grid: Surroundings,
    chosen: Tensor,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Features and answers of drawn pairs, see `Outline`."""
    rows = torch.from_numpy(
        np.array([rng.choice(grid.people, 2, replace=False) for _ in range(PAIRS)])
    )
    (i, j), columns = rows.T, grid.landmarks.shape[1]
    a, b = torch.from_numpy(rng.integers(columns, size=(2, PAIRS)))
    landmarks, expression = grid.landmarks[j, b], grid.expression[j, b]
    _, scale, turn = canonical(landmarks, shapes.mean)
    own = shapes(landmarks, expression)
    difference = shapes(grid.landmarks[i, a], grid.expression[i, a]) - own
    fused = torch.where(grid.identity, grid.vectors[i, a], grid.vectors[j, b])
    modulation = exchange.modulation(turn, expression)
    shape = (own - shapes.mean).flatten(1) @ exchange.axes
    features = exchange.features(difference, turn, expression)
    before, after = grid.anchors[j, b][:, chosen], grid.anchors[i, b][:, chosen]
    size = scale[:, None, None]
    placed = (before[..., :2] - landmarks[..., :2].mean(dim=1, keepdim=True)) * size
    return (
        own_features(modulation, shape, fused),
        placed,
        motion_features(features, fused),
        (after[..., :2] - before[..., :2]) * size,
        before[..., 2] * after[..., 2],
    )


class _Ridge:
    """Ridge regression by its normal equations, added to bit by bit."""

    def __init__(self, features: int) -> None:
        self.gram = RIDGE * torch.eye(features, dtype=torch.float64)
        self.wanted: Tensor | None = None

    def add(self, features: Tensor, answers: Tensor) -> None:
        self.gram += (features.T @ features).double()
        moment = (features.T @ answers).double()
        self.wanted = moment if self.wanted is None else self.wanted + moment

    def solved(self) -> Tensor:
        assert self.wanted is not None
        return torch.linalg.solve(self.gram, self.wanted)
