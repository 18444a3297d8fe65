"""build/report/index.html: one self-contained page that shows what the road led to."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facegraft.adapters.lineage import provenance
from facegraft.core.atomic import replacing
from facegraft.core.project import Project
from facegraft.stages.swap import finished_below

ROWS = {
    "model": "model",
    "true_swap": "true swap",
    "copy_target": "copy target",
    "copy_source": "copy source",
}

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
h1{margin-bottom:.2em} h2{margin-top:1.8em;border-bottom:1px solid #ddd}
table{border-collapse:collapse} td,th{padding:.2em .7em;border-bottom:1px solid #eee}
th{text-align:left} td.n{text-align:right;font-variant-numeric:tabular-nums}
img{max-width:100%} code{background:#f4f4f4;padding:0 .2em}
.PASS,.passed{color:#2e7d32;font-weight:600} .FAIL,.FAILED{color:#c62828;font-weight:600}
figure{margin:1.2em 0} figcaption{color:#555}
"""


def write_report(
    project: Project, swaps: Path, links: Mapping[str, str], *, title: str = "facegraft"
) -> Path:
    """Write the page and return its path.

    Args:
        swaps: folder below which finished swaps lie, each in a folder of its own.
        links: text -> address, shown at the top.
    """
    parts = [
        _links(links),
        _swaps(swaps),
        _held_out(project),
        _benchmark(_read(project.evaluation / "benchmark.json")),
        _decision(_read(project.promotion / "decision.json")),
        _calibration(_read(project.evaluation / "calibration.json")),
        _gate(_read(project.validation / "report.json")),
        _versions(project),
    ]
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{html.escape(title)}</h1>" + "".join(parts) + "</html>\n"
    )
    path = project.build / "report" / "index.html"
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _links(links: Mapping[str, str]) -> str:
    items = "".join(
        f'<li>{html.escape(text)}: <a href="{html.escape(address)}">{html.escape(address)}</a></li>'
        for text, address in links.items()
    )
    return f"<ul>{items}</ul>"


def _swaps(folder: Path) -> str:
    figures = []
    for result in finished_below(folder):
        record = result.record
        before, after = (
            "no face found"
            if judged.similarity_source is None
            else f"{judged.similarity_source:.3f}"
            for judged in (record.judge_before, record.judge_after)
        )
        warning = " <b>Tuning made the judge see less of the source.</b>"
        figures.append(
            f"<figure>{_image(result.comparison)}<figcaption>"
            f'<span class="{record.verdict}">{record.verdict}</span> '
            f"{html.escape(record.source.given)} on {html.escape(record.target.given)}: "
            f"{html.escape(record.reason)}. Independent judge, similarity to the source: {before}"
            f" before, {after} after.{warning if record.judge_disagrees else ''}"
            "</figcaption></figure>"
        )
    return "<h2>Swaps with per-pair fine-tuning</h2>" + ("".join(figures) or "<p>none yet</p>")


def _held_out(project: Project) -> str:
    return (
        "<h2>Held-out pairs, without fine-tuning</h2><figure>"
        f"{_image(project.evaluation / 'pairs.png')}<figcaption>Identities and attribute sets"
        " that were never trained on.</figcaption></figure>"
    )


def _benchmark(figures: Mapping[str, Any]) -> str:
    metrics = dict.fromkeys(key.split("/", 1)[1] for key in figures if "/" in key)
    rows = [
        (metric, *(_number(figures.get(f"{row}/{metric}")) for row in ROWS)) for metric in metrics
    ]
    return (
        f"<h2>Benchmark on {html.escape(str(figures.get('pairs', '?')))} held-out pairs</h2>"
        + _table(("metric", *ROWS.values()), rows)
        + "<p>The true swap is the renderer's own; the judge is a recogniser that no loss uses.</p>"
    )


def _decision(decision: Mapping[str, Any]) -> str:
    verdict = "promoted" if decision["promoted"] else "not promoted"
    before, now = (
        html.escape(str(decision[key] or "none")) for key in ("champion_before", "champion_now")
    )
    reasons = "".join(f"<li>{html.escape(reason)}</li>" for reason in decision["reasons"])
    return (
        f"<h2>Promotion: version {html.escape(str(decision['challenger']))} {verdict}</h2>"
        f"<ul>{reasons}</ul><p>Champion before: {before}; now: {now}.</p>"
    )


def _calibration(calibration: Mapping[str, Any]) -> str:
    rows = [
        (name, *(_number(calibration[name][key]) for key in ("same", "different", "auc")))
        for name in ("identity_loss", "attribute_loss")
    ]
    return "<h2>Calibration of the swap thresholds</h2>" + _table(
        ("loss", "same, upper percentile", "different, lower percentile", "AUC"), rows
    )


def _gate(report: Mapping[str, Any]) -> str:
    rules = report["rules"]
    rows = [
        (rule["rule"], "passed" if rule["passed"] else "FAILED", rule["meaning"], rule["observed"])
        for rule in rules
    ]
    passed = sum(bool(rule["passed"]) for rule in rules)
    return f"<h2>Data gate: {passed} of {len(rules)} rules passed</h2>" + _table(
        ("rule", "verdict", "meaning", "observed"), rows
    )


def _versions(project: Project) -> str:
    return "<h2>Made from</h2>" + _table(("what", "which"), list(provenance(project.root).items()))


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    top = "".join(f"<th>{html.escape(text)}</th>" for text in head)
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _cell(value: object) -> str:
    text = html.escape(str(value))
    if text in ("passed", "FAILED"):
        return f'<td class="{text}">{text}</td>'
    number = text.replace(".", "").replace("-", "").isdigit()
    return f'<td class="n">{text}</td>' if number else f"<td>{text}</td>"


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "–"


def _image(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(path.stem)}" src="data:image/png;base64,{data}">'


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
