"""What the drift page shows: every statistic's histogram over the champion's."""

from __future__ import annotations

import numpy as np

from facegraft.data.drift import SHARES, DriftReport, Shift
from facegraft.data.summary import BINS, DataSummary, edges
from facegraft.presenting.charts import compared
from facegraft.presenting.pages import Chart, DriftPage, Table, Verdict


def drift_page(
    report: DriftReport, reference: DataSummary | None, current: DataSummary
) -> DriftPage:
    """The page's contents, what moved first; no reference leaves nothing to compare."""
    shifts = sorted(report.shifts, key=lambda one: one.within)
    drawn = [one for one in shifts if one.statistic != SHARES]
    return DriftPage(
        verdict=Verdict(report.passed, report.reason),
        version=report.data_version,
        champion=report.champion or "none",
        reference=report.reference or "unknown data",
        shifts=Table(
            ("verdict", "subjects", "statistic", "stability index", "allowed"),
            [_row(one) for one in shifts],
            figures=frozenset((3, 4)),
        ),
        charts=[] if reference is None else [_chart(one, reference, current) for one in drawn],
    )


def _row(shift: Shift) -> tuple[str, ...]:
    verdict = "passed" if shift.within else "failed"
    figures = (f"{shift.index:.3f}", f"{shift.allowed:.3f}")
    return (verdict, shift.kind, shift.statistic, *figures)


def _chart(shift: Shift, reference: DataSummary, current: DataSummary) -> Chart:
    now, before = (
        np.array(side.kinds[shift.kind].counts.get(shift.statistic) or [0] * BINS, np.float64)
        for side in (current, reference)
    )
    figures = f"index {shift.index:.3f}, allowed {shift.allowed:.3f}"
    label = f"{shift.statistic} of {shift.kind}: {figures}"
    return compared(now, before, edges(shift.statistic), label, within=shift.within)
