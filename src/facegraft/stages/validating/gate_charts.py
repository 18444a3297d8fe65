"""The gate page's histograms: inline SVG, with the bound that each statistic is held to."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import pandas as pd

from facegraft.core.config import ValidateParams
from facegraft.imaging.perceptual_hash import BITS

BINS = 32
WIDTH, HEIGHT = 300, 110
MARGIN = 14
"""Pixels above the bars, for the bound's label."""

INSIDE, OUTSIDE, LINE = "#54708f", "#c2182b", "#c2182b"


def charts(manifest: pd.DataFrame, statistics: pd.DataFrame, params: ValidateParams) -> str:
    """A histogram of every statistic that a rule reads."""
    p = params
    nearest = statistics["nearest"].astype(float)
    identities = manifest["identity_id"].value_counts()
    reach = f"{p.min_pose_share:.0%} beyond either line"
    drawn = [
        histogram(statistics["face_fraction"], "face height over image height",
                  low=p.min_face_fraction),
        histogram(statistics["face_score"], "detector's confidence"),
        histogram(statistics["pixel_std"], "deviation of grey levels", low=p.min_pixel_std),
        histogram(statistics["sharpness"], "sharpness", low=p.min_sharpness),
        histogram(statistics["brightness"], "mean level of the middle",
                  low=p.min_brightness, high=p.max_brightness),
        histogram(statistics["clipped"], "share of clipped pixels", high=p.max_clipped),
        histogram(statistics["yaw"], f"yaw, degrees ({reach})", marks=_both(p.min_yaw_reach)),
        histogram(statistics["pitch"], f"pitch, degrees ({reach})", marks=_both(p.min_pitch_reach)),
        histogram(nearest.where(nearest <= BITS), "bits to the nearest of another split",
                  low=p.min_hash_distance),
        histogram(statistics["identity_margin"], "an identity's likeness to itself, above others",
                  low=p.min_identity_margin),
        histogram(identities, "images per identity", unit="identities"),
    ]  # fmt: skip
    return f'<h2>Measures</h2><div class="charts">{"".join(drawn)}</div>'


def histogram(
    values: pd.Series,
    title: str,
    *,
    low: float | None = None,
    high: float | None = None,
    marks: Sequence[float] = (),
    unit: str = "images",
) -> str:
    """An SVG with the counts of the finite values; bars beyond a bound are red.

    Args:
        low, high: bounds, drawn as lines and always inside the axis.
        marks: lines that are no bounds.
    """
    finite = values.astype(float).to_numpy()
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return (
            f'<figure class="chart"><p class="quiet">{html.escape(title)}: no values</p></figure>'
        )
    bounds = [bound for bound in (low, high) if bound is not None and np.isfinite(bound)]
    start, stop = min(finite.min(), *bounds, *marks, np.inf), max(finite.max(), *bounds, *marks, 0)
    counts, edges = np.histogram(finite, BINS, (start, stop) if stop > start else None)
    scale = WIDTH / (edges[-1] - edges[0])
    bars = "".join(
        _bar((left - edges[0]) * scale, (right - left) * scale, count / counts.max(),
             outside=_outside(left, right, low, high))
        for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True)
    )  # fmt: skip
    lines = "".join(_line((bound - edges[0]) * scale, f"{bound:.3g}") for bound in bounds)
    lines += "".join(_line((mark - edges[0]) * scale, f"{mark:.3g}") for mark in marks)
    foot = MARGIN + HEIGHT + 13
    label = html.escape(title)
    return (
        f'<figure class="chart"><svg width="{WIDTH}" height="{foot + 4}" role="img" '
        f'aria-label="{label}">{bars}{lines}'
        f'<text x="0" y="{foot}">{edges[0]:.3g}</text>'
        f'<text x="{WIDTH}" y="{foot}" text-anchor="end">{edges[-1]:.3g}</text></svg>'
        f"<figcaption>{label} ({len(finite):,} {unit})</figcaption></figure>"
    )


def _both(reach: float) -> tuple[float, float]:
    return (-reach, reach)


def _outside(left: float, right: float, low: float | None, high: float | None) -> bool:
    """Whether the middle of a bar breaks a bound."""
    middle = (left + right) / 2
    return (low is not None and middle < low) or (high is not None and middle > high)


def _bar(x: float, width: float, share: float, *, outside: bool) -> str:
    # One picture among thousands is still to be seen.
    height = max(HEIGHT * share, 2.0) if share else 0.0
    return (
        f'<rect x="{x:.1f}" y="{MARGIN + HEIGHT - height:.1f}" width="{max(width - 1, 1):.1f}" '
        f'height="{height:.1f}" fill="{OUTSIDE if outside else INSIDE}"/>'
    )


def _line(x: float, label: str) -> str:
    side = "end" if x > WIDTH / 2 else "start"
    shift = -3 if side == "end" else 3
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{MARGIN + HEIGHT}" stroke="{LINE}" '
        f'stroke-dasharray="4 3"/><text class="bound" x="{x + shift:.1f}" y="10" '
        f'text-anchor="{side}">{html.escape(label)}</text>'
    )
