"""Thresholds: the same_percentile of losses of same pairs, refused unless below the
different_percentile of different pairs.

The encoder that a swap is tuned against also judges it, so a threshold means something only if, on
held-out images, the losses between two images of one person (or one attribute set) lie below those
between different ones. `Calibration.thresholds` refuses where they do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from facegraft.core.config import EvaluateParams, Section
from facegraft.core.errors import FacegraftError
from facegraft.core.seal import SealBroken, seal, unseal
from facegraft.data.batches import grid_faces
from facegraft.data.grids import Grid
from facegraft.method.losses import attribute_loss_per_pair, identity_loss_per_pair
from facegraft.method.model import Model

CHUNK = 50
"""Pairs whose latents, half a megabyte each, are held at once."""


class Uncalibrated(FacegraftError):
    """Same and different cannot be told apart, so no threshold can be trusted."""


class Thresholds(Section):
    """A swap passes when both losses lie strictly below."""

    identity_loss: float
    attribute_loss: float


class Separation(Section):
    """How far apart one loss holds the same and the different.

    Attributes:
        same: the `same_percentile` of the losses of same pairs.
        different: the `different_percentile` of the losses of different pairs.
        auc: probability that a random equal pair has the lower loss, 0.5 is chance.
    """

    same: float
    different: float
    auc: float

    @property
    def threshold(self) -> float:
        """The `same_percentile` of the losses of same pairs; valid only if `apart`."""
        return self.same

    @property
    def apart(self) -> bool:
        """False also where a figure is NaN."""
        return self.same < self.different


class Calibration(Section):
    """Both losses' separation on held-out images.

    Wherever it is stored it is sealed (`core/seal.py`).
    """

    identity_loss: Separation
    attribute_loss: Separation
    pairs: int

    def thresholds(self) -> Thresholds:
        """The swap thresholds.

        Raises:
            Uncalibrated: for a loss the two distributions overlap.
        """
        for name in ("identity_loss", "attribute_loss"):
            separation: Separation = getattr(self, name)
            if not separation.apart:
                raise Uncalibrated(
                    f"{name} cannot tell same from different on held-out images (same up to "
                    f"{separation.same:.4f}, different from {separation.different:.4f}, AUC "
                    f"{separation.auc:.3f}); train longer or on more identities"
                )
        return Thresholds(
            identity_loss=self.identity_loss.threshold,
            attribute_loss=self.attribute_loss.threshold,
        )

    def sealed(self, model_sha256: str) -> dict[str, object]:
        """As JSON, bound to this model."""
        return seal(self.model_dump(), model_sha256)

    @classmethod
    def unsealed(cls, stored: Mapping[str, object], model_sha256: str) -> Calibration:
        """What `sealed` made for this model.

        Raises:
            SealBroken: it is another model's, or not as it was sealed.
        """
        try:
            return cls.model_validate(unseal(stored, model_sha256))
        except ValidationError as error:
            raise SealBroken("is none of this facegraft") from error


def calibrate(model: Model, grids: Sequence[Grid], params: EvaluateParams) -> Calibration:
    """Measure both separations on random held-out pairs, a pure function of params.seed.

    Same person: (i, a) against (i, b); different: (i, a) against (j, b); same attributes: (i, a)
    against (j, a); always i != j, a != b, inside one grid.
    """
    z = [encode_grid(model, grid) for grid in grids]
    rng = np.random.default_rng((params.seed, 1))
    people = [grid.people for grid in grids]
    measured: list[Tensor] = []
    for start in range(0, params.calibration_pairs, CHUNK):
        count = min(CHUNK, params.calibration_pairs - start)
        draws = [_draw(rng, z, people) for _ in range(count)]
        measured.append(_losses(model, *map(torch.stack, zip(*draws, strict=True))))
    identity, different_identity, attribute, different_attribute = torch.cat(measured, dim=1)
    return Calibration(
        identity_loss=_separate(identity, different_identity, params),
        attribute_loss=_separate(attribute, different_attribute, params),
        pairs=params.calibration_pairs,
    )


def _losses(
    model: Model, first: Tensor, person: Tensor, attributes: Tensor, other: Tensor
) -> Tensor:
    """Both losses between equals and between unequals, (4, pairs)."""
    layout = model.layout
    return torch.stack(
        [
            identity_loss_per_pair(layout, person, first),
            identity_loss_per_pair(layout, other, first),
            attribute_loss_per_pair(layout, attributes, first),
            attribute_loss_per_pair(layout, other, first),
        ]
    )


@torch.no_grad()
def encode_grid(model: Model, grid: Grid) -> Tensor:
    """Latents of every cell: (I, A, L)."""
    columns = range(grid.images.shape[1])
    rows = [
        model.encoder(grid_faces(grid, [(i, a) for a in columns]).to(model.device)).cpu()
        for i in range(grid.images.shape[0])
    ]
    return torch.stack(rows)


def _draw(
    rng: np.random.Generator, z: list[Tensor], people: list[tuple[int, ...]]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Latents of (i, a), (i, b), (j, a), (j, b) of a random grid."""
    place = int(rng.integers(len(z)))
    grid = z[place]
    i, j = rng.choice(people[place], 2, replace=False)
    a, b = rng.choice(grid.shape[1], 2, replace=False)
    return grid[i, a], grid[i, b], grid[j, a], grid[j, b]


def _separate(same: Tensor, different: Tensor, params: EvaluateParams) -> Separation:
    return Separation(
        same=float(np.percentile(same, params.same_percentile)),
        different=float(np.percentile(different, params.different_percentile)),
        auc=area_under_curve(same.numpy(), different.numpy()),
    )


def area_under_curve(low: np.ndarray, high: np.ndarray) -> float:
    """P(low < high) + P(low = high) / 2 over all pairs, the Mann-Whitney statistic; in [0, 1]."""
    ordered = np.sort(high)
    below = np.searchsorted(ordered, low, side="left")
    up_to = np.searchsorted(ordered, low, side="right")
    return float(1.0 - (below + up_to).mean() / (2 * len(high)))
