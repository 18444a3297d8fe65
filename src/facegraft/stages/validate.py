"""Stage `validate`: the gate between data/ and training."""

from __future__ import annotations

import dataclasses
import json

import pandas as pd

from facegraft.adapters import gate, lineage, store
from facegraft.adapters.gate import GateReport
from facegraft.adapters.gate_columns import CODES, Bounds, head_poses
from facegraft.core.atomic import replacing
from facegraft.core.config import Params, ValidateParams
from facegraft.core.errors import FacegraftError
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.presenting.pages import html
from facegraft.stages.validating.comparisons import nearest_pictures, sampled_margins
from facegraft.stages.validating.data_summaries import summarise
from facegraft.stages.validating.gate_page import gate_page
from facegraft.stages.validating.statistics import image_statistics

REPORT, STATISTICS, PAGE = "report.json", "statistics.parquet", "index.html"
SUMMARY = "summary.json"


CACHE_VERSION = 2
"""Part of the names of the files in build/cache; bump it when a measure changes."""


class ValidationFailed(FacegraftError):
    """The gate is red; the message is one line that names the rule and the images."""


def validate(project: Project, params: Params, report: Progress) -> GateReport:
    """Check the dataset; keep the results and their page in build/validation, red or green.

    Writes results.json (Great Expectations' own), report.json (every rule's verdict),
    statistics.parquet, summary.json (what drift is measured by) and index.html.

    Raises:
        DataError: the manifest cannot be read.
        ValidationFailed: a rule does not hold, or could not be computed.
    """
    _forget(project)
    manifest = store.read_manifest(project.data, without=CODES)
    statistics = measure(project, manifest, params.validate_, report, params.runtime.threads)
    with replacing(project.validation / STATISTICS) as temporary:
        statistics.to_parquet(temporary, index=False)
    report(len(manifest), len(manifest), "checking the rules")
    verdict = gate.run_gate(
        manifest, statistics, params.validate_, project.validation, parameter_bounds(manifest)
    )
    page = project.validation / PAGE
    version = lineage.folder_md5(project.data)
    shown = gate_page(verdict, manifest, statistics, project.data, version, params.validate_)
    with replacing(page) as temporary:
        temporary.write_text(html(shown), encoding="utf-8")
    with replacing(project.validation / SUMMARY) as temporary:
        summary = summarise(manifest, statistics, version)
        temporary.write_text(summary.model_dump_json() + "\n", encoding="utf-8")
    with replacing(project.validation / REPORT) as temporary:
        rules = [dataclasses.asdict(rule) for rule in verdict.rules]
        temporary.write_text(json.dumps({"rules": rules}, indent=1) + "\n", encoding="utf-8")
    if not verdict.passed:
        raise ValidationFailed(f"data gate: {verdict.message()}; see {page}")
    return verdict


def measure(
    project: Project,
    manifest: pd.DataFrame,
    params: ValidateParams,
    report: Progress,
    threads: int = 0,
) -> pd.DataFrame:
    """Columns `gate.STATISTICS`, one row per image; what is slow is remembered in build/cache."""
    cache = project.build / "cache"
    measured = image_statistics(
        project.data, manifest, cache / f"pictures-{CACHE_VERSION}.parquet", report, threads
    )
    usable = (measured["face_found"].fillna(False) & measured["sha256_matches"]).to_numpy(bool)
    faces = cache / f"embeddings-{CACHE_VERSION}.parquet"
    margins = sampled_margins(project.data, manifest, usable, params, faces, report, threads)
    compared = nearest_pictures(manifest, measured["fingerprint"])
    poses = head_poses(manifest).reset_index(drop=True)
    whole = pd.concat([measured, poses, compared], axis=1).assign(identity_margin=margins)
    return whole[list(gate.STATISTICS)]


def _forget(project: Project) -> None:
    """Remove the last verdict: a run that dies must not leave an older one standing."""
    for name in (gate.RESULTS, REPORT, STATISTICS, SUMMARY, PAGE):
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
