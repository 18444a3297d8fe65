"""One swap: encode, fuse, decode, judge, fine-tune until both losses pass."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from facegraft.calibration import Thresholds
from facegraft.config import SwapParams
from facegraft.decoder import Decoded
from facegraft.model import Model, blend, paste_mask
from facegraft.tuning import Tuned, tune


@dataclass(frozen=True)
class Swapped:
    """A pair's outcome and where it may differ from the target.

    Attributes:
        mask: (1, 1, S, S) in [0, 1], the share of the decoded image in what is saved.
    """

    tuned: Tuned
    mask: Tensor


def swap(
    model: Model,
    source: Tensor,
    target: Tensor,
    thresholds: Thresholds,
    params: SwapParams,
    transplant: Collection[str] | None = None,
) -> Swapped:
    """The source's identity on the target, tuned until it passes or the budget is gone.

    What is judged is what is saved: with `paste_back` the mask of the first decode stays fixed,
    so tuning cannot win by showing more of the target.

    Args:
        source, target: (1, 3, S, S) in [-1, 1], face-filling crops.
        thresholds: both losses must lie strictly below.
        transplant: identity sub-dimensions to take; None takes all.

    Raises:
        ValueError: `transplant` names no identity sub-dimension of the model.
    """
    source, target = (image.to(model.device) for image in (source, target))
    with torch.no_grad():
        fused = model.fused(source, target, transplant)
        mask = paste_mask(model.decoder(fused))
    if not params.paste_back:
        mask = torch.ones_like(mask)

    def compose(decoded: Decoded) -> Tensor:
        return blend(decoded.image, target, mask)

    return Swapped(tune(model, target, fused, compose, thresholds, params), mask.cpu())
