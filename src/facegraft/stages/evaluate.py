"""Stage `evaluate`: the held-out benchmark and the calibration of the swap thresholds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from facegraft.adapters.judge import Judge
from facegraft.adapters.lineage import data_in_use
from facegraft.adapters.registry import fingerprint
from facegraft.adapters.tracking import find_run
from facegraft.core.atomic import replacing
from facegraft.core.config import Params
from facegraft.core.device import set_up
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.core.seal import seal
from facegraft.evaluation.benchmark import (
    draw_heldout_pairs,
    draw_region_pairs,
    judged_by,
    mean_metrics,
    measure_pairs,
    measure_regions,
    pairs_hash,
)
from facegraft.evaluation.latent_ablation import dimension_report
from facegraft.evaluation.sheets import swap_sheet
from facegraft.method.calibration import Calibration, calibrate
from facegraft.method.checkpoint import load_model, read_json
from facegraft.method.model import Model
from facegraft.stages.benchmarking.dimension_pictures import write_dimensions
from facegraft.stages.benchmarking.galleries import gallery
from facegraft.stages.landmarks import read_split

SHEET_PAIRS, SHEET_REGIONS = 16, 10
DIMENSION_PAIRS = 8
REGION_PAIRS = 4
"""Pairs for each held-out mixed identity."""

BY_PAIR = "by_pair"
"""Key of the figures: {metric: its value of every pair} for the metric that decides promotion."""

Figures = dict[str, object]
"""Metrics, keyed `row/metric` (float, NaN where nothing was measured), `pairs`, `pairs_hash`,
`BY_PAIR`."""


def evaluate(project: Project, params: Params, report: Progress) -> Figures:
    """Measure build/model on the held-out pairs and calibrate its swap thresholds.

    Writes benchmark.json (flat, keyed `row/metric`, plus `pairs`, `pairs_hash`) and
    calibration.json, both sealed for that model (`core/seal.py`), pairs.png (at its end one
    sub-dimension at a time) and the dimension report's pictures, and adds them to the training run
    in MLflow.

    Raises:
        CheckpointError, DataError, TrackingError: one line with the mend.
    """
    sha256 = fingerprint(project.model)  # now: the folder may be replaced in the meantime
    model = load_model(project.model)
    grids = read_split(project, "test", report, params.runtime.threads)
    figures = measure(project, params, model, report)
    calibration = calibrate(model, grids, params.evaluate)
    pairs = draw_heldout_pairs(grids, params.evaluate.pairs, params.evaluate.seed)
    known = seal(nan_as_null(figures), sha256)
    _write_figures(project.evaluation, known, calibration.sealed(sha256))
    regions = draw_region_pairs(grids, 1, params.evaluate.seed)
    with replacing(project.evaluation / "pairs.png") as path:
        swap_sheet(model, grids, [*pairs[:SHEET_PAIRS], *regions[:SHEET_REGIONS]]).save(path)
    few = pairs[:DIMENSION_PAIRS]
    dimensions = dimension_report(model, grids, few, None, report)
    write_dimensions(project.evaluation, model, grids, few, dimensions)
    _record(project, figures, calibration)
    return figures


def nan_as_null(figures: Mapping[str, object]) -> Figures:
    """The figures as JSON can hold them: null is as missing to the gate as NaN."""
    return {key: figure if figure == figure else None for key, figure in figures.items()}


def measure(project: Project, params: Params, model: Model, report: Progress) -> Figures:
    """The benchmark of a model on this project's held-out pairs.

    The model is moved to the device that params name.
    """
    model.to(set_up(params.runtime))
    grids = read_split(project, "test", report, params.runtime.threads)
    version = data_in_use(project.root)
    pairs = draw_heldout_pairs(grids, params.evaluate.pairs, params.evaluate.seed)
    judge = Judge()
    known = gallery(project, grids, "judge", judge.embed, report)
    columns = measure_pairs(model, grids, pairs, [judged_by(known, judge.embed)], report)
    report(len(pairs), len(pairs), "benchmark: one sub-dimension at a time")
    regions = draw_region_pairs(grids, REGION_PAIRS, params.evaluate.seed)
    columns |= measure_regions(model, grids, regions)
    figures: Figures = {**mean_metrics(columns)}
    if (metric := params.promote.metric) in columns:
        values = [float(v) if np.isfinite(v) else None for v in columns[metric]]
        figures[BY_PAIR] = {metric: values}
    return {**figures, "pairs": len(pairs), "pairs_hash": pairs_hash(grids, pairs, version)}


def _record(project: Project, figures: Figures, calibration: Calibration) -> None:
    """Add the figures to the run that trained the model, where MLflow still holds it."""
    trained = read_json(project.model / "train.json")
    run = find_run(project, str(trained["run_id"]))
    if run is None:
        return
    step = int(str(trained["steps"]))
    measured = {k: v for k, v in figures.items() if isinstance(v, float) and np.isfinite(v)}
    separations = {
        f"calibration/{loss}/{name}": value
        for loss in ("identity_loss", "attribute_loss")
        for name, value in getattr(calibration, loss).model_dump().items()
    }
    run.log_metrics(measured | separations, step)
    run.set_tags({"pairs_hash": figures["pairs_hash"]})
    run.log_artifact(project.evaluation, "evaluation")


def _write_figures(folder: Path, benchmark: object, calibration: object) -> None:
    """Both or neither: promotion asks for the benchmark first, which is put in place last."""
    paths = [folder / name for name in ("benchmark.json", "calibration.json")]
    for path in paths:
        path.unlink(missing_ok=True)
    with replacing(paths[0]) as last, replacing(paths[1]) as first:
        for path, value in ((last, benchmark), (first, calibration)):
            text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
            path.write_text(text + "\n", encoding="utf-8")
