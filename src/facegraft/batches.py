"""Batches for training: a block of identities x attribute sets, and swap pairs inside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facegraft.config import TrainParams
from facegraft.dataset import Grid
from facegraft.images import to_tensor

CHANGED_LEVEL = 0.06
"""A pixel counts as changed where the true swap differs from the target by more, in [-1, 1]."""


@dataclass(frozen=True)
class Batch:
    """One training step's data; N = identities x attributes, P pairs.

    Attributes:
        images: float32 (N, 3, S, S) in [-1, 1].
        identity: int64 (N,), equal where the identity is the same.
        identity_code: float32 (N, C). attribute_code: float32 (N, Q).
        source, target, true_swap: int64 (P,), indices into `images`.
        reconstructed: int64 (R,), indices into `images`.
        changed: float32 (P, 1, S, S) in {0, 1}, where the true swap differs from the target.
        keys: the manifest's image keys, N of them.
    """

    images: Tensor
    identity: Tensor
    identity_code: Tensor
    attribute_code: Tensor
    source: Tensor
    target: Tensor
    true_swap: Tensor
    reconstructed: Tensor
    changed: Tensor
    keys: tuple[str, ...]


def changed_mask(true_swap: Tensor, target: Tensor) -> Tensor:
    """Where two (B, 3, S, S) images differ, grown by one pixel: (B, 1, S, S) in {0, 1}."""
    difference = (true_swap - target).abs().amax(dim=1, keepdim=True)
    return F.max_pool2d((difference > CHANGED_LEVEL).float(), 3, stride=1, padding=1)


def draw_batch(grids: Sequence[Grid], params: TrainParams, step: int) -> Batch:
    """The batch of a step: a pure function of (grids, params.seed, step), so resuming is exact.

    Raises:
        ValueError: a grid is smaller than the block that params ask for.
    """
    rng = np.random.default_rng((params.seed, step))
    grid = grids[int(rng.integers(len(grids)))]
    rows, columns = params.batch_identities, params.batch_attributes
    if grid.images.shape[0] < rows or grid.images.shape[1] < columns:
        raise ValueError(
            f"grid {grid.name} is {grid.images.shape[0]} x {grid.images.shape[1]}, smaller than "
            f"train.batch_identities x train.batch_attributes = {rows} x {columns}"
        )
    i = np.sort(rng.choice(grid.images.shape[0], rows, replace=False))
    a = np.sort(rng.choice(grid.images.shape[1], columns, replace=False))
    block = np.ix_(i, a)
    images = to_tensor(grid.images[block].reshape(rows * columns, *grid.images.shape[2:]))
    source_row, target_row = _different_pairs(rng, rows, params.batch_pairs)
    source_column = rng.integers(columns, size=params.batch_pairs)
    target_column = rng.integers(columns, size=params.batch_pairs)
    source = torch.from_numpy(source_row * columns + source_column)
    target = torch.from_numpy(target_row * columns + target_column)
    true_swap = torch.from_numpy(source_row * columns + target_column)
    return Batch(
        images=images,
        identity=torch.from_numpy(np.repeat(i, columns)),
        identity_code=torch.from_numpy(np.repeat(grid.identity_code[i], columns, axis=0)),
        attribute_code=torch.from_numpy(np.tile(grid.attribute_code[a], (rows, 1))),
        source=source,
        target=target,
        true_swap=true_swap,
        reconstructed=torch.from_numpy(
            rng.choice(rows * columns, params.batch_reconstructions, replace=False)
        ),
        changed=changed_mask(images[true_swap], images[target]),
        keys=tuple(grid.keys[block].ravel()),
    )


def _different_pairs(
    rng: np.random.Generator, rows: int, pairs: int
) -> tuple[np.ndarray, np.ndarray]:
    """`pairs` ordered pairs of different rows."""
    first = rng.integers(rows, size=pairs)
    second = (first + rng.integers(1, rows, size=pairs)) % rows
    return first, second
