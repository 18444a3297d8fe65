"""The drift page: every statistic's histogram over the champion's, readable without a network."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facegraft.core.atomic import replacing
from facegraft.data.drift import SHARES, Shift
from facegraft.data.summary import BINS, DataSummary, edges
from facegraft.stages.validating.gate_page import document

if TYPE_CHECKING:
    from facegraft.stages.drift import DriftReport

WIDTH, HEIGHT = 300, 110


def write_page(
    path: Path, report: DriftReport, reference: DataSummary | None, current: DataSummary
) -> None:
    """Write the page atomically."""
    colour, word = ("green", "GREEN") if report.passed else ("red", "RED")
    parts = [
        f'<p class="verdict {colour}">{word}: {html.escape(report.reason)}</p>',
        f"<p>Data <code>{html.escape(report.data_version)}</code>; champion "
        f"{html.escape(report.champion or 'none')}, trained on "
        f"<code>{html.escape(report.reference or 'unknown data')}</code>.</p>",
    ]
    if reference is not None:
        parts += [_table(report), _charts(report, reference, current)]
    with replacing(path) as temporary:
        temporary.write_text(document("Data drift", "\n".join(parts)), encoding="utf-8")


def _table(report: DriftReport) -> str:
    lines = [
        f"<tr{'' if shift.within else ' class=broken'}>"
        f'<td class="mark {_word(shift)}">{_word(shift)}</td><td>{html.escape(shift.kind)}</td>'
        f'<td>{html.escape(shift.statistic)}</td><td class="n">{shift.index:.3f}</td>'
        f'<td class="n">{shift.allowed:.3f}</td></tr>'
        for shift in sorted(report.shifts, key=lambda one: one.within)
    ]
    head = (
        "<tr><th>verdict</th><th>subjects</th><th>statistic</th>"
        '<th class="n">stability index</th><th class="n">allowed</th></tr>'
    )
    return f"<h2>Statistics</h2><table>{head}{''.join(lines)}</table>"


def _charts(report: DriftReport, reference: DataSummary, current: DataSummary) -> str:
    drawn = [
        _chart(shift, *(side.kinds[shift.kind].counts for side in (reference, current)))
        for shift in sorted(report.shifts, key=lambda one: one.within)
        if shift.statistic != SHARES
    ]
    return (
        "<h2>Histograms</h2><p>Bars: the data at hand. Line: what the champion was trained on.</p>"
        f'<div class="charts">{"".join(drawn)}</div>'
    )


def _chart(
    shift: Shift, before: dict[str, tuple[int, ...]], now: dict[str, tuple[int, ...]]
) -> str:
    """Both histograms as shares, over the bins that hold anything."""
    old, new = (_share(side.get(shift.statistic, ())) for side in (before, now))
    used = np.flatnonzero(old + new)
    if not len(used):
        return ""
    first, last = used[0], used[-1] + 1
    top = max(old.max(), new.max())
    step = WIDTH / (last - first)
    bars = "".join(
        f'<rect x="{(k - first) * step:.1f}" y="{HEIGHT - HEIGHT * new[k] / top:.1f}" '
        f'width="{max(step - 1, 1):.1f}" height="{HEIGHT * new[k] / top:.1f}" '
        f'fill="{"#54708f" if shift.within else "#c2182b"}"/>'
        for k in range(first, last)
    )
    line = " ".join(
        f"{(k - first + side) * step:.1f},{HEIGHT - HEIGHT * old[k] / top:.1f}"
        for k in range(first, last)
        for side in (0, 1)
    )
    label = html.escape(f"{shift.statistic} of {shift.kind}")
    axis = edges(shift.statistic)
    return (
        f'<figure class="chart"><svg width="{WIDTH}" height="{HEIGHT + 18}" role="img" '
        f'aria-label="{label}">{bars}<polyline points="{line}" fill="none" stroke="#1f2328" '
        f'stroke-width="1.5"/><text x="0" y="{HEIGHT + 14}">{axis[first]:.3g}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 14}" text-anchor="end">{axis[last]:.3g}</text></svg>'
        f"<figcaption>{label}: index {shift.index:.3f}, allowed {shift.allowed:.3f}</figcaption>"
        "</figure>"
    )


def _share(counts: tuple[int, ...]) -> np.ndarray:
    values = np.array(counts or [0] * BINS, np.float64)
    return values / max(values.sum(), 1.0)


def _word(shift: Shift) -> str:
    return "passed" if shift.within else "failed"
