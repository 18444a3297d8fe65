"""The dimension report: what changes in the picture when one latent alone is exchanged.

The target's latents are decoded once as they are and once with a single latent of the source; the
difference is what that latent does. Names in `method/latents.py` are claims, and this is where
they are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facegraft.data.grids import REGIONS, Grid
from facegraft.evaluation.attribute_targets import READINGS
from facegraft.evaluation.benchmark import Pair, PairImages, pair_images
from facegraft.imaging.images import to_uint8
from facegraft.method.latents import NUM_LATENTS, fuse
from facegraft.method.model import Model

NOTHING = 0.25
"""Mean change, in 8-bit levels, below which a latent moves nothing: nobody sees it."""

FEW = 0.001
"""Share of the picture below which a region is too small to be measured."""

SKIN = ("skin", "nose", "ears", "neck")

EXPECTED_REGIONS: dict[str, tuple[str, ...]] = {
    "eyes": ("eyes",),
    "brows": ("brows",),
    "nose": ("nose",),
    "mouth": ("mouth",),
    "ears": ("ears",),
    "skin": SKIN,
    "hair": ("hair", "brows"),
    "background": ("background",),
    "costume": ("costume",),
    "accessory": ("accessory", "costume"),
}
"""Group of `method.latents` -> regions of which one should change most, beside what the other
latents change there (an eye always changes more than a cheek); groups that are not named have no
one place."""

EXPECTED_READINGS = {
    "pose": "pose",
    "expression": "expression",
    "lighting": "light",
    "hair": "hair_colour",
    "skin": "skin_tone",
}
"""Group of `method.latents` -> the reading that its latents should move more than any other group's
do; the texture, which is the target's pixels, is left out of that."""

Read = Callable[[Tensor, np.ndarray], Tensor]
"""Pictures (B, 3, S, S) in [-1, 1] and landmarks (B, 5, 2) -> readings, as
`attribute_probes.Probes`."""


@dataclass(frozen=True)
class DimensionReport:
    """What each latent moves.

    Attributes:
        names: of the 18 latents, see `method.latents.Layout.names`.
        regions: float64 (18, len(REGIONS)), mean absolute change in 8-bit levels; NaN for a
            region that no target shows.
        readings: float64 (18, len(READINGS)), how far a reading moves, over how far source and
            target lie apart in it; NaN without probes.
        whole: float64 (18,), mean absolute change of the whole picture in 8-bit levels.
    """

    names: tuple[str, ...]
    regions: np.ndarray
    readings: np.ndarray
    whole: np.ndarray

    def objections(self) -> list[str]:
        """Where a name and what its latent moves disagree, a sentence each."""
        return [line for k in range(NUM_LATENTS) for line in self._objections(k)]

    def _objections(self, k: int) -> Iterable[str]:
        title = f"latent {k} '{self.names[k]}'"
        if not self.whole[k] >= NOTHING:
            yield f"{title} moves nothing ({self.whole[k]:.2f} of 255 levels)"
            return
        expected = EXPECTED_REGIONS.get(self._group(k))
        most = REGIONS[int(np.nanargmax(self.regions[k] / _typical(self.regions)))]
        if expected and most not in expected:
            yield f"{title} moves above all the {most}, not the {expected[0]}"
        reading = EXPECTED_READINGS.get(self._group(k))
        if reading and np.isfinite(self.readings).all():
            moved = self.readings[:, list(READINGS).index(reading)]
            others = [j for j in range(NUM_LATENTS) if self._group(j) != "texture"]
            first = max(others, key=lambda j: moved[j])
            if self._group(first) != self._group(k):
                yield (
                    f"{title} should move the {reading.replace('_', ' ')} ({moved[k]:.2f}), but "
                    f"latent {first} '{self.names[first]}' moves it more ({moved[first]:.2f})"
                )

    def _group(self, k: int) -> str:
        return self.names[k].split("/")[0]


@torch.no_grad()
def dimension_report(
    model: Model,
    grids: Sequence[Grid],
    pairs: Sequence[Pair],
    read: Read | None,
    report: Callable[[int, int, str], None],
) -> DimensionReport:
    """Exchange each latent alone on every pair, and average what changes.

    Args:
        read: reads the pictures; None leaves the readings unmeasured.
    """
    levels, moved, apart = [], [], []
    for index, pair in enumerate(pairs):
        images = pair_images(grids, pair)
        before, after = _exchanged(model, images)
        change = 127.5 * (after - before).abs().mean(dim=1).numpy()  # (18, S, S)
        levels.append(_by_region(change, grids[pair.grid].regions[pair.j, pair.b]))
        if read is not None:
            points = grids[pair.grid].landmarks
            at_target = points[[pair.j], [pair.b]]
            known = read(before, at_target)
            moved.append(_distances(read(after, at_target.repeat(len(after), axis=0)) - known))
            source = read(images.source.images, points[[pair.i], [pair.a]])
            apart.append(_distances(source - read(images.target.images, at_target)))
        report(index + 1, len(pairs), "dimensions: one latent at a time")
    table = _nanmean(np.stack(levels))
    unread = np.full((NUM_LATENTS, len(READINGS)), np.nan)
    readings = unread if read is None else np.mean(moved, axis=0) / np.mean(apart, axis=0)
    return DimensionReport(model.layout.names, table[:, 1:], readings, table[:, 0])


@torch.no_grad()
def dimension_rows(
    model: Model, grids: Sequence[Grid], pairs: Sequence[Pair]
) -> list[list[np.ndarray]]:
    """18 rows of uint8 (S, S, 3): for each pair, the target with that latent of the source."""
    columns = []
    for pair in pairs:
        columns.append(to_uint8(_exchanged(model, pair_images(grids, pair))[1]))
    return [[column[k] for column in columns] for k in range(NUM_LATENTS)]


def _exchanged(model: Model, images: PairImages) -> tuple[Tensor, Tensor]:
    """The target decoded, (1, 3, S, S), and with latent k of the source for every k, (18, ...).

    Decoded where the model lies; the pictures come back to the CPU.
    """
    moved = images.to(model.device)
    z_source, z_target = model.encoder(moved.source), model.encoder(moved.target)
    fused = [fuse(model.layout, z_source, z_target, row) for row in torch.eye(NUM_LATENTS)]
    before, after = model.decode(z_target).image, model.decode(torch.cat(fused)).image
    return before.cpu(), after.cpu()


def _by_region(change: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(18, 1 + regions): mean change of the whole picture, then of each region; NaN if small."""
    flat = change.reshape(len(change), -1)
    inside = (labels.reshape(-1, 1) == np.arange(len(REGIONS))).astype(np.float64)
    pixels = inside.sum(axis=0)
    sums = np.where(pixels >= FEW * flat.shape[1], flat @ inside, np.nan)
    return np.column_stack([flat.mean(axis=1), sums / np.maximum(pixels, 1)])


def _distances(difference: Tensor) -> np.ndarray:
    """(B, LENGTH) -> (B, readings): the length of the difference in each reading."""
    parts = [difference[:, part].norm(dim=1) for part in READINGS.values()]
    return torch.stack(parts, dim=1).numpy()


def _typical(regions: np.ndarray) -> np.ndarray:
    """(regions,): how much a latent changes each region as a rule; NaN where none was measured."""
    shown = np.isfinite(regions).all(axis=0)
    typical = np.full(regions.shape[1], np.nan)
    typical[shown] = np.maximum(np.median(regions[:, shown], axis=0), 1e-6)
    return typical


def _nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is there; NaN where nothing is."""
    known = np.isfinite(values)
    sums = np.where(known, values, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), sums / np.maximum(known.sum(axis=0), 1), np.nan)
