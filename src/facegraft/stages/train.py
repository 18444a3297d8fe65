"""Stage `train`: data -> build/model, recorded in MLflow; an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch.distributed as dist

from facegraft.adapters.albums import load_people
from facegraft.adapters.lineage import data_in_use, folder_md5, provenance
from facegraft.adapters.registry import DATA_SUMMARY, fingerprint
from facegraft.adapters.tracking import NOTE, Run, open_run
from facegraft.core import ranks
from facegraft.core.atomic import replacing
from facegraft.core.code_hash import code_hash
from facegraft.core.config import Params, Section
from facegraft.core.device import set_up
from facegraft.core.locks import one_at_a_time
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.data.grids import Grid, Person
from facegraft.evaluation.benchmark import Pair, draw_heldout_pairs
from facegraft.evaluation.heldout import all_below, held_out_losses
from facegraft.evaluation.sheets import people_sheet, swap_sheet
from facegraft.evaluation.tables import as_markdown
from facegraft.method.base_model import BASE, load_base
from facegraft.method.checkpoint import load_model, read_json, save_model
from facegraft.method.model import ModelConfig
from facegraft.stages.landmarks import people_with_readings, read_split
from facegraft.training.loop import NonFiniteLoss, StepMetrics
from facegraft.training.loop import train as train_steps
from facegraft.training.state import TrainState, init_state
from facegraft.training.state_file import (
    checkpoint_metadata,
    continue_from,
    load_state,
    save_heads,
    save_state,
)

CODE = ("core/device.py", "core/ranks.py", "data", "imaging", "method", "training")
"""What batches, losses and so the weights depend on; dvc.yaml names it too."""

HELD_OUT_PAIRS = 48
SHEET_PAIRS = 8


@dataclass(frozen=True)
class TrainingSet:
    """What training sees, and what it is watched on.

    Attributes:
        grids, people: rendered and imported faces of the train split.
        held_out, pairs: rendered faces of the validation split, and the swaps drawn from them.
        held_out_people: imported people of the validation split; those of train where it has none.
    """

    grids: Sequence[Grid]
    people: Sequence[Person]
    held_out: Sequence[Grid]
    pairs: Sequence[Pair]
    held_out_people: Sequence[Person]


class TrainReport(Section):
    """How training ended; stored as build/model/train.json."""

    stopped: str
    """"thresholds" (all four losses below theirs) or "budget"."""
    steps: int
    losses: dict[str, float]
    """The four losses on held-out pairs."""
    data_version: str
    run_id: str
    run_url: str


def train(project: Project, params: Params, report: Progress) -> TrainReport:
    """Train to the four thresholds or the budget, and write the model folder.

    Losses are logged every `log_every` steps; every `evaluate_every` steps come the held-out
    losses, a sheet of fixed held-out swaps and a checkpoint. A checkpoint of the same data and
    params is continued, to the same weights as without the interruption.

    Started by torchrun, all its processes train one model; the first logs and writes. Two trainings
    in one folder do not meet: the second waits, or by torchrun, where waiting ends after half an
    hour, is refused.

    Raises:
        NonFiniteLoss: naming the step, the losses, the images and the last good checkpoint.
        DataError, CheckpointError, TrackingError, DeviceError, Busy: one line with the mend.
    """
    with _training_lock(project, params, report), ranks.joined(set_up(params.runtime)):
        return _train(project, params, report)


def _training_lock(
    project: Project, params: Params, report: Progress
) -> AbstractContextManager[object]:
    """The lock of trainings in this folder; of the processes of a torchrun, the first holds it.

    A `dvc repro` that is killed leaves its training behind, and the next would start another.
    """
    together = dist.is_torchelastic_launched()
    if together and os.environ["RANK"] != "0":
        return nullcontext()

    def tell(line: str) -> None:
        report(0, params.train.steps, line)

    return one_at_a_time(project.build / "train.lock", tell, wait=not together)


def _train(project: Project, params: Params, report: Progress) -> TrainReport:
    faces = _training_set(project, params, report)
    key = _checkpoint_key(project, params)
    config = ModelConfig.from_params(params.train, faces.grids)
    state, run_id = _start(project, params, config, faces.grids[0], key)
    if ranks.rank() > 0:
        return _assist(project, params, state, faces)
    with open_run(
        project,
        run_name=f"train-{key[:8]}",
        run_id=run_id,
        tags={**provenance(project.root), "recipe": key},
        params=params.model_dump(by_alias=True, mode="json"),
        system_metrics=True,
        exclusive_kind="train",
    ) as run:
        _remember_run(project, run.id)
        run.set_tags({"device": state.model.device, "processes": ranks.world_size()})
        run.set_tags({"imported_people": len(faces.people)})
        with _naming_what_is_good(project, state, key, run):
            losses, stopped = _fit(project, params, state, faces, key, run, report)
        save_model(state.ema, project.model)
        save_heads(state.heads, project.model)
        _keep_data_summary(project)
        outcome = TrainReport(
            stopped=stopped,
            steps=state.step,
            losses=losses,
            data_version=data_in_use(project.root),
            run_id=run.id,
            run_url=run.url,
        )
        with replacing(project.model / "train.json") as path:
            path.write_text(outcome.model_dump_json(indent=2) + "\n", encoding="utf-8")
        run.set_tags({"stopped": stopped, "steps": state.step, NOTE: _note(outcome, params)})
        run.log_artifact(project.model, "model")
        ranks.broadcast_from_rank0(True)  # the others wait for what was written
    return outcome


def _training_set(project: Project, params: Params, report: Progress) -> TrainingSet:
    threads = params.runtime.threads
    grids, held_out = (
        read_split(project, split, report, threads) for split in ("train", "validation")
    )
    pairs = draw_heldout_pairs(held_out, HELD_OUT_PAIRS, params.train.seed)
    if not params.train.batch_people:
        return TrainingSet(grids, (), held_out, pairs, ())
    people, held_out_people = (
        people_with_readings(
            load_people(project.data, split, grids[0].size), project.landmarks, report, threads
        )
        for split in ("train", "validation")
    )
    return TrainingSet(grids, people, held_out, pairs, held_out_people or people)


def _assist(project: Project, params: Params, state: TrainState, faces: TrainingSet) -> TrainReport:
    """What every process but the first does: its share of each step until the first stops."""
    stop = ranks.broadcast_from_rank0(False)
    for _ in [] if stop else _steps(params, state, faces):
        if _is_evaluated(state.step, params) and ranks.broadcast_from_rank0(False):
            break
    ranks.broadcast_from_rank0(True)
    return TrainReport.model_validate(read_json(project.model / "train.json"))


def _steps(params: Params, state: TrainState, faces: TrainingSet) -> Iterator[StepMetrics]:
    return train_steps(state, faces.grids, params.train, faces.people, params.runtime)


def _is_evaluated(step: int, params: Params) -> bool:
    return step % params.train.evaluate_every == 0 or step >= params.train.steps


def _note(outcome: TrainReport, params: Params) -> str:
    """The run in one look, for its page in MLflow."""
    bounds = params.train.thresholds.model_dump()
    rows = [(name, f"{outcome.losses[name]:.4f}", f"{bounds[name]:g}") for name in bounds]
    return "\n".join(
        [
            f"Stopped by **{outcome.stopped}** after {outcome.steps} of {params.train.steps} steps,"
            f" data `{outcome.data_version}`. Held-out swaps: `samples/`.",
            "",
            as_markdown((("held-out loss", "at the end", "threshold"), *rows)),
        ]
    )


def _keep_data_summary(project: Project) -> None:
    """Put what the data looked like beside the model, if the gate saw this very data."""
    summary, kept = project.validation / "summary.json", project.model / DATA_SUMMARY
    kept.unlink(missing_ok=True)
    if summary.exists() and read_json(summary).get("data_version") == folder_md5(project.data):
        with replacing(kept) as path:
            path.write_bytes(summary.read_bytes())


def _fit(
    project: Project,
    params: Params,
    state: TrainState,
    faces: TrainingSet,
    key: str,
    run: Run,
    report: Progress,
) -> tuple[dict[str, float], str]:
    """Run the loop; the held-out losses at its end and why it ended."""
    section = params.train
    recent: list[StepMetrics] = []
    losses = held_out_losses(state.ema, faces.held_out, faces.pairs)
    if state.step == 0:
        _log_sheets(run, state, faces)
    if ranks.broadcast_from_rank0(_may_stop(losses, state, params)):
        return losses, "thresholds"
    for metrics in _steps(params, state, faces):
        recent.append(metrics)
        if state.step % section.log_every == 0 or state.step == section.steps:
            run.log_metrics(_averaged(recent), state.step)
            recent.clear()
        report(state.step, section.steps, metrics.text)
        if not _is_evaluated(state.step, params):
            continue
        losses = held_out_losses(state.ema, faces.held_out, faces.pairs)
        run.log_metrics({f"held_out/{k}": v for k, v in losses.items()}, state.step)
        _log_sheets(run, state, faces)
        _require_finite(losses, state.step)
        save_state(state, _checkpoint(project), key)
        if ranks.broadcast_from_rank0(_may_stop(losses, state, params)):
            return losses, "thresholds"
    return losses, "budget"


def _require_finite(losses: dict[str, float], step: int) -> None:
    """What is not finite is never kept as a checkpoint."""
    if not np.isfinite(list(losses.values())).all():
        values = ", ".join(f"{name}={value}" for name, value in losses.items())
        raise NonFiniteLoss(f"step {step}: a held-out loss is not finite ({values})")


@contextmanager
def _naming_what_is_good(project: Project, state: TrainState, key: str, run: Run) -> Iterator[None]:
    """Where a loss is not finite, the run says so and the message names the last checkpoint."""
    try:
        yield
    except NonFiniteLoss as error:
        run.set_tags({"stopped": "a loss was not finite", "steps": state.step})
        path = _checkpoint(project)
        good = path.exists() and checkpoint_metadata(path)[0] == key
        kept = f"{path} (step {checkpoint_metadata(path)[1]})" if good else "none yet"
        raise NonFiniteLoss(f"{error}; last good checkpoint: {kept}") from error


def _log_sheets(run: Run, state: TrainState, faces: TrainingSet) -> None:
    pairs = faces.pairs[:SHEET_PAIRS]
    sheet = swap_sheet(state.ema, faces.held_out, pairs)
    run.log_image(sheet, f"samples/step-{state.step:06d}.png")
    if faces.held_out_people:
        sheet = people_sheet(state.ema, faces.held_out_people, faces.held_out, pairs)
        run.log_image(sheet, f"samples/people-step-{state.step:06d}.png")


def _may_stop(losses: dict[str, float], state: TrainState, params: Params) -> bool:
    """All four below their thresholds, and the decoder has been trained at all."""
    return state.step > params.train.teach_steps and all_below(losses, params.train.thresholds)


def _start(
    project: Project, params: Params, config: ModelConfig, grid: Grid, key: str
) -> tuple[TrainState, str | None]:
    """A fresh state, or the interrupted one of the same key, with its MLflow run."""
    state = init_state(params.train, config, grid, set_up(params.runtime))
    path = _checkpoint(project)
    if path.exists() and checkpoint_metadata(path)[0] == key:
        load_state(state, path)
        run = _run_file(project)
        return state, str(read_json(run)["run_id"]) if run.exists() else None
    folder = _initial(project, params)
    if folder is not None:
        continue_from(state, load_base() if folder == BASE else load_model(folder), folder)
    return state, None


def _initial(project: Project, params: Params) -> Path | None:
    """The folder of the model that training starts from; None from scratch."""
    if params.train.init == "scratch":
        return None
    return BASE if params.train.init == "base" else project.root / params.train.init


def _checkpoint_key(project: Project, params: Params) -> str:
    """Names what the weights depend on: data version, params.train, precision and the code.

    Without the code, a checkpoint that reached its budget would stand for changed losses.
    """
    section = params.train.model_dump(mode="json", exclude={"log_every"})
    section |= {"precision": params.runtime.precision}
    folder = _initial(project, params)
    start = fingerprint(folder) if folder is not None else ""
    text = json.dumps([folder_md5(project.data), section, code_hash(*CODE), start], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _averaged(recent: Sequence[StepMetrics]) -> dict[str, float]:
    names = recent[-1].losses
    values = {k: float(np.mean([m.losses[k] for m in recent if k in m.losses])) for k in names}
    return values | {
        "learning_rate": recent[-1].learning_rate,
        "gradient_norm": float(np.mean([m.gradient_norm for m in recent])),
        "images_per_second": float(np.mean([m.images_per_second for m in recent])),
    }


def _checkpoint(project: Project) -> Path:
    return project.checkpoints / "last.safetensors"


def _run_file(project: Project) -> Path:
    return project.checkpoints / "run.json"


def _remember_run(project: Project, run_id: str) -> None:
    with replacing(_run_file(project)) as path:
        path.write_text(json.dumps({"run_id": run_id}) + "\n", encoding="utf-8")
