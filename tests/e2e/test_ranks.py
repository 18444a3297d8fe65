"""Two processes of a torchrun train one model: the steps of one process, and one run of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from facegraft.adapters import tracking
from facegraft.core.project import Project
from facegraft.training.state_file import checkpoint_metadata
from tests import tiny
from tests.album_pictures import PEOPLE
from tests.live_servers import wait_for
from tests.rank_losses import steps_done

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
STEPS = 12


def started(folder: Path, *command: str, **options: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *command], cwd=folder, env=environment, text=True, **options
    )


def test_two_processes_have_losses_and_gradients_of_one() -> None:
    # Five pairs are encoded a step: the shares are of two sizes.
    section = tiny.train_params()
    assert (section.batch_pairs + min(section.batch_people, len(PEOPLE))) % 2 == 1
    with started(tiny.ROOT, *TORCHRUN, "-m", "tests.rank_losses", "4", stdout=-1) as process:
        lines = process.communicate(timeout=240)[0].splitlines()
    first, second = (json.loads(line) for line in lines if line.startswith("{"))
    assert first["count"] == second["count"] == 2
    assert first == second, "both hold the same losses and the same weights, to the bit"
    alone = steps_done(4)
    for mine, expected in zip(first["losses"], alone["losses"], strict=True):
        assert mine == pytest.approx(expected, rel=1e-9)
    for what in ("gradients", "weights"):
        # What is zero but for rounding has a square of 1e-30 or so.
        assert first[what] == pytest.approx(alone[what], rel=1e-9, abs=1e-20), what


def test_a_killed_training_of_two_goes_on_in_its_run_to_the_weights_of_one_never_killed(
    copy_project: Project, tmp_path: Path
) -> None:
    # Against two processes again, on this machine: in float32 the order in which
    # they sum a gradient shows in the third figure after twelve steps.
    killed, whole = _longer(copy_project), Project(tmp_path / "whole")
    shutil.copytree(killed.root, whole.root, symlinks=True)
    command = (*TORCHRUN, "-m", "facegraft.cli", "train")
    checkpoint = killed.checkpoints / "last.safetensors"
    with started(killed.root, *command, stderr=subprocess.DEVNULL) as process:
        wait_for(checkpoint.exists, 240.0)
        for one in (*psutil.Process(process.pid).children(recursive=True), process):
            one.kill()
    assert 0 < checkpoint_metadata(checkpoint)[1] < STEPS
    run_id = json.loads((killed.checkpoints / "run.json").read_text(encoding="utf-8"))["run_id"]
    runs = len(tracking.client(killed).search_runs(["1"]))

    with started(killed.root, *command, stdout=-1, stderr=-1) as process:
        said = process.communicate(timeout=240)[0]
    assert process.returncode == 0
    assert said.count(f"trained {STEPS} steps") == 1
    resumed = tracking.client(killed).get_run(run_id)
    assert resumed.info.status == "FINISHED"
    assert (resumed.data.tags["processes"], resumed.data.tags["steps"]) == ("2", str(STEPS))
    assert len(tracking.client(killed).search_runs(["1"])) == runs

    with started(whole.root, *command, stderr=subprocess.DEVNULL) as process:
        assert process.wait(timeout=240) == 0
    weights = [(one.model / "model.safetensors").read_bytes() for one in (killed, whole)]
    assert weights[0] == weights[1]


def _longer(project: Project) -> Project:
    params = yaml.safe_load(project.params.read_text(encoding="utf-8"))
    params["train"].update(steps=STEPS, evaluate_every=3)
    params["runtime"]["device"] = "cpu"  # two of one GPU is none
    params["train"]["thresholds"] = {"identity_loss": 1e-9}  # to the budget
    project.params.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    shutil.rmtree(project.checkpoints)
    return project
