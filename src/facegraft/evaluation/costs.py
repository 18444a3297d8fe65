"""What a swap costs: parameters, floating-point operations, seconds."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from facegraft.core.config import Section
from facegraft.data.faces import Faces
from facegraft.method.model import Model

WARM_UP, TIMED = 3, 15
"""Swaps before the clock runs, and under it."""


class Costs(Section):
    """Of one pair: encode both, fuse, decode.

    Attributes:
        flops: of matrix products and convolutions, a multiply-add counted as two, a sparse matrix
            by what it holds; resampling and point-wise work are left out.
        seconds: the median of single pairs, on `device` with `threads` threads; on a busy machine
            it says little.
    """

    parameters_encoder: int
    parameters_decoder: int
    flops: int
    seconds: float
    device: str
    threads: int


@torch.no_grad()
def costs(model: Model, source: Faces, target: Faces) -> Costs:
    """Count and time the swap of one pair, one face each; reading them is left out.

    It is done where the model lies; taking the pictures there is left out, too.
    """
    source, target = source.to(model.device), target.to(model.device)
    with counter() as counted:
        model.swap(source, target)
    return Costs(
        parameters_encoder=parameters(model.encoder),
        parameters_decoder=parameters(model.decoder),
        flops=counted.get_total_flops(),
        seconds=_median_seconds(model, source, target),
        device=model.device.type,
        threads=torch.get_num_threads(),
    )


def counter() -> FlopCounterMode:
    """Torch's counter, which by itself counts a sparse matrix's zeros too."""
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mm: _product})


def _product(one: Tensor, other: Tensor, *_: object, **__: object) -> int:
    """(m, k) by (k, n): 2 m k n, of a sparse first factor only what it holds."""
    held = one.values().numel() if one.layout == torch.sparse_csr else one.numel()
    return 2 * held * other.shape[1]


_product._get_raw = True  # type: ignore[attr-defined]  # asks the counter for tensors, not shapes


def parameters(part: nn.Module) -> int:
    """How many numbers a network holds."""
    return sum(parameter.numel() for parameter in part.parameters())


def _median_seconds(model: Model, source: Faces, target: Faces) -> float:
    seconds = []
    for _ in range(WARM_UP + TIMED):
        started = time.perf_counter()
        model.swap(source, target)
        if model.device.type == "cuda":  # which works on while the call returns
            torch.cuda.synchronize(model.device)
        seconds.append(time.perf_counter() - started)
    return sorted(seconds[WARM_UP:])[TIMED // 2]
