"""The pure gate between challenger and champion. It fails closed: doubt never promotes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from facegraft.core.config import PromoteParams

Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Decision:
    """Whether the alias moves, and every reason for or against.

    Attributes:
        unchanged: the alias need not move: the model is champion already.
    """

    promote: bool
    reasons: tuple[str, ...]
    unchanged: bool = False


def decide(challenger: Metrics, champion: Metrics | None, rules: PromoteParams) -> Decision:
    """Compare the challenger with the champion, both measured on the same pairs.

    A missing or non-finite figure, on either side, a tie, or a bound met exactly refuses. Without
    a champion the bounds alone decide, and the metric must still be a finite number.

    Args:
        challenger: benchmark metrics by key.
        champion: the same, or None when there is no champion yet.
    """
    against = [fault for fault in _bound_faults(challenger, rules) if fault]
    mine = finite(challenger, rules.metric)
    if mine is None:
        against.append(f"challenger {rules.metric} is missing or not a finite number")
    favour = f"no champion yet; challenger {rules.metric} = {mine}"
    if champion is not None and mine is not None:
        theirs = finite(champion, rules.metric)
        if theirs is None:
            against.append(f"champion {rules.metric} is missing or not a finite number")
        elif not mine - theirs > rules.min_improvement:
            against.append(
                f"{rules.metric}: challenger {mine:.4f} is not more than {rules.min_improvement} "
                f"above champion {theirs:.4f}"
            )
        else:
            favour = f"{rules.metric}: challenger {mine:.4f} above champion {theirs:.4f}"
    if against:
        return Decision(promote=False, reasons=tuple(against))
    return Decision(promote=True, reasons=(favour,))


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
