"""How the shipped weights are made: rendered, read, trained; any machine with torch can.

No MLflow, DVC, Great Expectations, Prefect, judge or anny package is imported here, so that a
machine with a GPU and little else runs it, see `base_pack.py`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence

from facegraft.adapters import albums
from facegraft.core.atomic import replacing
from facegraft.core.code_hash import code_hash
from facegraft.core.config import Params
from facegraft.core.device import set_up
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.data.grids import Grid, Person
from facegraft.method.base_model import BASE, load_base
from facegraft.method.checkpoint import save_model
from facegraft.method.model import ModelConfig
from facegraft.stages.landmarks import people_with_readings, read_split
from facegraft.stages.rendering import MARKER, render_dataset, rendering_recipe
from facegraft.training.loop import train
from facegraft.training.state import TrainState, init_state
from facegraft.training.state_file import (
    checkpoint_metadata,
    continue_from,
    load_state,
    save_heads,
    save_state,
)

CODE = ("characters", "core/device.py", "core/ranks.py", "data", "imaging", "method", "training")


def base_params(params: Params) -> Params:
    """The params of the base weights: `base` laid over data and train."""
    changes = params.base.model_dump(exclude={"grids"})
    return params.model_copy(
        update={
            "data": params.data.model_copy(update={"grids": params.base.grids}),
            "train": params.train.model_copy(update=changes),
        }
    )


def draw_data(own: Project, params: Params, report: Progress) -> None:
    """Render `params.data` into data/, beside the albums in it; finished grids are kept.

    Raises:
        DataError: a render process died. CharacterError: the renderer's assets cannot be had.
    """
    made = own.data / MARKER
    wanted = rendering_recipe(params.data)
    if made.exists() and json.loads(made.read_text(encoding="utf-8")) == wanted:
        return
    drawn, replaced = own.build / "rendering", own.build / "replaced-data"
    render_dataset(drawn, params.data, report, params.runtime.threads)
    albums.carry_over(own.data, drawn)
    shutil.rmtree(replaced, ignore_errors=True)
    if own.data.exists():
        own.data.rename(replaced)
    drawn.rename(own.data)
    shutil.rmtree(replaced, ignore_errors=True)


def train_weights(
    own: Project, params: Params, report: Progress, deadline: float | None = None
) -> tuple[int, int]:
    """Train on data/, from the checkpoint of the same key if there is one, into build/model.

    Args:
        deadline: of `time.monotonic()`; the step that passes it is the last, and the weights are
            written all the same.

    Returns:
        Steps done, and steps wanted.

    Raises:
        NonFiniteLoss, DataError, LandmarkerError, CheckpointError: one line with the mend.
    """
    section = params.train
    grids, people = _faces(own, params, report)
    state, key = _begun(own, params, grids), _checkpoint_key(params, people)
    path = own.checkpoints / "last.safetensors"
    if path.exists() and checkpoint_metadata(path)[0] == key:
        load_state(state, path)
    for metrics in train(state, grids, section, people, params.runtime):
        report(state.step, section.steps, metrics.text)
        late = deadline is not None and time.monotonic() > deadline
        if late or state.step % section.evaluate_every == 0 or state.step == section.steps:
            save_state(state, path, key)
        if late:
            break
    save_model(state.ema, own.model)
    save_heads(state.heads, own.model)
    with replacing(own.model / "train.json") as temporary:
        temporary.write_text(json.dumps({"steps": state.step}) + "\n", encoding="utf-8")
    return state.step, section.steps


def _faces(own: Project, params: Params, report: Progress) -> tuple[list[Grid], list[Person]]:
    threads = params.runtime.threads
    grids = read_split(own, "train", report, threads)
    people = albums.load_people(own.data, "train", grids[0].size)
    return grids, people_with_readings(people, own.landmarks, report, threads)


def _begun(own: Project, params: Params, grids: Sequence[Grid]) -> TrainState:
    """A fresh state; from the shipped weights unless `init` says scratch."""
    section = params.train
    config = ModelConfig.from_params(section, grids)
    state = init_state(section, config, grids[0], set_up(params.runtime))
    if section.init == "base":
        continue_from(state, load_base(), BASE)
    return state


def _checkpoint_key(params: Params, people: Sequence[Person]) -> str:
    """Digest of data, params and code, so that a checkpoint of other ones is not continued."""
    section = params.train.model_dump(mode="json", exclude={"log_every"})
    start = (BASE / "card.json").read_text(encoding="utf-8") if section["init"] == "base" else ""
    names = [person.identity_id for person in people]
    parts = [rendering_recipe(params.data), section, names, code_hash(*CODE), start]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
