"""95 % confidence intervals of a mean over pairs, by the percentile bootstrap."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from facegraft.core.config import Section

LEVEL = (2.5, 97.5)
"""Percentiles of the resampled means."""


class Figure(Section):
    """A mean with its 95 % interval; all None where no pair was measured.

    Attributes:
        pairs: how many were measured; a NaN or an infinity is none.
    """

    mean: float | None
    low: float | None
    high: float | None
    pairs: int


def figures(columns: Mapping[str, np.ndarray], resamples: int, seed: int) -> dict[str, Figure]:
    """Each column's mean over the pairs and its interval, a pure function of the arguments.

    Pairs are drawn with replacement, the same ones for every column of one length (Efron and
    Tibshirani, "An Introduction to the Bootstrap", 1993).

    Args:
        columns: key -> float64 (pairs,), NaN where a pair was not measured.
    """
    drawn: dict[int, np.ndarray] = {}
    found = {}
    for key, values in columns.items():
        if len(values) not in drawn:
            drawn[len(values)] = _draws(len(values), resamples, seed)
        found[key] = _figure(values, drawn[len(values)])
    return found


def _draws(pairs: int, resamples: int, seed: int) -> np.ndarray:
    """(resamples, pairs): how often each pair is drawn; float32 holds counts exactly."""
    rng = np.random.default_rng((seed, 4))
    return rng.multinomial(pairs, np.full(pairs, 1 / pairs), resamples).astype(np.float32)


def _figure(values: np.ndarray, draws: np.ndarray) -> Figure:
    measured = np.isfinite(values)
    if not measured.any():
        return Figure(mean=None, low=None, high=None, pairs=0)
    counts = draws @ measured
    means = (draws @ np.where(measured, values, 0.0))[counts > 0] / counts[counts > 0]
    low, high = np.percentile(means, LEVEL)
    return Figure(
        mean=float(values[measured].mean()),
        low=float(low),
        high=float(high),
        pairs=int(measured.sum()),
    )
