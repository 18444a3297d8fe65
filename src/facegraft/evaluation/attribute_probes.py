"""Probes: what expression, pose, hair, skin and light a picture shows, by ridge regression.

They learn from the renderer's known parameters alone, on fixed features, and share nothing with
any model's encoder; so they can say whether a swap kept the target's attributes. They err
themselves: their error on true swaps stands beside every figure that they give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facegraft.data.grids import Grid
from facegraft.evaluation.attribute_targets import LENGTH, READINGS, size, truth, visible
from facegraft.evaluation.benchmark import Pair, PairImages, PairMetric
from facegraft.evaluation.face_features import aligned, colour_features, shape_features, small
from facegraft.imaging.images import planes_to_tensor

ERRORS = {
    "expression_error": "expression",
    "pose_error": "pose",
    "hair_colour_error": "hair_colour",
    "skin_tone_error": "skin_tone",
}
"""Metric of the benchmark -> what is read for it."""

READ_FROM = {
    "expression": "aligned",
    "pose": "shape",
    "hair_colour": "colour",
    "skin_tone": "colour",
    "light": "colour",
}
"""Reading -> the features that it is read from."""

RIDGE = {"aligned": 1e4, "shape": 1e4, "colour": 1e3}
"""Penalty on the weights of standardised features."""

TOGETHER = 256
"""Pictures whose features are taken at a time."""


@dataclass(frozen=True)
class Probes:
    """Linear readers.

    Attributes:
        weights: reading -> float32 (features + 1, numbers); the last row is the constant.
    """

    weights: Mapping[str, Tensor]

    def __call__(self, images: Tensor, landmarks: np.ndarray) -> Tensor:
        """(B, 3, S, S) in [-1, 1] and their landmarks (B, 5, 2), pixels -> (B, LENGTH)."""
        read = torch.empty(len(images), LENGTH)
        features = _features(images, landmarks)
        for name, weights in self.weights.items():
            read[:, READINGS[name]] = features[READ_FROM[name]] @ weights[:-1] + weights[-1]
        return read


def fit_probes(grids: Sequence[Grid], report: Callable[[int, int, str], None]) -> Probes:
    """Probes fitted in closed form on every picture of `grids`.

    Hair that headwear hides is not learnt from.
    """
    features = _features_of(grids, report)
    wanted = torch.from_numpy(np.concatenate([_per_picture(g, truth(g)) for g in grids]))
    seen = torch.from_numpy(np.concatenate([_per_picture(g, visible(g)) for g in grids]))
    weights = {}
    for name, part in READINGS.items():
        kind, known = READ_FROM[name], seen[:, part].all(dim=1)
        weights[name] = _ridge(features[kind][known], wanted[known, part], RIDGE[kind])
    return Probes(weights)


def attribute_errors(probes: Probes, grids: Sequence[Grid]) -> PairMetric:
    """How far each row's picture lies from the target's attributes, as `row/pose_error` and so on.

    expression_error: length of the difference of the 52 ARKit weights; pose_error: mean over yaw,
    pitch and roll, degrees; hair_colour_error and skin_tone_error: CIE76 colour difference, NaN for
    hair below headwear. background_error needs no probe: mean absolute difference from the
    target, in 8-bit levels, where both the target and the true swap show background.
    """
    truths, seen = [truth(grid) for grid in grids], [visible(grid) for grid in grids]

    def measure(
        pair: Pair, images: PairImages, rows: Mapping[str, Tensor]
    ) -> Iterator[tuple[str, float]]:
        grid, cells = grids[pair.grid], _cells(pair)
        points = np.stack([grid.landmarks[cells[row]] for row in rows])
        read = probes(torch.cat(list(rows.values())), points).numpy()
        off = np.where(seen[pair.grid][pair.b], read - truths[pair.grid][pair.b], np.nan)
        for row, difference in zip(rows, off, strict=True):
            for metric, name in ERRORS.items():
                yield f"{row}/{metric}", size(name, difference[READINGS[name]])
            moved = (rows[row] - images.target.images).abs().mean(dim=1)[0][_still(grid, pair)]
            yield f"{row}/background_error", float(moved.mean()) * 127.5

    return measure


def _cells(pair: Pair) -> dict[str, tuple[int, int]]:
    """Row of the benchmark -> the cell that it shows, or should show."""
    return {
        "model": pair.truth,
        "true_swap": pair.truth,
        "copy_target": (pair.j, pair.b),
        "copy_source": (pair.i, pair.a),
    }


def _still(grid: Grid, pair: Pair) -> Tensor:
    """bool (S, S): background in the target and in the true swap."""
    regions = grid.regions
    return torch.from_numpy((regions[pair.j, pair.b] == 0) & (regions[pair.truth] == 0))


def _features(images: Tensor, landmarks: np.ndarray) -> dict[str, Tensor]:
    faces = small(images)
    return {
        "aligned": shape_features(aligned(images, landmarks)),
        "shape": shape_features(faces),
        "colour": colour_features(faces),
    }


def _features_of(
    grids: Sequence[Grid], report: Callable[[int, int, str], None]
) -> dict[str, Tensor]:
    """The features of every picture, grid by grid, row by row."""
    parts: dict[str, list[Tensor]] = {}
    step = max(1, TOGETHER // (grids[0].images.shape[0] * grids[0].images.shape[1]))
    for start in range(0, len(grids), step):
        some = grids[start : start + step]
        images = np.concatenate([g.images.reshape(-1, *g.images.shape[2:]) for g in some])
        points = np.concatenate([g.landmarks.reshape(-1, 5, 2) for g in some])
        for kind, values in _features(planes_to_tensor(images), points).items():
            parts.setdefault(kind, []).append(values)
        report(min(start + step, len(grids)), len(grids), "attribute probes")
    return {kind: torch.cat(values) for kind, values in parts.items()}


def _per_picture(grid: Grid, columns: np.ndarray) -> np.ndarray:
    """(A, ...) by attribute set -> (I * A, ...) by picture, row by row."""
    return np.tile(columns, (len(grid.identity_ids), 1))


def _ridge(features: Tensor, wanted: Tensor, penalty: float) -> Tensor:
    """(features + 1, numbers): weights of the raw features, and the constant."""
    mean, spread = features.mean(dim=0), features.std(dim=0) + 1e-3
    level = wanted.mean(dim=0)
    standard = (features - mean) / spread
    square = standard.T @ standard + penalty * torch.eye(features.shape[1])
    weights = torch.linalg.solve(square, standard.T @ (wanted - level)) / spread[:, None]
    return torch.cat([weights, (level - mean @ weights)[None]])
