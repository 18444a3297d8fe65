"""Results as Prefect artifacts: pictures inside the page itself, so no file server is needed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from facegraft.adapters.tracking import experiment_url, find_run
from facegraft.core.project import Project
from facegraft.evaluation.tables import metric_table
from facegraft.presenting.pages import embedded
from facegraft.stages.swap import SwapResult

MARKUP = re.compile(r"[\\`*\[\]<>|!#&~$]|(?<!\w)_|_(?!\w)")


def plain(text: str) -> str:
    """Text for Markdown and table cells that shows as it is: no tag, link or picture of its own."""
    return MARKUP.sub(lambda found: f"&#{ord(found[0])};", " ".join(text.split()))


def code(path: Path) -> str:
    """A path for Markdown, which nothing in it can leave."""
    return f"`{' '.join(str(path).replace('`', chr(39)).split())}`"


def publish_data(md5: str, images: int, source: str) -> None:
    create_markdown_artifact(
        f"**{images} images**, version `{md5}`, {source}",
        key="data-version",
        description="The dataset in use",
    )


def publish_gate(project: Project) -> tuple[Path, ...]:
    """Every rule's verdict and the way to the pages, of a gate that passed or stopped the road.

    Returns:
        The pages that there are.
    """
    pages = tuple(
        page
        for page in (project.validation / "index.html", project.build / "drift" / "index.html")
        if page.exists()
    )
    if (project.validation / "report.json").exists():
        create_table_artifact(
            _gate_rows(project),
            key="data-gate",
            description="Data gate: every rule and its verdict",
        )
    if pages:
        create_markdown_artifact(
            _gate_text(project, pages),
            key="data-gate-page",
            description="The gate's page: pictures of offenders, histograms with their bounds",
        )
    return pages


def publish_retrain(project: Project) -> None:
    """Sample sheet, benchmark and decision of the last road through the stages."""
    head, *figures = metric_table(_read(project.evaluation / "benchmark.json"))
    create_image_artifact(
        embedded(project.evaluation / "pairs.png"),
        key="sample-swaps",
        description="Held-out swaps: source, target, swap, true swap",
    )
    create_table_artifact(
        [dict(zip(head, row, strict=True)) for row in figures],
        key="benchmark",
        description="Held-out benchmark beside its three baselines",
    )
    decision = _read(project.promotion / "decision.json")
    run = find_run(project, decision["run_id"])
    address = run.url if run else experiment_url(project)
    create_markdown_artifact(
        _decision_text(decision, address),
        key="promotion",
        description="What the promotion gate decided",
    )
    create_link_artifact(
        address,
        link_text="the training run in MLflow",
        key="mlflow-run",
        description=f"All runs: {experiment_url(project)}",
    )


def publish_swap(result: SwapResult) -> None:
    """The compared pictures and the losses of one swap."""
    record = result.record
    figures = "\n".join(
        f"| {step.step} | {_loss(step.identity_loss)} | {_loss(step.attribute_loss)} |"
        for step in record.losses
    )
    create_markdown_artifact(
        f"## {record.verdict}: {plain(record.source.given)} on {plain(record.target.given)}\n\n"
        f"{plain(record.reason)}\n\n"
        f"![source, target, before and after tuning, truth]({embedded(result.comparison)})\n\n"
        f"Independent judge, similarity to the source: {_score(record.judge_before)} before,"
        f" {_score(record.judge_after)} after tuning\n\n"
        f"| step | identity loss | attribute loss |\n| --- | --- | --- |\n{figures}\n\n"
        f"Model version {plain(record.model_version)}; files: {code(result.image)}, "
        f"{code(result.sidecar)}\n",
        key="swap-result",
        description=f"{record.verdict}: {plain(record.reason)}",
    )
    create_image_artifact(
        embedded(result.comparison),
        key="swap-picture",
        description="Source, target, swap before tuning, after tuning, true swap where known",
    )


def publish_queue(done: tuple[SwapResult, ...], failed: Mapping[str, str], text: str) -> None:
    """One table of all pairs, and their pictures below each other."""
    rows: list[dict[str, Any]] = [
        {
            "job": one.record.job,
            "verdict": one.record.verdict,
            "steps": one.record.steps,
            "source": plain(one.record.source.given),
            "target": plain(one.record.target.given),
            "reason": plain(one.record.reason),
        }
        for one in done
    ]
    rows += [
        {"job": job, "verdict": "ERROR", "reason": plain(message)}
        for job, message in failed.items()
    ]
    if rows:
        create_table_artifact(rows, key="swap-queue", description=text)
    pictures = "\n\n".join(
        f"**{one.record.job}**\n\n![{one.record.verdict}]({embedded(one.comparison)})"
        for one in done
    )
    if pictures:
        create_markdown_artifact(pictures, key="swap-queue-pictures", description=text)


def _score(record: Any) -> str:
    value = record.similarity_source
    return "no face found" if value is None else f"{value:.3f}"


def _loss(value: float | None) -> str:
    return "no face found" if value is None else f"{value:.4f}"


def _gate_rows(project: Project) -> list[dict[str, Any]]:
    report = _read(project.validation / "report.json")
    return [
        {
            "rule": rule["rule"],
            "verdict": "passed" if rule["passed"] else "FAILED",
            "checked": rule["checked"],
            "meaning": rule["meaning"],
            "observed": plain(rule["observed"]),
        }
        for rule in report["rules"]
    ]


def _gate_text(project: Project, pages: Sequence[Path]) -> str:
    """Verdicts and addresses; a browser opens file links from the address bar, not from here."""
    lines = []
    if (project.validation / "report.json").exists():
        rules = _read(project.validation / "report.json")["rules"]
        failed = [rule for rule in rules if not rule["passed"]]
        lines.append(f"## Data gate: {len(failed)} of {len(rules)} rules failed")
        lines += [
            f"- `{rule['rule']}`: {plain(rule['meaning'])}; {plain(rule['observed'])}"
            for rule in failed
        ]
    drift = project.build / "drift" / "report.json"
    if drift.exists():
        found = _read(drift)
        lines.append(
            f"## Drift: {'passed' if found['passed'] else 'FAILED'}\n\n{plain(found['reason'])}"
        )
    lines += [
        f"[{page.parent.name}]({page.resolve().as_uri()}): {code(page.resolve())}" for page in pages
    ]
    return "\n\n".join(lines) + "\n"


def _decision_text(decision: Mapping[str, Any], run: str) -> str:
    verdict = "promoted" if decision["promoted"] else "not promoted"
    reasons = "\n".join(f"- {plain(reason)}" for reason in decision["reasons"])
    return (
        f"## Version {decision['challenger']} {verdict}\n\n{reasons}\n\n"
        f"Champion before: {decision['champion_before'] or 'none'};"
        f" now: {decision['champion_now'] or 'none'}\n\n"
        f"[The training run in MLflow]({run})\n"
    )


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
