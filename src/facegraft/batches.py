"""Batches for training: a block of identities x attribute sets, and swap pairs inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from facegraft.config import TrainParams
from facegraft.dataset import FEATURES, Grid, Mix
from facegraft.errors import FacegraftError
from facegraft.images import to_tensor

T = TypeVar("T")

CHANGED_LEVEL = 0.06
"""A pixel counts as changed where the true swap differs from the target by more, in [-1, 1]."""

INDICES = (
    "source", "target", "true_swap", "reconstructed", "moved_source", "moved_target", "moved_swap",
)  # fmt: skip
"""Fields of `Batch` that point into its images."""

MOVED = 48
"""Pairs of a block of which the points are moved, at most."""

ROWS = 10_000
"""More than a grid has rows: keeps the people of different grids apart."""


class BatchError(FacegraftError):
    """The grids do not hold the batch that params.yaml asks for; one line with the mend."""


@dataclass(frozen=True)
class Batch:
    """One training step's data; N = identities x attributes, P pairs, J imported pictures.

    Attributes:
        images: float32 (N + J, 3, S, S) in [-1, 1], the imported ones last.
        identity: int64 (N + J,), equal where the identity is the same.
        identity_code: float32 (N, C). attribute_code: float32 (N, Q).
        source, target, true_swap: int64 (P,), indices into `images`.
        transplant: per pair the identity sub-dimension that is taken, or None for all.
        reconstructed: int64 (R,), indices into `images`.
        moved_source, moved_target, moved_swap: int64 (M,), and moved_part: pairs as above, of which
            the points are moved and nothing is decoded.
        changed: float32 (P, 1, S, S) in {0, 1}, where the true swap differs from the target.
        features: float32 (P, 1, S, S) in {0, 1}, eyes, brows, nose and mouth in either.
        still: float32 (P, 1, S, S) in {0, 1}, background in the true swap and in the target.
        anchors: float32 (N, K, 3), see `Grid.anchors`.
        keys: the manifest's image keys, N + J of them.
        foreign_source, foreign_target: int64 (F,), indices into `images`: swaps without a rendered
            truth, see `album_batches`.
        foreign_same: int64, those of them that show one person, so that the truth is the target.
    """

    images: Tensor
    identity: Tensor
    identity_code: Tensor
    attribute_code: Tensor
    source: Tensor
    target: Tensor
    true_swap: Tensor
    transplant: tuple[str | None, ...]
    reconstructed: Tensor
    moved_source: Tensor
    moved_target: Tensor
    moved_swap: Tensor
    moved_part: tuple[str | None, ...]
    changed: Tensor
    features: Tensor
    still: Tensor
    anchors: Tensor
    keys: tuple[str, ...]
    foreign_source: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    foreign_target: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    foreign_same: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    @property
    def rendered(self) -> int:
        """N: how many of the images have a truth."""
        return len(self.identity_code)

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Batch:
        """The same batch with its tensors on a device, floats as `dtype`."""
        held = {one.name: getattr(self, one.name) for one in fields(self)}
        moved: dict[str, Any] = {
            name: value.to(device, dtype if value.is_floating_point() else None)
            for name, value in held.items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved)


def changed_pixels(true_swap: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Where two uint8 (B, 3, S, S) arrays differ, grown by one pixel: bool (B, 1, S, S)."""
    difference = np.maximum(true_swap, target) - np.minimum(true_swap, target)
    levels = np.maximum(np.maximum(difference[:, 0], difference[:, 1]), difference[:, 2])
    changed = levels > int(CHANGED_LEVEL * 127.5)  # whole levels: above 7.65 is above 7
    wide = changed.copy()
    wide[..., 1:] |= changed[..., :-1]
    wide[..., :-1] |= changed[..., 1:]
    grown = wide.copy()
    grown[:, 1:] |= wide[:, :-1]
    grown[:, :-1] |= wide[:, 1:]
    return grown[:, None]


def draw_batch(grids: Sequence[Grid], params: TrainParams, step: int) -> Batch:
    """The batch of a step: a pure function of (grids, params.seed, step), so resuming is exact.

    It is made of `batch_grids` blocks of rows x columns, each of another grid: many people and
    many attribute sets at once, and inside each block the truth of every pair.

    Raises:
        BatchError: a grid is smaller than the block that params ask for, or there are too few.
    """
    rng = np.random.default_rng((params.seed, step))
    if len(grids) < params.batch_grids:
        raise BatchError(
            f"{len(grids)} training grids, fewer than train.batch_grids; ask for fewer there"
        )
    chosen = rng.choice(len(grids), params.batch_grids, replace=False)
    return _joined([_draw_block(rng, grids[int(k)], params) for k in chosen])


def drawn_ahead(draw: Callable[[int], T], params: TrainParams, step: int) -> Iterator[T]:
    """The batches from `step` on, each drawn while the one before it is trained on.

    Args:
        draw: the batch of a step; what it raises comes through.
    """
    with ThreadPoolExecutor(max_workers=1) as drawer:
        upcoming = drawer.submit(draw, step)
        for following in range(step + 1, params.steps + 1):
            batch = upcoming.result()
            if following < params.steps:
                upcoming = drawer.submit(draw, following)
            yield batch


def _joined(blocks: Sequence[Batch]) -> Batch:
    """Blocks of one shape as one batch of floats.

    Indices and identities move up by what came before.
    """
    images = len(blocks[0].images)
    joined: dict[str, Any] = {}
    for one in fields(Batch):
        parts = [getattr(block, one.name) for block in blocks]
        if one.name in INDICES:
            parts = [part + k * images for k, part in enumerate(parts)]
        elif one.name == "identity":
            parts = [part + k * ROWS for k, part in enumerate(parts)]
        is_tensor = isinstance(parts[0], Tensor)
        joined[one.name] = torch.cat(parts) if is_tensor else tuple(chain.from_iterable(parts))
    joined["images"] = to_tensor(joined["images"].numpy())
    joined |= {name: joined[name].float() for name in ("changed", "features", "still", "anchors")}
    return Batch(**joined)


def _draw_block(rng: np.random.Generator, grid: Grid, params: TrainParams) -> Batch:
    """A block in the grid's own types: images uint8, masks bool, anchors float16."""
    rows, columns = params.batch_identities, params.batch_attributes
    if grid.images.shape[0] < rows or grid.images.shape[1] < columns:
        raise BatchError(
            f"grid {grid.name} is {grid.images.shape[0]} x {grid.images.shape[1]}, smaller than "
            f"train.batch_identities x train.batch_attributes = {rows} x {columns}"
        )
    mixes = _choose_mixes(rng, grid, params)
    i = _choose_rows(rng, grid, mixes, rows)
    a = np.sort(rng.choice(grid.images.shape[1], columns, replace=False))
    block = np.ix_(i, a)
    images = grid.images[block].reshape(rows * columns, *grid.images.shape[2:])
    regions = grid.regions[block].reshape(rows * columns, 1, *grid.images.shape[3:])
    background, features = regions == 0, np.isin(regions, FEATURES)
    source_row, target_row, true_row, transplant = _pairs(rng, i, mixes, params)
    source_column = rng.integers(columns, size=params.batch_pairs)
    target_column = rng.integers(columns, size=params.batch_pairs)
    target, true_swap = (row * columns + target_column for row in (target_row, true_row))
    reconstructed = rng.choice(rows * columns, params.batch_reconstructions, replace=False)
    moved_source, moved_target, moved_swap, moved_part = _moves(rng, i, mixes, columns)
    anchors = grid.anchors[block].reshape(rows * columns, *grid.anchors.shape[2:])
    return Batch(
        images=torch.from_numpy(images),
        identity=torch.from_numpy(np.repeat(i, columns)),
        identity_code=torch.from_numpy(np.repeat(grid.identity_code[i], columns, axis=0)),
        attribute_code=torch.from_numpy(np.tile(grid.attribute_code[a], (rows, 1))),
        source=torch.from_numpy(source_row * columns + source_column),
        target=torch.from_numpy(target),
        true_swap=torch.from_numpy(true_swap),
        transplant=transplant,
        reconstructed=torch.from_numpy(reconstructed),
        moved_source=torch.from_numpy(moved_source),
        moved_target=torch.from_numpy(moved_target),
        moved_swap=torch.from_numpy(moved_swap),
        moved_part=moved_part,
        changed=torch.from_numpy(changed_pixels(images[true_swap], images[target])),
        features=torch.from_numpy(features[true_swap] | features[target]),
        still=torch.from_numpy(background[true_swap] & background[target]),
        anchors=torch.from_numpy(anchors),
        keys=tuple(grid.keys[block].ravel()),
    )


def _choose_mixes(rng: np.random.Generator, grid: Grid, params: TrainParams) -> list[Mix]:
    """Up to two mixed rows of sub-dimensions that params know, if the block can hold them."""
    known = [mix for mix in grid.mixes if mix.region in params.identity]
    fitting = min(2, len(known), params.batch_identities // 3)
    if not fitting or not params.batch_regions:
        return []
    return [known[int(k)] for k in rng.choice(len(known), fitting, replace=False)]


def _choose_rows(
    rng: np.random.Generator, grid: Grid, mixes: Sequence[Mix], rows: int
) -> np.ndarray:
    """`rows` rows of the grid, ascending, the mixes and what they are made of among them."""
    wanted = sorted({row for mix in mixes for row in (mix.row, mix.base, mix.donor)})
    others = np.setdiff1d(np.arange(grid.images.shape[0]), wanted)
    drawn = rng.choice(others, rows - len(wanted), replace=False)
    return np.sort(np.concatenate([np.array(wanted, np.int64), drawn]))


def _pairs(
    rng: np.random.Generator, rows: np.ndarray, mixes: Sequence[Mix], params: TrainParams
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str | None, ...]]:
    """Rows of the block that source, target and true swap show, and what is transplanted.

    Whole swaps come first, then `batch_regions` of one sub-dimension where there are mixes.
    """
    place = {int(row): k for k, row in enumerate(rows)}
    drawn: list[tuple[int, int, int, str | None]] = []
    for _ in range(params.batch_pairs - (params.batch_regions if mixes else 0)):
        first = int(rng.integers(len(rows)))
        second = (first + int(rng.integers(1, len(rows)))) % len(rows)
        drawn.append((first, second, first, None))
    while len(drawn) < params.batch_pairs:
        mix = mixes[int(rng.integers(len(mixes)))]
        own, base, donor = place[mix.row], place[mix.base], place[mix.donor]
        ways = proven_swaps(own, base, donor)
        drawn.append((*ways[int(rng.integers(len(ways)))], mix.region))
    source, target, true_swap, transplant = zip(*drawn, strict=True)
    return np.array(source), np.array(target), np.array(true_swap), transplant


def proven_swaps(own: int, base: int, donor: int) -> tuple[tuple[int, int, int], ...]:
    """Rows of source, target and true swap whose region swap a mixed row `own` proves.

    Args:
        own: the mixed row, `base` but for the region that it has of `donor`.
    """
    return ((donor, base, own), (own, base, own), (base, own, base))


def _moves(
    rng: np.random.Generator, rows: np.ndarray, mixes: Sequence[Mix], columns: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str | None, ...]]:
    """Images of the block that source, target and true swap show, and what is transplanted.

    Up to `MOVED` of all whole and region swaps that the block holds the truth of.
    """
    place = {int(row): k for k, row in enumerate(rows)}
    whole = [(s, t, s, None) for s in range(len(rows)) for t in range(len(rows)) if s != t]
    parts = [
        (*way, mix.region)
        for mix in mixes
        for way in proven_swaps(place[mix.row], place[mix.base], place[mix.donor])
    ]
    every = [
        (source * columns + a, target * columns + b, truth * columns + b, part)
        for source, target, truth, part in (*whole, *parts)
        for a in range(columns)
        for b in range(columns)
    ]
    order = rng.permutation(len(every))[:MOVED]
    sources, targets, truths, taken = zip(*(every[int(k)] for k in order), strict=True)
    return np.array(sources), np.array(targets), np.array(truths), taken
