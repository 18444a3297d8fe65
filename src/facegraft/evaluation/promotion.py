"""The pure gate between challenger and champion. It fails closed: doubt never promotes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facegraft.core.config import PromoteParams
from facegraft.evaluation.bootstrap import Figure, figures

Metrics = Mapping[str, float | None]
ByPair = Sequence[float | None]
"""One metric of every pair, in the pairs' order; None where it has no value there."""

RESAMPLES, SEED = 2000, 0


@dataclass(frozen=True)
class Measured:
    """What is known of a model.

    Attributes:
        metrics: benchmark metrics by key.
        by_pair: the metric that decides, pair by pair; None where only its mean is known.
    """

    metrics: Metrics
    by_pair: ByPair | None = None


@dataclass(frozen=True)
class Decision:
    """Whether the alias moves, and every reason for or against.

    Attributes:
        unchanged: the alias need not move: the model is champion already.
    """

    promote: bool
    reasons: tuple[str, ...]
    unchanged: bool = False


def decide(challenger: Measured, champion: Measured | None, rules: PromoteParams) -> Decision:
    """Compare the challenger with the champion, both measured on the same pairs.

    The 95 % interval of the mean difference over the pairs must lie above `min_difference`: with 0
    the challenger must be better beyond chance, with a negative bound it must not be worse by more
    than that. A missing or non-finite figure, on either side, or a bound met exactly refuses.
    Without a champion the bounds alone decide, and the metric must still be a finite number.

    Args:
        champion: None when there is no champion yet.
    """
    against = _bound_faults(challenger.metrics, rules)
    mine = finite(challenger.metrics, rules.metric)
    if mine is None:
        against.append(f"challenger {rules.metric} is missing or not a finite number")
    favour = f"no champion yet; challenger {rules.metric} = {mine}"
    if champion is not None and mine is not None:
        fault, favour = _compared(challenger, champion, rules)
        against += [fault] if fault else []
    if against:
        return Decision(promote=False, reasons=tuple(against))
    return Decision(promote=True, reasons=(favour,))


def both(one: Decision, other: Decision) -> Decision:
    """For what both are for, with the reasons of both; else with the reasons against."""
    promote = one.promote and other.promote
    said = [each for each in (one, other) if promote or not each.promote]
    return Decision(
        promote=promote, reasons=tuple(reason for each in said for reason in each.reasons)
    )


def _compared(
    challenger: Measured, champion: Measured, rules: PromoteParams
) -> tuple[str | None, str]:
    """What speaks against the challenger, if anything, and what for it."""
    mine, theirs = (finite(one.metrics, rules.metric) for one in (challenger, champion))
    if theirs is None:
        return f"champion {rules.metric} is missing or not a finite number", ""
    gap = difference(challenger.by_pair, champion.by_pair)
    if gap is None or gap.mean is None or gap.low is None or gap.high is None:
        return f"{rules.metric} was not measured on the same pairs, so it cannot be compared", ""
    comparison = (
        f"{rules.metric}: challenger {mine:.4f}, champion {theirs:.4f}, difference {gap.mean:+.4f} "
        f"[{gap.low:+.4f}, {gap.high:+.4f}] over {gap.pairs} pairs"
    )
    if not gap.low > rules.min_difference:
        return f"{comparison}; the interval must lie above {rules.min_difference:+g}", ""
    return None, comparison


def difference(mine: ByPair | None, theirs: ByPair | None) -> Figure | None:
    """The mean of mine - theirs with its 95 % interval over the pairs.

    None where a side is missing, or where a pair has a finite value on one side alone.
    """
    if not mine or not theirs or len(mine) != len(theirs):
        return None
    ours, other = (np.array([np.nan if v is None else v for v in one]) for one in (mine, theirs))
    if not np.array_equal(np.isfinite(ours), np.isfinite(other)):
        return None
    with np.errstate(invalid="ignore"):  # infinity less infinity is no value either
        return figures({"difference": ours - other}, RESAMPLES, SEED)["difference"]


def finite(metrics: Metrics, key: str) -> float | None:
    """The figure, or None where it is missing, NaN, infinite or no number."""
    value = metrics.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _bound_faults(challenger: Metrics, rules: PromoteParams) -> list[str]:
    faults = []
    for sign, word, bounds in ((1, "above", rules.min_values), (-1, "below", rules.max_values)):
        for key, bound in bounds.items():
            value = finite(challenger, key)
            if value is None:
                faults.append(f"{key} is missing or not a finite number")
            elif not sign * (value - bound) > 0:
                faults.append(f"{key} = {value:.4f} is not {word} {bound}")
    return faults
