"""Kill -9 in the middle of training: it goes on, in the same run, to the same weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from facegraft.adapters import tracking
from facegraft.checkpoint import checkpoint_recipe
from facegraft.project import Project
from tests.live_servers import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

STEPS = 20


def training(project: Project) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "facegraft.cli", "train"]
    return subprocess.Popen(command, cwd=project.root, stderr=subprocess.DEVNULL)


def longer(project: Project) -> Project:
    params = yaml.safe_load(project.params.read_text(encoding="utf-8"))
    params["train"].update(steps=STEPS, evaluate_every=5, device="cpu")  # exact
    params["train"]["thresholds"]["identity_loss"] = 1e-9  # to the budget
    project.params.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    shutil.rmtree(project.checkpoints)
    return project


def test_a_killed_training_goes_on_to_the_same_weights(
    copy_project: Project, tmp_path: Path
) -> None:
    killed = longer(copy_project)
    whole = Project(tmp_path / "whole")
    shutil.copytree(killed.root, whole.root, symlinks=True)
    checkpoint = killed.checkpoints / "last.safetensors"
    with training(killed) as process:
        wait_for(checkpoint.exists, 600.0)
        process.kill()
    _, step = checkpoint_recipe(checkpoint)
    assert 0 < step < STEPS
    run_id = json.loads((killed.checkpoints / "run.json").read_text(encoding="utf-8"))["run_id"]
    assert tracking.client(killed).get_run(run_id).info.status == "RUNNING"

    for project in (killed, whole):
        with training(project) as process:
            assert process.wait(600) == 0
    resumed = tracking.client(killed).get_run(run_id)
    assert resumed.info.status == "FINISHED"
    assert resumed.data.tags["steps"] == str(STEPS)
    weights = [(p.model / "model.safetensors").read_bytes() for p in (killed, whole)]
    assert weights[0] == weights[1]
