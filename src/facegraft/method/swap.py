"""One swap: encode, fuse, decode, judge, fine-tune until both losses pass."""

from __future__ import annotations

from collections.abc import Collection

import torch

from facegraft.core.config import SwapParams
from facegraft.data.faces import Faces
from facegraft.method.calibration import Thresholds
from facegraft.method.model import Model
from facegraft.method.tuning import Read, Tuned, tune


def swap(
    model: Model,
    source: Faces,
    target: Faces,
    thresholds: Thresholds,
    params: SwapParams,
    read: Read,
    transplant: Collection[str] | None = None,
) -> Tuned:
    """The source's identity on the target, tuned until it passes or the budget is gone.

    Args:
        source, target: one face-filling crop each.
        thresholds: both losses must lie strictly below.
        read: the landmark reader, which reads what is judged.
        transplant: identity sub-dimensions to take; None takes all.

    Raises:
        ValueError: `transplant` names no identity sub-dimension of the model.
    """
    source, target = source.to(model.device), target.to(model.device)
    with torch.no_grad():
        fused = model.fused(source, target, transplant)
    return tune(model, source, target, fused, thresholds, params, read)
