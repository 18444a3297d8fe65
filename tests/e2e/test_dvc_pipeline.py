"""`dvc repro` on data that another processor has drawn: it runs, and data.dvc stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from facegraft.adapters import lineage
from facegraft.core.project import Project
from facegraft.method.checkpoint import read_json

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_stages_run_on_other_bytes_of_the_recorded_recipe(copy_project: Project) -> None:
    root, record = copy_project.root, copy_project.root / "data.dvc"
    before, recorded = record.read_bytes(), lineage.data_version(root)
    with Image.open(copy_project.data / "preview.png") as preview:
        preview.save(
            copy_project.data / "preview.png", compress_level=1
        )  # the same, in other bytes
    drawn = lineage.folder_md5(copy_project.data)
    assert drawn != recorded
    (copy_project.build / "rendered.json").write_text(json.dumps({"md5": drawn}), encoding="utf-8")

    assert "Running stage 'validate'" in repro(root)
    assert record.read_bytes() == before
    assert read_json(copy_project.validation / "summary.json")["data_version"] == drawn
    lock = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))["stages"]["validate"]
    assert copy_project.data_version.relative_to(root).as_posix() in [
        d["path"] for d in lock["deps"]
    ]
    assert "Stage 'validate' didn't change, skipping" in repro(root)
    assert record.read_bytes() == before

    with copy_project.params.open("a", encoding="utf-8") as params:  # a section it did not name
        params.write("drift: {max_index: 0.5}\n")
    assert "Stage 'validate' didn't change, skipping" in repro(root)
    text = copy_project.params.read_text(encoding="utf-8")
    copy_project.params.write_text(text.replace("min_pose_share: 0.0", "min_pose_share: 0.001"))
    assert "Running stage 'validate'" in repro(root), "its own section changed"

    (copy_project.data / "mine.txt").write_text("changed by hand", encoding="utf-8")
    assert "Running stage 'validate'" in repro(root), "nothing that lies in data/ goes unseen"


def repro(root: Path) -> str:
    """What `dvc repro validate` says there."""
    command = [sys.executable, "-m", "dvc", "repro", "validate"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # its `python`
    done = subprocess.run(
        command,
        cwd=root,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
