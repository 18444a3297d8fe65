"""Probes: a small network that reads expression, pose, hair, skin and light off a face.

It learns from the renderer's known parameters alone and shares nothing with any model's encoder,
so it can say whether a swap kept the target's attributes. It errs itself; its error on true swaps
stands beside every figure that it gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegraft.benchmark import Further, Pair, PairImages
from facegraft.dataset import Grid
from facegraft.images import to_tensor
from facegraft.readings import LENGTH, READINGS, mirrored, size, truth, visible

SIDE = 64
"""Pixels that a probe sees; larger pictures are averaged down to it."""

ERRORS = {
    "expression_error": "expression",
    "pose_error": "pose",
    "hair_colour_error": "hair_colour",
    "skin_tone_error": "skin_tone",
}
"""Metric of the benchmark -> what is read for it."""

BATCH, LEARNING_RATE, WEIGHT_DECAY = 64, 3e-3, 0.05

SHIFT = 3
"""Pixels by which a training picture is moved at most, either way."""


class Probes(nn.Module):
    """Faces (B, 3, S, S) in [-1, 1] -> readings (B, LENGTH), in the units of `READINGS`."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        widths = (12, 24, 48, 96, 128)
        layers: list[nn.Module] = [nn.PixelUnshuffle(2)]
        for before, after in pairwise(widths):
            layers += [
                nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
                nn.Conv2d(after, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3))
        self.head = nn.Linear(widths[-1] * (SIDE // 32) ** 2, LENGTH)
        self.register_buffer("mean", torch.zeros(LENGTH))
        self.register_buffer("spread", torch.ones(LENGTH))

    def forward(self, images: Tensor) -> Tensor:
        return self.normalised(images) * self.spread + self.mean

    def normalised(self, images: Tensor) -> Tensor:
        """Readings less their mean, over their spread."""
        if images.shape[-1] != SIDE:
            images = F.interpolate(
                images, (SIDE, SIDE), mode="area" if images.shape[-1] > SIDE else "bilinear"
            )
        read: Tensor = self.head(self.body(images))
        return read


def train_probes(
    grids: Sequence[Grid], epochs: int, seed: int, report: Callable[[int, int, str], None]
) -> Probes:
    """Probes that have seen every picture of `grids` `epochs` times; the same for the same seed.

    Hair that headwear hides is not learnt from.
    """
    images = to_tensor(np.concatenate([g.images.reshape(-1, *g.images.shape[2:]) for g in grids]))
    wanted, seen = (
        torch.from_numpy(np.concatenate([_per_picture(g, columns(g)) for g in grids]))
        for columns in (truth, visible)
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        probes = Probes()
        probes.mean, probes.spread = wanted.mean(0), _spread(wanted)
        steps = epochs * -(-len(images) // BATCH)
        optimiser = torch.optim.AdamW(probes.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
        for step, chosen in enumerate(_batches(len(images), epochs, seed)):
            shown, aim = _mirrored(_shifted(images[chosen]), wanted[chosen])
            aim = (aim - probes.mean) / probes.spread
            error = (probes.normalised(shown) - aim).square() * seen[chosen]
            optimiser.zero_grad(set_to_none=True)
            _evenly(error).backward()
            optimiser.step()
            schedule.step()
            report(step + 1, steps, "attribute probes")
    return probes.eval().requires_grad_(False)


def _batches(images: int, epochs: int, seed: int) -> Iterator[Tensor]:
    """Places of a batch's pictures, every epoch in an order of its own."""
    rng = np.random.default_rng((seed, 3))
    for _ in range(epochs):
        yield from torch.from_numpy(rng.permutation(images)).split(BATCH)


def _shifted(images: Tensor) -> Tensor:
    """The whole batch moved by up to `SHIFT` pixels, its border repeated."""
    x, y = (int(torch.randint(2 * SHIFT + 1, ())) for _ in range(2))
    wide = F.pad(images, (SHIFT,) * 4, mode="replicate")
    return wide[..., y : y + images.shape[-2], x : x + images.shape[-1]]


def _mirrored(images: Tensor, aim: Tensor) -> tuple[Tensor, Tensor]:
    """Every other batch seen in a mirror, and what is then true of it."""
    if torch.rand(()) < 0.5:
        return images, aim
    return images.flip(-1), torch.from_numpy(mirrored(aim.numpy()))


def _spread(wanted: Tensor) -> Tensor:
    """(LENGTH,): one scale for all numbers of a reading, so that what varies most counts most."""
    spread = torch.ones(LENGTH)
    for part in READINGS.values():
        spread[part] = wanted[:, part].var(0).mean().sqrt()
    return spread


def _evenly(error: Tensor) -> Tensor:
    """Every reading counts the same, however many numbers it has."""
    return torch.stack([error[:, part].mean() for part in READINGS.values()]).sum()


def attribute_errors(probes: Probes, grids: Sequence[Grid]) -> Further:
    """How far each row's picture lies from the target's attributes, as `row/pose_error` and so on.

    expression_error: length of the difference of the 52 ARKit weights; pose_error: mean over yaw,
    pitch and roll, degrees; hair_colour_error and skin_tone_error: CIE76 colour difference, NaN for
    hair below headwear. background_error needs no probe: mean absolute difference from the
    target, in 8-bit levels, where both the target and the true swap show background.
    """
    truths = [truth(grid) for grid in grids]
    seen = [visible(grid) for grid in grids]

    def measure(
        pair: Pair, images: PairImages, rows: Mapping[str, Tensor]
    ) -> Iterator[tuple[str, float]]:
        read = probes(torch.cat(list(rows.values()))).numpy()
        off = np.where(seen[pair.grid][pair.b], read - truths[pair.grid][pair.b], np.nan)
        still = _still(grids, pair)
        for row, difference in zip(rows, off, strict=True):
            for metric, name in ERRORS.items():
                yield f"{row}/{metric}", size(name, difference[READINGS[name]])
            moved = (rows[row] - images.target).abs().mean(dim=1)[0][still]
            yield f"{row}/background_error", float(moved.mean()) * 127.5

    return measure


def _still(grids: Sequence[Grid], pair: Pair) -> Tensor:
    """bool (S, S): background in the target and in the true swap."""
    regions = grids[pair.grid].regions
    return torch.from_numpy((regions[pair.j, pair.b] == 0) & (regions[pair.truth] == 0))


def _per_picture(grid: Grid, columns: np.ndarray) -> np.ndarray:
    """(A, ...) by attribute set -> (I * A, ...) by picture, row by row."""
    return np.tile(columns, (len(grid.identity_ids), 1))
