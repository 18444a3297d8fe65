"""Per-pair fine-tuning: the decoder is trained on one pair until both losses pass.

Claims 6 and 7, [0116]-[0124]: on a failed verdict both losses go back into the trained decoder,
the same fused latents are decoded again, until both pass. A literal tune can game its own judge,
so the encoder stays frozen, only the finer layers move, the encoder reads jittered copies, and
the image is held near the first one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from facegraft.calibration import Thresholds
from facegraft.config import SwapParams
from facegraft.decoder import Decoded, Decoder
from facegraft.losses import attribute_loss_per_pair, identity_loss_per_pair
from facegraft.model import Model

FINE_RESOLUTION = 16
"""Layers from this size up are tuned; the coarse ones hold what makes it a face."""


@dataclass(frozen=True)
class Verdict:
    """Both losses of one image, in the encoder's eyes."""

    step: int
    identity_loss: float
    attribute_loss: float

    def passes(self, thresholds: Thresholds) -> bool:
        """Strictly below both; NaN fails."""
        return (
            self.identity_loss < thresholds.identity_loss
            and self.attribute_loss < thresholds.attribute_loss
        )

    def excess(self, thresholds: Thresholds) -> float:
        """The worse of the two losses over its threshold; below 1 passes."""
        ratios = (
            self.identity_loss / thresholds.identity_loss,
            self.attribute_loss / thresholds.attribute_loss,
        )
        return max(ratios) if all(r == r for r in ratios) else float("inf")


@dataclass(frozen=True)
class Tuned:
    """What came of a pair.

    Attributes:
        passed: False means that the budget ran out; `image` is then the best there was.
        first: (1, 3, S, S), the image before tuning. image: the one to save; both on the CPU.
        trace: the verdict at step 0 and at every check.
    """

    passed: bool
    first: Tensor
    image: Tensor
    trace: tuple[Verdict, ...]

    @property
    def best(self) -> Verdict:
        """The verdict of `image`."""
        return self.trace[-1]


def tune(
    model: Model,
    target: Tensor,
    fused: Tensor,
    compose: Callable[[Decoded], Tensor],
    thresholds: Thresholds,
    params: SwapParams,
) -> Tuned:
    """Decode, judge, and fine-tune a copy of the decoder until the pair passes.

    Args:
        target: (1, 3, S, S) in [-1, 1].
        fused: (1, L); its z_id is what the swap is to have, the source's where all is transplanted.
        compose: from what G draws to the picture that is judged and saved; differentiable.
        thresholds: calibrated, see `Calibration.thresholds`.

    Returns:
        `Tuned`; on an exhausted budget the image with the least excess over the thresholds, whose
        verdict closes the trace.
    """
    torch.manual_seed(params.seed)
    z_target = model.encoder(target)
    decoder = copy.deepcopy(model.decoder)

    def judge(image: Tensor, step: int) -> Verdict:
        z = model.encoder(image)
        return Verdict(
            step=step,
            identity_loss=identity_loss_per_pair(model.layout, z, fused).item(),
            attribute_loss=attribute_loss_per_pair(model.layout, z, z_target).item(),
        )

    with torch.no_grad():
        first = compose(decoder(fused))
        trace = [judge(first, 0)]
    best, best_image = trace[0], first
    optimizer = torch.optim.Adam(_fine_parameters(decoder), lr=params.learning_rate)
    while not best.passes(thresholds) and trace[-1].step < params.budget_steps:
        step = min(trace[-1].step + params.check_every, params.budget_steps)
        for _ in range(step - trace[-1].step):
            image = compose(decoder(fused))
            z = model.encoder(_jittered(image))
            identity = identity_loss_per_pair(model.layout, z, fused).mean()
            attribute = attribute_loss_per_pair(model.layout, z, z_target).mean()
            loss = identity / thresholds.identity_loss + attribute / thresholds.attribute_loss
            loss = loss + params.anchor_weight * (image - first).abs().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            image = compose(decoder(fused))
            trace.append(judge(image, step))
        if trace[-1].excess(thresholds) < best.excess(thresholds):
            best, best_image = trace[-1], image
    if trace[-1] != best:
        trace.append(best)
    return Tuned(best.passes(thresholds), first.cpu(), best_image.cpu(), tuple(trace))


def _fine_parameters(decoder: Decoder) -> list[Tensor]:
    decoder.requires_grad_(False)
    fine = [
        layer
        for layer, size in zip(decoder.layers, decoder.plan, strict=True)
        if size >= FINE_RESOLUTION
    ]
    last = (decoder.painter,) if decoder.reader is None else (decoder.to_flow, decoder.retouch)
    ink = () if decoder.ink is None else (decoder.ink,)
    return [
        parameter.requires_grad_()
        for module in (*fine, *last, *ink)
        for parameter in module.parameters()
    ]


def _jittered(image: Tensor, copies: int = 4) -> Tensor:
    """The image and copies shifted by up to 2 px with a little contrast: (copies, 3, S, S)."""
    views = [image]
    for _ in range(copies - 1):
        shift = torch.randint(-2, 3, (2,)).tolist()
        contrast = 1.0 + 0.1 * (2 * torch.rand(1).item() - 1)
        views.append(torch.roll(image, shift, dims=(2, 3)) * contrast)
    return torch.cat(views)
