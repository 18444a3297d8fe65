"""build/report/index.html: one self-contained page that shows what the road led to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facegraft.adapters.lineage import provenance
from facegraft.core.atomic import replacing
from facegraft.core.project import Project
from facegraft.evaluation.tables import ABSENT, metric_table, titles
from facegraft.presenting.pages import Picture, ReportPage, Swap, Table, embedded, html
from facegraft.stages.swap import SwapResult, finished_below


def write_report(
    project: Project, swaps: Path, links: Mapping[str, str], *, title: str = "facegraft"
) -> Path:
    """Write the page and return its path.

    Args:
        swaps: folder below which finished swaps lie, each in a folder of its own.
        links: text -> address, shown at the top.
    """
    benchmark = _read(project.evaluation / "benchmark.json")
    decision = _read(project.promotion / "decision.json")
    rules = _read(project.validation / "report.json")["rules"]
    head, *figures = metric_table(benchmark)
    page = ReportPage(
        title=title,
        links=links,
        swaps=[_swap(one) for one in finished_below(swaps)],
        held_out=Picture(
            embedded(project.evaluation / "pairs.png"),
            "held-out pairs",
            "Identities and attribute sets that were never trained on.",
        ),
        pairs=str(benchmark.get("pairs", "?")),
        benchmark=Table(titles(head), figures, figures=frozenset(range(1, len(head)))),
        promotion=f"Promotion: version {decision['challenger']} "
        f"{'promoted' if decision['promoted'] else 'not promoted'}",
        reasons=decision["reasons"],
        champions=f"Champion before: {decision['champion_before'] or 'none'}; "
        f"now: {decision['champion_now'] or 'none'}.",
        calibration=_calibration(_read(project.evaluation / "calibration.json")),
        gate=f"Data gate: {sum(bool(rule['passed']) for rule in rules)} of {len(rules)} rules "
        "passed",
        rules=_rules(rules),
        versions=Table(("what", "which"), list(provenance(project.root).items())),
    )
    path = project.build / "report" / "index.html"
    with replacing(path) as temporary:
        temporary.write_text(html(page), encoding="utf-8")
    return path


def _swap(result: SwapResult) -> Swap:
    record = result.record
    before, after = (
        "no face found" if judged.similarity_source is None else f"{judged.similarity_source:.3f}"
        for judged in (record.judge_before, record.judge_after)
    )
    return Swap(
        picture=Picture(embedded(result.comparison), result.comparison.stem),
        passed=record.verdict == "PASS",
        text=f"{record.source.given} on {record.target.given}: {record.reason}. Independent judge, "
        f"similarity to the source: {before} before, {after} after.",
        warning="Tuning made the judge see less of the source." if record.judge_disagrees else "",
    )


def _calibration(calibration: Mapping[str, Any]) -> Table:
    rows = [
        (name, *(_number(calibration[name][key]) for key in ("same", "different", "auc")))
        for name in ("identity_loss", "attribute_loss")
    ]
    head = ("loss", "same, upper percentile", "different, lower percentile", "AUC")
    return Table(head, rows, figures=frozenset((1, 2, 3)))


def _rules(rules: list[Mapping[str, Any]]) -> Table:
    rows = [
        (rule["rule"], "passed" if rule["passed"] else "failed", rule["meaning"], rule["observed"])
        for rule in rules
    ]
    return Table(("rule", "verdict", "meaning", "observed"), rows)


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else ABSENT


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
