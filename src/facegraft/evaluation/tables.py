"""The table of metrics, wherever it is shown: a line a metric, a column a row of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from facegraft.evaluation.benchmark import ROWS
from facegraft.evaluation.bootstrap import Figure

LOWER_IS_BETTER = ("gmsd", "loss", "error", "similarity_target")
"""Parts of the keys whose metric should be small; of all others it should be large."""

DIGITS = {"psnr": 2, "pose_error": 1, "colour_error": 1, "tone_error": 1, "background_error": 1}
"""Part of a key -> digits after the point; else 3."""

ABSENT = "-"


FIRST = (
    *("judge", "second_judge", "photographs", "avatars", "psnr_changed_gain", "sharpness"),
    *("psnr", "ssim", "gmsd", "_error", "_loss"),
)
"""Parts of the keys in the order in which their metrics stand; the rest comes last."""


Cell = Figure | float | str | None
"""A metric with its interval or without; what is neither is no metric."""


def metrics_of(figures: Mapping[str, Any]) -> tuple[str, ...]:
    """The metrics of all rows, what matters most first."""
    metrics = dict.fromkeys(key.split("/", 1)[1] for key in figures if "/" in key)
    return tuple(sorted(metrics, key=_place))


def _place(metric: str) -> int:
    found = (k for k, part in enumerate(FIRST) if metric.startswith(part) or metric.endswith(part))
    return next(found, len(FIRST))


def metric_table(
    figures: Mapping[str, Any], notes: Mapping[str, str] | None = None
) -> list[list[str]]:
    """Head and body of the table as cells.

    Args:
        figures: keyed `row/metric`: `Cell`s; other keys are passed over.
        notes: metric -> what stands in its cells instead of figures, e.g. "not installed".
    """
    table = [["metric", *ROWS]]
    for metric in metrics_of(figures):
        table.append(
            [_title(metric), *(_cell(metric, figures.get(f"{row}/{metric}")) for row in ROWS)]
        )
    table += [[metric, *([note] * len(ROWS))] for metric, note in (notes or {}).items()]
    return table


def titles(head: Sequence[str]) -> list[str]:
    """The table's head as a page shows it, e.g. "true swap"."""
    return [name.replace("_", " ") for name in head]


def as_text(table: Sequence[Sequence[str]]) -> str:
    """For a terminal: columns of one width."""
    widths = [max(len(row[k]) for row in table) for k in range(len(table[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    )


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """As a Markdown table, figures to the right."""
    head, *body = table
    rule = ["---", *(["---:"] * (len(head) - 1))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *body))


def _title(metric: str) -> str:
    return f"{metric} {'↓' if any(part in metric for part in LOWER_IS_BETTER) else '↑'}"


def _cell(metric: str, figure: Cell) -> str:
    digits = next((n for part, n in DIGITS.items() if part in metric), 3)
    if isinstance(figure, float):
        return f"{figure:.{digits}f}"
    if not isinstance(figure, Figure):
        return ABSENT
    if figure.mean is None or figure.low is None or figure.high is None:
        return "not measured"
    mean, low, high = (f"{value:.{digits}f}" for value in (figure.mean, figure.low, figure.high))
    return f"{mean} [{low}, {high}]"
