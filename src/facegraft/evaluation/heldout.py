"""The patent's four losses on held-out pairs: what decides whether training may stop."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from facegraft.core.config import LossThresholds
from facegraft.data.faces import Faces
from facegraft.data.grids import Grid
from facegraft.evaluation.benchmark import Pair, PairImages, pair_images
from facegraft.method import losses as loss
from facegraft.method.model import Model, faces_of_swap


@torch.no_grad()
def held_out_losses(model: Model, grids: Sequence[Grid], pairs: Sequence[Pair]) -> dict[str, float]:
    """The four losses of [0140]-[0148] by name, averaged over held-out pairs.

    The reconstructed image is the target's; swaps are read by the landmarks that they were asked
    for, since nobody reads pictures here.
    """
    images = stack([pair_images(grids, pair) for pair in pairs]).to(model.device)
    z_source, z_target = model.encoder(images.source), model.encoder(images.target)
    swaps = model.swap(images.source, images.target)
    z_swap = model.encoder(faces_of_swap(swaps, images.target))
    reconstruction = model.decode(z_target)
    z_again = model.encoder(faces_of_swap(reconstruction, images.target))
    layout = model.layout
    values = {
        "identity_loss": loss.identity_loss(layout, z_swap, z_source),
        "attribute_loss": loss.attribute_loss(layout, z_swap, z_target),
        "mse_loss": loss.mse_loss(images.target.images, reconstruction.image),
        "perceptual_loss": loss.perceptual_loss(z_target, z_again),
    }
    return {name: value.item() for name, value in values.items()}


def all_below(values: dict[str, float], thresholds: LossThresholds) -> bool:
    """All four strictly below their thresholds [0138]; missing or NaN fails."""
    return all(
        values.get(name, float("nan")) < bound for name, bound in thresholds.model_dump().items()
    )


def stack(images: Sequence[PairImages]) -> PairImages:
    """Pairs of batch 1 -> one batch of pairs."""
    return PairImages(
        source=Faces.joined([one.source for one in images]),
        target=Faces.joined([one.target for one in images]),
        true_swap=Faces.joined([one.true_swap for one in images]),
        changed=torch.cat([one.changed for one in images]),
        face=torch.cat([one.face for one in images]),
    )
