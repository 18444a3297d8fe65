"""How far two datasets' summaries lie apart; doubt is drift, as a gate must have it.

The figure is the population stability index over bins that each hold a tenth of the reference:
below 0.1 nothing happened, above 0.25 the population is another one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegraft.core.config import DriftParams
from facegraft.data.summary import RANGES, DataSummary, KindSummary

GROUPS = 10
"""Bins of about equal reference share that the index is summed over."""

SURE = 3.0
"""Standard deviations of the index's own noise that are not called drift."""

SHARES = "share of subject kinds"


@dataclass(frozen=True)
class Shift:
    """One statistic's change.

    Attributes:
        kind: the subject kind, or "all".
        statistic: a key of `data.summary.RANGES`, or `SHARES`.
        index: the population stability index; infinite where one side was not measured.
        allowed: the bound plus what chance alone may do at this number of pictures.
    """

    kind: str
    statistic: str
    index: float
    allowed: float

    @property
    def within(self) -> bool:
        return bool(self.index <= self.allowed)


@dataclass(frozen=True)
class DriftReport:
    """The verdict.

    Attributes:
        passed: no champion, nothing moved, or the drift of this data version was accepted by
            `facegraft drift --accept`.
        reason: in words; one line.
        champion: its version, or None.
        reference: the data version that it was trained on, or None where that is not known.
        data_version: of the data at hand.
        shifts: every statistic that was compared.
    """

    passed: bool
    reason: str
    champion: str | None
    reference: str | None
    data_version: str
    shifts: tuple[Shift, ...]


def drift_verdict(
    current: DataSummary,
    champion: str | None,
    reference: DataSummary | None,
    params: DriftParams,
) -> DriftReport:
    """The rule, on two summaries.

    No champion: it holds, and says so. A champion without a summary: it fails, as nothing was
    measured.
    """
    shifts = compare(reference, current, params.max_index) if reference else ()
    moved = sorted((s for s in shifts if not s.within), key=lambda s: s.allowed - s.index)
    if champion is None:
        passed, reason = True, "no champion yet, so there is nothing to have drifted from"
    elif reference is None:
        passed, reason = (
            False,
            f"champion {champion} keeps no summary of the data it was trained on",
        )
    elif moved:
        passed, reason = False, f"against champion {champion}: {'; '.join(map(_words, moved))}"
    else:
        passed, reason = True, f"{len(shifts)} statistics are as champion {champion} knows them"
    return DriftReport(
        passed=passed,
        reason=reason,
        champion=champion,
        reference=reference.data_version if reference else None,
        data_version=current.data_version,
        shifts=shifts,
    )


def _words(shift: Shift) -> str:
    what = shift.statistic if shift.kind == "all" else f"{shift.statistic} of {shift.kind}"
    return f"{what} moved by {shift.index:.2f} (allowed {shift.allowed:.2f})"


def compare(reference: DataSummary, current: DataSummary, max_index: float) -> tuple[Shift, ...]:
    """Every statistic of every kind that both hold, and the kinds' shares.

    A statistic that only one side has measured is drift; a kind that only one side holds is seen
    in the shares.
    """
    shifts = [_shares(reference, current, max_index)]
    for kind in sorted(reference.kinds.keys() & current.kinds.keys()):
        before, now = reference.kinds[kind], current.kinds[kind]
        noise = 1 / max(before.independent, 1) + 1 / max(now.independent, 1)
        for statistic in RANGES:
            old = np.array(before.counts.get(statistic, ()), np.float64)
            new = np.array(now.counts.get(statistic, ()), np.float64)
            if old.sum() == 0 and new.sum() == 0:
                continue
            index, groups = stability_index(old, new)
            shifts.append(Shift(kind, statistic, index, _allowed(max_index, groups, noise)))
    return tuple(shifts)


def stability_index(reference: np.ndarray, current: np.ndarray) -> tuple[float, int]:
    """The index of two histograms (B,) with the same bins, and over how many groups of bins.

    Infinite where either is empty.
    """
    if reference.sum() == 0 or current.sum() == 0:
        return float("inf"), 1
    before = np.cumsum(reference) - reference
    # A bin belongs to the tenth that its middle lies in.
    group = ((before + reference / 2) / reference.sum() * GROUPS).astype(int)
    _, group = np.unique(group, return_inverse=True)
    return _index(np.bincount(group, reference), np.bincount(group, current)), int(group.max() + 1)


def _index(reference: np.ndarray, current: np.ndarray) -> float:
    """Half a picture is added everywhere: an empty bin is unlikely, not impossible."""
    old = (reference + 0.5) / (reference + 0.5).sum()
    new = (current + 0.5) / (current + 0.5).sum()
    return float(((new - old) * np.log(new / old)).sum())


def _allowed(max_index: float, groups: int, noise: float) -> float:
    """Without any change the index is `noise` x chi-squared of groups - 1 degrees."""
    freedom = groups - 1
    return max_index + noise * (freedom + SURE * np.sqrt(2 * freedom))


def _shares(reference: DataSummary, current: DataSummary, max_index: float) -> Shift:
    kinds = sorted(reference.kinds.keys() | current.kinds.keys())
    old, new = (
        np.array([_images(side.kinds.get(kind)) for kind in kinds], np.float64)
        for side in (reference, current)
    )
    noise = sum(
        1 / max(sum(kind.independent for kind in side.kinds.values()), 1)
        for side in (reference, current)
    )
    measured = old.sum() > 0 and new.sum() > 0
    index = _index(old, new) if measured else float("inf")
    return Shift("all", SHARES, index, _allowed(max_index, max(len(kinds), 1), noise))


def _images(kind: KindSummary | None) -> int:
    return 0 if kind is None else kind.images
