"""Stage `validate`: the gate between data/ and training."""

from __future__ import annotations

import dataclasses
import json

import pandas as pd

from facegraft.adapters import gate, lineage, store
from facegraft.adapters.gate import Bounds, GateReport
from facegraft.atomic import replacing
from facegraft.config import Params
from facegraft.project import Project
from facegraft.stages.gate_page import write_page
from facegraft.stages.progress import Progress
from facegraft.stages.statistics import image_statistics

REPORT, STATISTICS, PAGE = "report.json", "statistics.parquet", "index.html"


class ValidationFailed(ValueError):
    """The gate is red; the message is one line that names the rule and the images."""


def validate(project: Project, params: Params, report: Progress) -> GateReport:
    """Check the dataset; keep the results and their page in build/validation, red or green.

    Writes results.json (Great Expectations' own), report.json (every rule's verdict),
    statistics.parquet and index.html.

    Raises:
        DataError: the manifest cannot be read.
        ValidationFailed: a rule does not hold, or could not be computed.
    """
    _forget(project)
    manifest = store.read_manifest(project.data)
    memory = project.build / "cache" / "faces.parquet"
    statistics = image_statistics(project.data, manifest, memory, report)
    with replacing(project.validation / STATISTICS) as temporary:
        statistics.to_parquet(temporary, index=False)
    report(len(manifest), len(manifest), "checking the rules")
    verdict = gate.run_gate(
        manifest, statistics, params.validate_, project.validation, parameter_bounds(manifest)
    )
    page = project.validation / PAGE
    version = lineage.folder_md5(project.data)
    write_page(page, verdict, manifest, statistics, project.data, version)
    with replacing(project.validation / REPORT) as temporary:
        rules = [dataclasses.asdict(rule) for rule in verdict.rules]
        temporary.write_text(json.dumps({"rules": rules}, indent=1) + "\n", encoding="utf-8")
    if not verdict.passed:
        raise ValidationFailed(f"data gate: {verdict.message()}; see {page}")
    return verdict


def _forget(project: Project) -> None:
    """Remove the last verdict: a run that dies must not leave an older one standing."""
    for name in (gate.RESULTS, REPORT, STATISTICS, PAGE):
        (project.validation / name).unlink(missing_ok=True)


def parameter_bounds(manifest: pd.DataFrame) -> Bounds:
    """What the characters' parameters may be: identity in [-1, 1], attributes as documented."""
    from facegraft.characters.attributes import RANGES

    bounds: dict[str, tuple[float, float]] = {}
    for column in manifest.columns:
        if column.startswith("identity."):
            bounds[column] = (-1.0, 1.0)
        elif column.startswith("attribute."):
            low, high = RANGES.get(column.removeprefix("attribute."), (0, 1))
            bounds[column] = (float(low), float(high))
    return bounds
