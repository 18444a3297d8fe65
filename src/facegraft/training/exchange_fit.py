"""The regressions of `exchange.Exchange`, in closed form from readings; seconds, no picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facegraft.data.batches import proven_swaps
from facegraft.data.grids import Mix
from facegraft.method.exchange import EXPRESSION_AXES, SHAPE_AXES, Exchange
from facegraft.method.landmarks import canonical, mean_face
from facegraft.method.shapes import Shapes, covariates

PAIRS = 1500
"""Pairs drawn from every grid."""

RIDGE = 100.0

EXPRESSION_RIDGE = 20.0

FAINT = 1e-3
"""Deviation along an axis, over that along the first one, below which it says nothing."""


@dataclass(frozen=True)
class ReadingGrid:
    """Readings of I people under A attribute sets, or of one person's photographs (I = 1).

    Attributes:
        landmarks: (I, A, 478, 3). expression: (I, A, 52).
        people: rows that are persons of their own. mixes: mixed rows, each with its region's place.
    """

    landmarks: Tensor
    expression: Tensor
    people: tuple[int, ...]
    mixes: tuple[tuple[Mix, int], ...] = ()


def fit_shapes(
    shapes: Shapes, grids: Sequence[ReadingGrid], photographs: Sequence[ReadingGrid] = ()
) -> None:
    """The mean face of `grids`, and how one person's shapes differ by turn and expression."""
    faces = torch.cat([grid.landmarks.flatten(0, 1) for grid in grids])
    shapes.mean.copy_(mean_face(_thinned(faces)))
    every = [_within(shapes, grid) for grid in (*grids, *photographs)]
    covariate_rows = torch.cat([one.flatten(0, 1) for one, _ in every])
    shapes.covariate_mean.copy_(covariate_rows.mean(0))
    features, moved = (
        torch.cat([(one - one.mean(1, keepdim=True)).flatten(0, 1) for one in column]).double()
        for column in zip(*every, strict=True)
    )
    gram = features.T @ features + RIDGE * torch.eye(features.shape[1], dtype=torch.float64)
    shapes.covariate_weight.copy_(torch.linalg.solve(gram, features.T @ moved))


def _thinned(faces: Tensor, count: int = 8000) -> Tensor:
    return faces[:: max(1, len(faces) // count)]


def _within(shapes: Shapes, grid: ReadingGrid) -> tuple[Tensor, Tensor]:
    """The covariates (I, A, COVARIATES), and the shapes (I, A, 3 K)."""
    rows, columns = grid.landmarks.shape[:2]
    shape, _, turn = canonical(grid.landmarks.flatten(0, 1), shapes.mean)
    covariate_rows = covariates(turn, grid.expression.flatten(0, 1))
    return covariate_rows.view(rows, columns, -1), shape.reshape(rows, columns, -1)


def fit_exchange(
    exchange: Exchange,
    shapes: Shapes,
    grids: Sequence[ReadingGrid],
    photographs: Sequence[ReadingGrid] = (),
    seed: int = 0,
    silence: float = 1.0,
) -> None:
    """Fill `exchange`.

    Args:
        grids: rendered, so the true swap of (i, a) onto (j, b) is (i, b).
        photographs: of real people. Shape differences that a person's own expression explains shall
            move nothing.
        silence: weight of that penalty over the pair regression's.
    """
    faces = torch.cat([grid.landmarks.flatten(0, 1) for grid in grids])
    expressions = torch.cat([grid.expression.flatten(0, 1) for grid in grids])
    neutral = _thinned(shapes(faces, expressions).flatten(1))
    exchange.axes.copy_(_principal(neutral, SHAPE_AXES))
    exchange.expression_mean.copy_(expressions.mean(0))
    exchange.expression_axes.copy_(_principal(_thinned(expressions), EXPRESSION_AXES))
    _fit_weight(exchange, shapes, grids, photographs, seed, silence)


def _principal(rows: Tensor, count: int) -> Tensor:
    """The first principal axes (C, count), over their deviations.

    Those of which the rows say next to nothing are left out: over a deviation near 0 a face that
    has a little of one would count as one of thousands.
    """
    _, values, axes = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    found = min(count, len(values))
    informative = values[:found] > FAINT * values[0]
    scaled = informative * axes[:found].T / (values[:found] / len(rows) ** 0.5).clamp_min(1e-6)
    return torch.nn.functional.pad(scaled, (0, count - found))


def _fit_weight(
    exchange: Exchange,
    shapes: Shapes,
    grids: Sequence[ReadingGrid],
    photographs: Sequence[ReadingGrid],
    seed: int,
    silence: float,
) -> None:
    """Ridge regression from features of pairs to motion, with a penalty from photographs.

    The penalty is the expected squared motion that differences explained by expression cause,
    tr(W^T E[f f^T] W). A feature vector f is mod (x) axes, and the two are independent here, so
    E[f f^T] is the Kronecker product of their second moments. Keep the order mod (x) axes of
    `Exchange.features`.
    """
    width, flat = exchange.weight.shape
    gram = RIDGE * torch.eye(width, dtype=torch.float64)
    wanted = torch.zeros(width, flat, dtype=torch.float64)
    modulations = []
    count = 0
    for number, grid in enumerate(grids):
        features, moved, modulation = _pairs(
            exchange, shapes, grid, np.random.default_rng((seed, number))
        )
        gram += (features.T @ features).double()
        wanted += (features.T @ moved).double()
        modulations.append(modulation)
        count += len(features)
    if photographs:
        axes = _explained_differences(shapes, photographs) @ exchange.axes  # (N, SHAPE_AXES)
        axes_moment = (axes.T @ axes / len(axes)).double()
        every = torch.cat(modulations)
        modulation_moment = (every.T @ every / len(every)).double()
        gram += silence * count * torch.kron(modulation_moment, axes_moment)
    exchange.weight.copy_(torch.linalg.solve(gram, wanted))


def _pairs(
    exchange: Exchange, shapes: Shapes, grid: ReadingGrid, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """The features of drawn pairs, how the target's landmarks move, and the modulations."""
    columns = grid.landmarks.shape[1]
    people = np.array(grid.people)
    whole = [rng.choice(people, 2, replace=False) for _ in range(PAIRS)]
    rows = [(int(i), int(j), int(i), -1) for i, j in whole]
    for mix, region in grid.mixes:
        ways = proven_swaps(mix)
        rows += [(*ways[k % 3], region) for k in range(PAIRS // 25)]
    source, target, truth, region = torch.tensor(rows).T
    a, b = torch.from_numpy(rng.integers(columns, size=(2, len(rows))))
    neutral = shapes(grid.landmarks.flatten(0, 1), grid.expression.flatten(0, 1))
    neutral = neutral.view(*grid.landmarks.shape)
    hard = torch.nn.functional.one_hot(
        exchange.membership.argmax(1), exchange.membership.shape[1]
    ).to(shapes.mean)
    every = torch.ones_like(hard[:, 0])
    taken = torch.where(region[:, None] < 0, every, hard.T[region.clamp_min(0)])
    difference = (neutral[source, a] - neutral[target, b]) * taken[..., None]
    landmarks = grid.landmarks[target, b]
    _, scale, turn = canonical(landmarks, shapes.mean)
    moved = scale[:, None, None] * (grid.landmarks[truth, b] - landmarks) @ turn.transpose(1, 2)
    expression = grid.expression[target, b]
    features = exchange.features(difference, turn, expression)
    return features, moved.flatten(1), exchange.modulation(turn, expression)


def _explained_differences(shapes: Shapes, photographs: Sequence[ReadingGrid]) -> Tensor:
    """What expression still says of how a person's neutral shapes differ: (N, 3 K).

    The rest of the differences is left out: a turn half hidden, a blurred edge say who it is.
    """
    neutral = [
        shapes(one.landmarks.flatten(0, 1), one.expression.flatten(0, 1)).view(
            *one.landmarks.shape[:2], -1
        )
        for one in photographs
    ]
    moved, features = (
        torch.cat([(x - x.mean(1, keepdim=True)).flatten(0, 1) for x in column]).double()
        for column in (neutral, [one.expression for one in photographs])
    )
    gram = features.T @ features + EXPRESSION_RIDGE * torch.eye(
        features.shape[1], dtype=torch.float64
    )
    return (features @ torch.linalg.solve(gram, features.T @ moved)).to(shapes.mean.dtype)
