"""Stage `promote`: the evaluated model becomes champion, or is refused with reasons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from facegraft.adapters import registry
from facegraft.adapters.lineage import provenance
from facegraft.adapters.pyfunc import PyfuncModel
from facegraft.adapters.registry import Registered
from facegraft.adapters.store import load_grids
from facegraft.adapters.tracking import Run, find_run, open_run
from facegraft.core.atomic import replacing
from facegraft.core.config import Params, Section
from facegraft.core.errors import FacegraftError
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.core.seal import SealBroken, unseal
from facegraft.evaluation.promotion import Decision, Measured, decide
from facegraft.method.base_model import BASE, load_base
from facegraft.method.calibration import Calibration, calibrate
from facegraft.method.checkpoint import CheckpointError, load_model, read_json
from facegraft.method.model import ModelConfig
from facegraft.stages.evaluate import BY_PAIR, measure, nan_as_null
from facegraft.stages.landmarks import read_split


class PromotionError(FacegraftError):
    """There is nothing that could be judged; one line with the mend."""


class PromotionReport(Section):
    """What was decided, on which figures; stored as build/promotion/decision.json."""

    promoted: bool
    reasons: tuple[str, ...]
    challenger: str
    champion_before: str | None
    champion_now: str | None
    metric: str
    challenger_figures: dict[str, object]
    champion_figures: dict[str, object] | None
    run_id: str
    """The MLflow run that trained the challenger."""
    decided_at: str
    """UTC, ISO 8601."""


def promote(project: Project, params: Params, report: Progress) -> Decision:
    """Register build/model as challenger, judge it, and move the alias champion if it won.

    The alias moves last: after the figures of both on the same pairs passed the gate, and after
    the registered model, loaded back, swapped one fixed pair as the trained one does. Whatever
    raises before that leaves the champion as it was. Promotions and rollbacks in one folder wait
    for each other.

    Raises:
        PromotionError, CheckpointError, DataError, RegistryError, TrackingError: one line.
    """
    with registry.registry_lock(project, lambda line: report(0, 3, line)):
        return _promote(project, params, report)


def _promote(project: Project, params: Params, report: Progress) -> Decision:
    benchmark, calibration = _own_benchmark(project), _own_calibration(project)
    if params.train.init == "base":
        _bootstrap_champion(project, params, report)
    before = registry.champion(project)
    unchanged = before is not None and before.sha256 == registry.fingerprint(project.model)
    stands = unchanged and _decided(project, before)
    if not stands:  # an old decision must not stand for this one
        _decision_file(project).unlink(missing_ok=True)
    report(0, 3, "registering the challenger")
    run = _training_run(project)
    challenger = _register(project, run, benchmark, calibration)
    if stands:
        return _champion_already(challenger)
    report(1, 3, f"version {challenger.version} against the champion")
    theirs = _figures_on_the_same_pairs(project, params, before, benchmark, report)
    decision = _judge(params, challenger, before, theirs)
    if decision.promote:
        report(2, 3, f"version {challenger.version}: loaded back, one fixed pair")
        faults = _smoke(project, challenger.version, project.model)
        decision = Decision(promote=False, reasons=faults) if faults else decision
    if decision.promote:
        registry.promote(project, challenger.version)
    _record(project, params, run, decision, challenger, before, theirs)
    report(3, 3, "; ".join(decision.reasons))
    return decision


def _bootstrap_champion(project: Project, params: Params, report: Progress) -> None:
    """Where there is no champion yet, the shipped weights are the first, if the gate lets them.

    So whoever trains on from them is compared with them, and swaps can be had from the start.
    """
    if registry.champion(project) is not None:
        return
    model = load_base()
    grids = read_split(project, "test", report, params.runtime.threads)
    if model.config.size != grids[0].size:
        return
    report(0, 3, "no champion yet: judging the base weights")
    known = nan_as_null(measure(project, params, model, report))
    decision = decide(measured(known, params), None, params.promote)
    if not decision.promote:
        report(0, 3, f"base weights: {'; '.join(decision.reasons)}")
        return
    tags = provenance(project.root) | {"init": "base"}
    with open_run(project, run_name="base", tags=tags, exclusive_kind="promote") as run:
        run.log_metrics({k: v for k, v in _numbers(known).items() if v is not None}, 0)
        run.log_artifact(BASE, "model")
        first = registry.register(
            project,
            BASE,
            run,
            size=model.config.size,
            benchmark=known,
            calibration=calibrate(model, grids, params.evaluate),
            tags=tags,
        )
    if faults := _smoke(project, first.version, BASE):
        report(0, 3, f"base weights: {'; '.join(faults)}")
        return
    registry.promote(project, first.version)
    report(0, 3, f"the base weights are champion, version {first.version}")


def _register(
    project: Project, run: Run, benchmark: Mapping[str, object], calibration: Calibration
) -> Registered:
    return registry.register(
        project,
        project.model,
        run,
        size=_size(project),
        benchmark=benchmark,
        calibration=calibration,
        tags=provenance(project.root),
    )


def _record(
    project: Project,
    params: Params,
    run: Run,
    decision: Decision,
    challenger: Registered,
    before: Registered | None,
    champion_figures: Mapping[str, object] | None,
) -> None:
    now = registry.champion(project)
    outcome = PromotionReport(
        promoted=decision.promote,
        reasons=decision.reasons,
        challenger=challenger.version,
        champion_before=before.version if before else None,
        champion_now=now.version if now else None,
        metric=params.promote.metric,
        challenger_figures=challenger.benchmark,
        champion_figures=None if champion_figures is None else dict(champion_figures),
        run_id=run.id,
        decided_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    with replacing(_decision_file(project)) as path:
        path.write_text(outcome.model_dump_json(indent=2) + "\n", encoding="utf-8")
    run.set_tags({"gate": "promoted" if decision.promote else "refused"})
    run.log_artifact(_decision_file(project), "promotion")


def _judge(
    params: Params,
    challenger: Registered,
    champion: Registered | None,
    champion_figures: Mapping[str, object] | None,
) -> Decision:
    """The pure gate, and two refusals that need the registry's memory."""
    if champion is not None and champion.version == challenger.version:
        return _champion_already(challenger)
    if challenger.rolled_back:
        return _refused(
            f"version {challenger.version} was champion and was rolled back; train another"
        )
    if champion is not None and champion_figures is None:
        return _refused(
            f"champion {champion.version} takes pictures of another size than data/, or this"
            " version of facegraft cannot run it, so the two cannot be compared; delete the alias"
            " champion in MLflow to start anew"
        )
    theirs = None if champion_figures is None else measured(champion_figures, params)
    return decide(measured(challenger.benchmark, params), theirs, params.promote)


def _figures_on_the_same_pairs(
    project: Project,
    params: Params,
    champion: Registered | None,
    benchmark: Mapping[str, object],
    report: Progress,
) -> Mapping[str, object] | None:
    """The champion's figures; measured again where those known are of other pairs or metrics.

    None without a champion, or where it cannot take this dataset's pictures or be run at all.
    """
    if champion is None:
        return None
    known = champion.benchmark
    alike = known.get("pairs_hash") == benchmark["pairs_hash"]
    if alike and measured(known, params).by_pair is not None:
        return known
    try:
        model = load_model(registry.fetch(project, champion.version)[1])
    except CheckpointError as error:
        report(1, 3, f"champion {champion.version}: {error}")
        return None
    if model.config.size != load_grids(project.data, "test")[0].size:
        return None
    known = nan_as_null(measure(project, params, model, report))
    registry.remeasured(project, champion.version, known)
    return known


def _smoke(project: Project, version: str, folder: Path) -> tuple[str, ...]:
    """What is wrong with the version, stored from `folder`, on one fixed pair; empty if nothing."""
    grid = load_grids(project.data, "test")[0]
    source, target = (
        np.ascontiguousarray(grid.images[cell].transpose(1, 2, 0))[None]
        for cell in ((0, 0), (1, 1))
    )
    swapped = registry.load(project, version)(source, target)
    trained = PyfuncModel(load_model(folder))
    expected = trained.predict({"source": source, "target": target})
    if not np.array_equal(swapped, expected):
        return (f"version {version}, loaded back, does not swap as the trained model does",)
    if np.array_equal(swapped, target):
        return (f"version {version} gives back the target unchanged",)
    return ()


def _decision_file(project: Project) -> Path:
    return project.promotion / "decision.json"


def _decided(project: Project, champion: Registered | None) -> bool:
    """Whether the decision on disk is the one that made this version champion."""
    if champion is None or not _decision_file(project).exists():
        return False
    decision = read_json(_decision_file(project))
    return decision["promoted"] is True and decision["challenger"] == champion.version


def _own_benchmark(project: Project) -> dict[str, object]:
    """The evaluation's figures, which must be what was measured of build/model."""
    stored = read_json(project.evaluation / "benchmark.json")
    try:
        return unseal(stored, registry.fingerprint(project.model))
    except SealBroken as error:
        raise PromotionError(f"build/evaluation/benchmark.json {error}; run evaluate") from error


def _own_calibration(project: Project) -> Calibration:
    """The evaluation's calibration, which must be what was measured of build/model."""
    path = project.evaluation / "calibration.json"
    try:
        return Calibration.unsealed(read_json(path), registry.fingerprint(project.model))
    except SealBroken as error:
        raise PromotionError(f"build/evaluation/calibration.json {error}; run evaluate") from error


def _training_run(project: Project) -> Run:
    """The run that trained the model; a new one where MLflow no longer holds it."""
    trained = read_json(project.model / "train.json")
    run = find_run(project, str(trained["run_id"]))
    if run is not None:
        return run
    tags = provenance(project.root)
    with open_run(project, run_name="promote", tags=tags, exclusive_kind="promote") as fresh:
        return fresh


def _size(project: Project) -> int:
    text = (project.model / "model.json").read_text(encoding="utf-8")
    return ModelConfig.model_validate_json(text).size


def _numbers(figures: Mapping[str, object]) -> dict[str, float | None]:
    """The metrics; texts (e.g. the pairs' hash) left out, null kept as missing."""
    return {k: v for k, v in figures.items() if v is None or isinstance(v, int | float)}


def measured(figures: Mapping[str, object], params: Params) -> Measured:
    """What the gate wants to know of a model, from figures as JSON holds them."""
    by_pair = figures.get(BY_PAIR)
    values = by_pair.get(params.promote.metric) if isinstance(by_pair, dict) else None
    return Measured(_numbers(figures), values if isinstance(values, list) else None)


def _champion_already(version: Registered) -> Decision:
    reason = f"version {version.version} is champion already; nothing to change"
    return Decision(promote=False, reasons=(reason,), unchanged=True)


def _refused(reason: str) -> Decision:
    return Decision(promote=False, reasons=(reason,))
