"""The gate's page: one HTML file with its pictures inside, readable without a network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from facegraft.adapters import store
from facegraft.adapters.gate import GateReport, RuleResult
from facegraft.adapters.store import DataError
from facegraft.core.atomic import replacing
from facegraft.core.config import ValidateParams
from facegraft.stages.validating.gate_charts import charts

OFFENDERS = 12
"""Pictures shown per rule."""

SAMPLES = 10
"""Pictures shown per split."""

NEAR_DUPLICATES = "no_near_duplicate_across_splits"

DISAGREEING = "identity_agrees"

NOTES = {
    "not_blank": "deviation {pixel_std:.1f}",
    "sharp_enough": "sharpness {sharpness:.2f}",
    "well_exposed": "mean level {brightness:.0f}",
    "not_clipped": "{clipped:.0%} clipped",
    DISAGREEING: "{identity_id}, likeness {identity_margin:.2f} above others",
    "face_large_enough": "face {face_fraction:.0%} of the height",
    NEAR_DUPLICATES: "{nearest:.0f} bits from {nearest_key}",
}
"""What stands below an offender of a rule; elsewhere face and deviation."""

STYLE = """
:root { color-scheme: light; --ok: #1a7f37; --bad: #c2182b; --line: #d9dde2; --quiet: #57606a; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 68rem; padding: 1.5rem;
       color: #1f2328; background: #fff; }
h1 { font-size: 1.5rem; margin: 0 0 .8rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
.verdict { padding: .8rem 1rem; border-radius: 6px; color: #fff; overflow-wrap: anywhere; }
.green { background: var(--ok); } .red { background: var(--bad); }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .3rem .6rem;
  border-bottom: 1px solid var(--line); vertical-align: top; } td.n, th.n { text-align: right;
  font-variant-numeric: tabular-nums; } code { font-size: .9em; }
.mark { font-weight: 600; white-space: nowrap; } .passed { color: var(--ok); }
.failed { color: var(--bad); } tr.broken { background: #fff1f1; }
.pictures { display: flex; flex-wrap: wrap; gap: .6rem; } figure { margin: 0; width: 6rem; }
figure img { width: 6rem; height: 6rem; display: block; background: #eee; object-fit: contain; }
figcaption { font-size: .68rem; color: var(--quiet); overflow-wrap: anywhere; line-height: 1.25; }
.charts { display: flex; flex-wrap: wrap; gap: 1.6rem; } .chart { width: 300px; }
svg text { font-size: 11px; fill: #57606a; } svg text.bound { fill: var(--bad); }
.quiet { color: var(--quiet); }
"""


def write_page(
    path: Path,
    report: GateReport,
    manifest: pd.DataFrame,
    statistics: pd.DataFrame,
    data_dir: Path,
    version: str,
    params: ValidateParams,
) -> None:
    """Write the page atomically.

    Args:
        version: of the data, as DVC names it.
        params: the bounds that the histograms show.
    """
    picture = _Pictures(data_dir, manifest, statistics)
    parts = [
        _verdict(report),
        _summary(manifest, statistics, version),
        _offenders(report.failures, picture, "Pictures that break a rule", "failed"),
        charts(manifest, statistics, params),
        _rules(report),
        _offenders(
            [rule for rule in report.rules if rule.passed and rule.keys],
            picture,
            "Exceptions within a rule's tolerance",
            "passed",
        ),
        _samples(manifest, picture),
    ]
    with replacing(path) as temporary:
        temporary.write_text(document("Data gate", "\n".join(parts)), encoding="utf-8")


class _Pictures:
    """Figures of single pictures, by key."""

    def __init__(self, data_dir: Path, manifest: pd.DataFrame, statistics: pd.DataFrame) -> None:
        self._data_dir = data_dir
        self._places = manifest.drop_duplicates("key").set_index("key")
        self._statistics = statistics.drop_duplicates("key").set_index("key")

    def __call__(self, key: str, rule: str = "") -> str:
        seen = self._statistics.loc[key] if key in self._statistics.index else None
        note = "" if seen is None else self._note(seen, self._places.loc[key], rule)
        caption = f"{html.escape(key)}<br>{html.escape(note)}"
        return f"<figure>{self._image(key)}<figcaption>{caption}</figcaption></figure>"

    def _image(self, key: str) -> str:
        try:
            place = self._places.loc[key]
            shard = store.open_shard(self._data_dir / str(place["shard"]))
            cell = store.cell_at(shard, int(place["row"]), int(place["column"]))
        except (KeyError, IndexError, DataError, TypeError, ValueError):
            return '<img alt="cannot be shown">'
        if cell.ndim != 3 or cell.shape[0] != 3:
            return '<img alt="cannot be shown">'
        return f'<img alt="{html.escape(key)}" src="{_data_uri(cell.transpose(1, 2, 0))}">'

    def offenders(self, rule: RuleResult) -> list[str]:
        """The keys to show: a near-duplicate with the picture that it resembles beside it, an
        identity's images together, the worst identity first.
        """
        if rule.rule == DISAGREEING:
            seen = self._statistics.loc[self._statistics.index.isin(rule.keys)]
            worst = seen.sort_values("identity_margin", kind="stable").index
            return [str(key) for key in worst[:OFFENDERS]]
        if rule.rule != NEAR_DUPLICATES:
            return list(rule.keys[:OFFENDERS])
        known = [key for key in rule.keys if key in self._statistics.index]
        twins = [(key, str(self._statistics.loc[key, "nearest_key"])) for key in known]
        return list(dict.fromkeys(key for pair in twins for key in pair))[:OFFENDERS]

    @staticmethod
    def _note(seen: pd.Series, place: pd.Series, rule: str) -> str:
        if seen["problem"]:
            return str(seen["problem"])
        if rule in NOTES:
            return NOTES[rule].format(**{**seen, "identity_id": place["identity_id"]})
        face = f"face {seen['face_fraction']:.0%}" if seen["face_found"] else "no face"
        return f"{face}, deviation {seen['pixel_std']:.0f}"


def document(title: str, body: str) -> str:
    """A whole HTML page with the gate's style."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>facegraft: {title.lower()}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{title}</h1>\n{body}\n</body></html>\n"
    )


def _verdict(report: GateReport) -> str:
    if report.passed:
        return f'<p class="verdict green">GREEN: all {len(report.rules)} rules hold.</p>'
    return f'<p class="verdict red">RED: {html.escape(report.message())}</p>'


def _summary(manifest: pd.DataFrame, statistics: pd.DataFrame, version: str) -> str:
    joined = manifest.merge(
        statistics[["key", "face_found", "face_fraction", "pixel_std"]], on="key", how="left"
    )
    lines = []
    for split, rows in joined.groupby("split", sort=False, dropna=False):
        kinds = ", ".join(f"{n} {kind}" for kind, n in rows["subject_kind"].value_counts().items())
        numbers = (
            f"{len(rows):,}",
            f"{rows['identity_id'].nunique():,}",
            f"{rows['attribute_id'].nunique():,}",
            f"{rows['face_found'].astype(float).mean():.2%}",
            f"{rows['face_fraction'].median():.2f}",
        )
        cells = "".join(f'<td class="n">{number}</td>' for number in numbers)
        lines.append(f"<tr><td>{html.escape(str(split))}</td>{cells}<td>{html.escape(kinds)}</td>")
    heads = ("images", "identities", "attribute sets", "faces found", "median face height")
    head = "".join(f'<th class="n">{title}</th>' for title in heads)
    return (
        f"<h2>Data</h2><p>Version <code>{html.escape(version)}</code>, "
        f"{len(manifest):,} images.</p>"
        f"<table><tr><th>split</th>{head}<th>subjects</th></tr>{''.join(lines)}</table>"
    )


def _rules(report: GateReport) -> str:
    lines = []
    for rule in sorted(report.rules, key=lambda one: one.passed):
        word = "passed" if rule.passed else "failed"
        lines.append(
            f'<tr{"" if rule.passed else " class=broken"}><td class="mark {word}">{word}</td>'
            f"<td><code>{html.escape(rule.rule)}</code></td><td>{html.escape(rule.meaning)}</td>"
            f"<td>{html.escape(rule.observed)}</td></tr>"
        )
    head = "<tr><th>verdict</th><th>rule</th><th>meaning</th><th>seen</th></tr>"
    return f"<h2>Rules</h2><table>{head}{''.join(lines)}</table>"


def _offenders(rules: Sequence[RuleResult], picture: _Pictures, title: str, word: str) -> str:
    shown = [rule for rule in rules if rule.keys]
    if not shown:
        return ""
    parts = [f"<h2>{title}</h2>"]
    for rule in shown:
        more = len(rule.keys) - OFFENDERS
        tail = f" (the first {OFFENDERS} of {len(rule.keys)})" if more > 0 else ""
        figures = "".join(picture(key, rule.rule) for key in picture.offenders(rule))
        parts.append(
            f'<p><code class="{word}">{html.escape(rule.rule)}</code>: '
            f"{html.escape(rule.meaning)}{tail}</p>"
            f'<div class="pictures">{figures}</div>'
        )
    return "".join(parts)


def _samples(manifest: pd.DataFrame, picture: Callable[[str], str]) -> str:
    parts = ["<h2>Samples</h2>"]
    for split, rows in manifest.groupby("split", sort=False):
        evenly = np.linspace(0, len(rows) - 1, min(SAMPLES, len(rows))).astype(int)
        figures = "".join(picture(str(key)) for key in rows["key"].iloc[evenly])
        parts.append(f'<p>{html.escape(str(split))}</p><div class="pictures">{figures}</div>')
    return "".join(parts)


def _data_uri(pixels: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
