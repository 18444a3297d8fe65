"""The least processor time that a picture can take with tensor operations on one core.

Counts the work that no renderer of this picture can leave out, and times each kind of operation on
arrays that stay in the cache: no start of an operation, no temporary, no miss is counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

TRIANGLES = 16000
"""Of the whole mesh: each is projected and tested for its facing."""

OVERDRAW = 1.75
"""Triangles that cover a sample which shows something, on average over random characters."""

GATHERS = 3 * 5
"""Per sample: three corners of blush, light and normal; paint, lips and cloth cover few samples."""

PASSES = 15 + 12 + 3 * 9 + 6
"""Multiply-adds per sample: interpolation, normal and lights, three channels, gamma and average."""

SAMPLES = 16384


def floor_seconds(size: int, factor: int, covered: float) -> float:
    """Processor seconds of a picture of `size` pixels with `factor` ** 2 samples per pixel.

    Args:
        covered: share of the picture that shows the character; the rest is one colour.
    """
    samples = (size * factor) ** 2
    shown = samples * covered
    exponentials, powers = 3 * shown, shown + 3 * size**2
    costs = _costs()
    return (
        TRIANGLES * (9 * costs["gather"] + 20 * costs["pass"])
        + shown * OVERDRAW * (costs["minimum"] + costs["pass"])
        + shown * (GATHERS * costs["gather"] + PASSES * costs["pass"])
        + exponentials * costs["exponential"]
        + powers * costs["power"]
        + 3 * samples * costs["pass"]
    )


def _costs() -> dict[str, float]:
    """Processor seconds of one operation on one number, by kind."""
    values = torch.rand(SAMPLES)
    table = torch.rand(8000)
    index = torch.randint(0, 8000, (SAMPLES,)).sort().values
    keys = torch.randint(0, 2**40, (SAMPLES,))
    nearest = torch.full((SAMPLES,), 2**62)
    out = torch.empty(SAMPLES)
    return {
        "gather": _seconds(lambda: torch.index_select(table, 0, index, out=out)),
        "pass": _seconds(lambda: torch.addcmul(values, values, values, out=out)),
        "minimum": _seconds(lambda: nearest.scatter_reduce_(0, index, keys, "amin")),
        "exponential": _seconds(lambda: torch.expm1(values, out=out)),
        "power": _seconds(lambda: torch.pow(values, 20, out=out)),
    }


def _seconds(operation: Callable[[], object], repeats: int = 60) -> float:
    """The quickest run, per number."""
    spent = []
    for _ in range(repeats):
        started = time.process_time()
        operation()
        spent.append(time.process_time() - started)
    return float(np.min(spent[5:])) / SAMPLES
