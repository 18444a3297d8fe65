"""What a training run shows in MLflow, and what it says where a loss is NaN."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from facegraft.adapters import albums, tracking
from facegraft.core.config import Params
from facegraft.core.device import set_up
from facegraft.core.params_file import load_params
from facegraft.core.progress import silent
from facegraft.core.project import Project
from facegraft.data.batches import draw_block
from facegraft.data.grids import Grid
from facegraft.method.checkpoint import read_json
from facegraft.stages import train as stage
from facegraft.stages.landmarks import read_split
from facegraft.training.loop import NonFiniteLoss
from facegraft.training.state_file import checkpoint_metadata
from tests.album_pictures import pictures

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PATENT_LOSSES = {"identity_loss", "attribute_loss", "mse_loss", "perceptual_loss"}


def test_a_run_can_be_judged_in_one_look(tiny_project: Project) -> None:
    report = stage.TrainReport.model_validate(read_json(tiny_project.model / "train.json"))
    run = tracking.client(tiny_project).get_run(report.run_id)
    metrics, tags = run.data.metrics, run.data.tags
    assert {"learning_rate", "gradient_norm", "images_per_second"} <= set(metrics)
    assert {*PATENT_LOSSES, *(f"held_out/{name}" for name in PATENT_LOSSES)} <= set(metrics)
    assert {"swap_loss", "contrast_loss", "feature_loss"} <= set(metrics)
    assert "model/psnr_changed" in metrics, "the benchmark, by the stage after"
    assert tags["stopped"] == report.stopped == "budget"
    here = str(set_up(load_params(tiny_project.params).runtime))  # `auto` may be a GPU
    assert (tags["device"], tags["processes"], tags["steps"]) == (here, "1", "6")
    assert "Stopped by **budget** after 6 of 6 steps" in tags[tracking.NOTE]
    bound = load_params(tiny_project.params).train.thresholds.mse_loss
    assert f"| mse_loss | {report.losses['mse_loss']:.4f} | {bound:g} |" in tags[tracking.NOTE]
    sheets = tracking.artifacts(tiny_project, run.info.artifact_uri).list_artifacts("samples")
    assert [one.path for one in sheets] == [f"samples/step-{k:06d}.png" for k in (0, 3, 6)]


@pytest.mark.parametrize("evaluate_every", [1, 100])
def test_nan_names_step_images_and_the_last_good_checkpoint(
    copy_project: Project, monkeypatch: pytest.MonkeyPatch, evaluate_every: int
) -> None:
    shutil.rmtree(copy_project.checkpoints)
    params = _longer(load_params(copy_project.params), evaluate_every)
    grids, steps = read_split(copy_project, "train", silent), range(params.train.steps)
    drawn = [draw_block(grids, (), params.train, step).keys[0] for step in steps]
    name = next(key for key in drawn if key[:9] != drawn[0][:9])[:9]
    step = next(k for k, key in enumerate(drawn) if key.startswith(name))

    def poisoned(*where: object) -> list[Grid]:
        return [_without_codes(grid) if grid.name == name else grid for grid in read_split(*where)]

    monkeypatch.setattr(stage, "read_split", poisoned)
    with pytest.raises(NonFiniteLoss, match=rf"step {step}: .*_loss=nan.* {name}/") as stopped:
        stage.train(copy_project, params, silent)
    checkpoint = copy_project.checkpoints / "last.safetensors"
    kept = f"{checkpoint} (step {step})" if evaluate_every == 1 else "none yet"
    assert str(stopped.value).endswith(f"; last good checkpoint: {kept}")
    assert checkpoint.exists() == (evaluate_every == 1)
    assert not checkpoint.exists() or checkpoint_metadata(checkpoint)[1] == step
    run_id = str(read_json(copy_project.checkpoints / "run.json")["run_id"])
    run = tracking.client(copy_project).get_run(run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["stopped"] == "a loss was not finite"


def test_imported_people_join_the_run_and_are_shown(copy_project: Project) -> None:
    shutil.rmtree(copy_project.checkpoints)
    rows, crops = pictures(["a1", "a2", "b1"], size=32)
    albums.extend(copy_project.data, "own", rows, crops)
    report = stage.train(copy_project, load_params(copy_project.params), silent)
    run = tracking.client(copy_project).get_run(report.run_id)
    assert run.data.tags["imported_people"] == "1"  # the other is of the test split
    kept = tracking.artifacts(copy_project, run.info.artifact_uri)
    shown = [one.path for one in kept.list_artifacts("samples") if "people" in one.path]
    assert shown == [f"samples/people-step-{k:06d}.png" for k in (0, 3, 6)]
    sheet = Image.open(kept.download_artifacts(shown[-1])).convert("RGB")
    assert sheet.height < 2 * 128 + 100
    assert len(sheet.getcolors(sheet.width * sheet.height)) > 1000


def test_a_checkpoint_whose_held_out_losses_are_not_finite_is_not_kept() -> None:
    stage._require_finite({"mse_loss": 0.5}, 3)
    for bad in (math.nan, math.inf):
        with pytest.raises(NonFiniteLoss, match=r"step 3: a held-out loss is not finite \(mse"):
            stage._require_finite({"mse_loss": bad, "identity_loss": 0.1}, 3)


def _longer(params: Params, evaluate_every: int) -> Params:
    changes = {"steps": 30, "evaluate_every": evaluate_every, "teach_steps": 30}
    return params.model_copy(update={"train": params.train.model_copy(update=changes)})


def _without_codes(grid: Grid) -> Grid:
    return replace(grid, identity_code=np.full_like(grid.identity_code, np.nan))
