"""Histograms and heat maps by matplotlib, without pyplot: a figure is drawn and forgotten."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from PIL import Image

from facegraft.presenting.pages import Chart

BINS = 32

INSIDE, OUTSIDE, INK, QUIET = "#54708f", "#c2182b", "#1f2328", "#57606a"

UNKNOWN = "#dddddd"
"""Cell of a heat map that was not measured."""


def histogram(
    values: np.ndarray,
    label: str,
    *,
    low: float | None = None,
    high: float | None = None,
    marks: Sequence[float] = (),
    unit: str = "images",
) -> Chart:
    """Counts of the finite values; bars beyond a bound are red.

    Args:
        values: float (n,).
        low, high: bounds, drawn as lines and always inside the axis.
        marks: lines that are no bounds.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Chart("", f"{label}: no values")
    bounds = [bound for bound in (low, high) if bound is not None and np.isfinite(bound)]
    lines = [*bounds, *marks]
    start, stop = min(finite.min(), *lines, np.inf), max(finite.max(), *lines, 0)
    counts, edges = np.histogram(finite, BINS, (start, stop) if stop > start else None)
    middles = (edges[:-1] + edges[1:]) / 2
    outside = (middles < (-np.inf if low is None else low)) | (
        middles > (np.inf if high is None else high)
    )
    figure, axes = _small()
    # One picture among thousands is still to be seen.
    heights = np.where(counts, np.maximum(counts, 0.02 * counts.max()), 0)
    _bars(axes, edges, heights, np.where(outside, OUTSIDE, INSIDE))
    for line in lines:
        axes.axvline(line, color=OUTSIDE, linestyle=(0, (4, 3)), linewidth=1)
        right = line > (edges[0] + edges[-1]) / 2
        axes.annotate(
            f"{line:.3g}", (line, 1.0), (-3 if right else 3, 2), ha="right" if right else "left",
            xycoords=("data", "axes fraction"), textcoords="offset points",
            color=OUTSIDE, fontsize=8,
        )  # fmt: skip
    _ends(axes, edges)
    return Chart(_svg(figure), f"{label} ({len(finite):,} {unit})")


def compared(
    now: np.ndarray, before: np.ndarray, edges: np.ndarray, label: str, *, within: bool
) -> Chart:
    """Two histograms as shares over the bins that hold anything: bars now, a line before.

    Args:
        now, before: counts (bins,).
        edges: (bins + 1,).
        within: False draws red bars.
    """
    new, old = (counts / max(counts.sum(), 1) for counts in (now, before))
    used = np.flatnonzero(new + old)
    if not len(used):
        return Chart("", f"{label}: no values")
    shown = slice(used[0], used[-1] + 1)
    kept = edges[used[0] : used[-1] + 2]
    figure, axes = _small()
    _bars(axes, kept, new[shown], np.full(len(kept) - 1, INSIDE if within else OUTSIDE))
    axes.stairs(old[shown], kept, color=INK, linewidth=1.4, baseline=None)
    _ends(axes, kept)
    return Chart(_svg(figure), label)


@dataclass(frozen=True)
class Panel:
    """Columns of a heat map that share a colour scale.

    Attributes:
        title: what the numbers are, with their unit.
        columns: a name each.
        values: float64 (rows, columns), >= 0; NaN is left grey.
        digits: after the point.
    """

    title: str
    columns: tuple[str, ...]
    values: np.ndarray
    digits: int


def heat_map(rows: Sequence[str], panels: Sequence[Panel]) -> Image.Image:
    """Panels side by side over the same named rows, each value written into its cell."""
    widths = [len(panel.columns) for panel in panels]
    size = (0.62 * sum(widths) + 2.4, 0.27 * len(rows) + 1.5)
    figure = Figure(figsize=size, dpi=96, layout="constrained")
    many = figure.subplots(1, len(panels), width_ratios=widths, squeeze=False)[0]
    for axes, panel in zip(many, panels, strict=True):
        _cells(axes, panel)
    many[0].set_yticks(range(len(rows)), rows)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _cells(axes: Axes, panel: Panel) -> None:
    known = panel.values[np.isfinite(panel.values)]
    largest = max(float(known.max()), 1e-12) if len(known) else 1.0
    # The root keeps small values apart.
    scale = PowerNorm(0.5, 0, largest)
    colours = colormaps["Blues"].with_extremes(bad=UNKNOWN)
    axes.imshow(panel.values, cmap=colours, norm=scale, aspect="auto", interpolation="nearest")
    for (row, column), value in np.ndenumerate(panel.values):
        if np.isfinite(value):
            ink = "white" if scale(value) > 0.55 else "black"
            text = f"{value:.{panel.digits}f}"
            axes.text(column, row, text, color=ink, fontsize=8, ha="center", va="center")
    axes.set_title(panel.title, loc="left", fontsize=10)
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(panel.columns)), panel.columns, rotation=90)
    axes.set_yticks([])
    axes.tick_params(length=0, labelsize=9)
    axes.spines[:].set_visible(False)
    rows, columns = panel.values.shape
    axes.hlines(np.arange(1, rows) - 0.5, -0.5, columns - 0.5, color="white", linewidth=1.5)
    axes.vlines(np.arange(1, columns) - 0.5, -0.5, rows - 0.5, color="white", linewidth=1.5)


def _small() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(3.1, 1.45))
    axes = figure.add_axes((0.02, 0.14, 0.96, 0.73))
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color("#d9dde2")
    axes.set_yticks([])
    return figure, axes


def _bars(axes: Axes, edges: np.ndarray, heights: np.ndarray, colours: np.ndarray) -> None:
    widths = np.diff(edges)
    axes.bar(edges[:-1] + 0.06 * widths, heights, 0.88 * widths, align="edge", color=colours)
    axes.set_xlim(edges[0], edges[-1])


def _ends(axes: Axes, edges: np.ndarray) -> None:
    """The axis names its two ends only."""
    axes.set_xticks(edges[[0, -1]], [f"{edge:.3g}" for edge in edges[[0, -1]]])
    axes.tick_params(length=0, labelsize=8, labelcolor=QUIET)
    first, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")


def _svg(figure: Figure) -> str:
    """Text stays text, and the same figures are the same bytes."""
    stream = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "facegraft"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
