"""Kill -9 in the middle of training or evaluating: nothing is lost, doubled or half written."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from facegraft.adapters import tracking
from facegraft.core.params_file import load_params
from facegraft.core.progress import silent
from facegraft.core.project import Project
from facegraft.method.checkpoint import CheckpointError
from facegraft.stages.promote import promote
from facegraft.training.state_file import checkpoint_metadata
from tests.live_servers import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

STEPS = 20


def training(project: Project, log: Path | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "facegraft.cli", "train"]
    with (log or Path("/dev/null")).open("wb") as file:
        return subprocess.Popen(command, cwd=project.root, stderr=file)


def longer(project: Project) -> Project:
    params = yaml.safe_load(project.params.read_text(encoding="utf-8"))
    params["train"].update(steps=STEPS, evaluate_every=5)
    params["runtime"]["device"] = "cpu"  # exact
    params["train"]["thresholds"] = {"identity_loss": 1e-9}  # to the budget
    project.params.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    shutil.rmtree(project.checkpoints)
    return project


def run_of(project: Project) -> str:
    return json.loads((project.checkpoints / "run.json").read_text(encoding="utf-8"))["run_id"]


def test_a_killed_training_goes_on_once_to_the_same_weights(
    copy_project: Project, tmp_path: Path
) -> None:
    killed = longer(copy_project)
    whole = Project(tmp_path / "whole")
    shutil.copytree(killed.root, whole.root, symlinks=True)
    checkpoint = killed.checkpoints / "last.safetensors"

    def status(run_id: str) -> str:
        return tracking.client(killed).get_run(run_id).info.status

    with training(killed) as process:
        wait_for((killed.checkpoints / "run.json").exists, 600.0)
        process.kill()
    checkpoint.unlink(missing_ok=True)  # killed before its first
    first = run_of(killed)
    assert status(first) == "RUNNING"

    with training(killed) as process:
        wait_for(checkpoint.exists, 600.0)
        process.kill()
    _, step = checkpoint_metadata(checkpoint)
    assert 0 < step < STEPS
    second = run_of(killed)
    assert (status(first), status(second)) == ("KILLED", "RUNNING")

    # A `dvc repro` that was killed leaves its training behind; the next one starts another.
    logs = [tmp_path / f"{number}.log" for number in range(2)]
    with training(killed, logs[0]) as one, training(killed, logs[1]) as other:
        assert (one.wait(600), other.wait(600)) == (0, 0)
    waited = [log.read_text(encoding="utf-8").count("another training is at work") for log in logs]
    assert sorted(waited) == [0, 1]
    with training(whole) as process:
        assert process.wait(600) == 0
    assert run_of(killed) == second
    resumed = tracking.client(killed).get_run(second)
    assert resumed.info.status == "FINISHED"
    assert resumed.data.tags["steps"] == str(STEPS)
    weights = [(p.model / "model.safetensors").read_bytes() for p in (killed, whole)]
    assert weights[0] == weights[1]


KILLED_EVALUATION = """
import os, signal, sys
from facegraft.cli import main
placed = 0
def kill_at_the_second(event, arguments):
    global placed
    if event == "os.rename" and str(arguments[1]).endswith(("benchmark.json", "calibration.json")):
        placed += 1
        if placed == 2:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(kill_at_the_second)
main(["evaluate"])
"""


def test_an_evaluation_killed_between_its_two_results_leaves_nothing_to_promote(
    copy_project: Project,
) -> None:
    command = [sys.executable, "-c", KILLED_EVALUATION]
    ended = subprocess.run(command, cwd=copy_project.root, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL
    with pytest.raises(CheckpointError, match=r"benchmark\.json: not found; run the stage"):
        promote(copy_project, load_params(copy_project.params), silent)
