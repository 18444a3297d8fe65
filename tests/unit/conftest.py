"""A tiny rendered project, drawn once per session; tests that change it take a copy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from facegraft.core import parallel
from facegraft.core.config import GridCounts, Params
from facegraft.core.params_file import load_params
from facegraft.core.progress import silent
from facegraft.core.project import Project
from facegraft.stages.data import DataVersion, data

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tiny_params() -> Params:
    """The repository's params with three grids of 2 x 2 faces."""
    params = load_params(ROOT / "params.yaml")
    grids = GridCounts(train=1, validation=1, test=1)
    sizes = {
        "grids": grids,
        "identities": 2,
        "attributes": 2,
        "mixes": 0,
        "size": 64,
        "supersample": 1,
    }
    # Six heads turn no way in particular, and two pictures of each cannot be told apart for sure.
    borne = {"min_pose_share": 0.0, "min_identities_agree": 0.0}
    changed = {
        "data": params.data.model_copy(update=sizes),
        "validate_": params.validate_.model_copy(update=borne),
    }
    return params.model_copy(update=changed)


@pytest.fixture(scope="session")
def rendered(
    tmp_path_factory: pytest.TempPathFactory, tiny_params: Params
) -> tuple[Project, DataVersion]:
    """A git and DVC project whose data/ the stage has rendered and recorded; do not change it."""
    root = tmp_path_factory.mktemp("rendered")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    project = Project(root)
    with pytest.MonkeyPatch.context() as patch:
        # One process: starting a second costs more than twelve small pictures.
        patch.setattr(parallel, "usable_cores", lambda: 1)
        return project, data(project, tiny_params, silent)


@pytest.fixture
def project(rendered: tuple[Project, DataVersion], tmp_path: Path) -> Project:
    """A copy of the rendered project, to change at will."""
    shutil.copytree(rendered[0].root, tmp_path / "copy")
    return Project(tmp_path / "copy")
