"""Fixtures that every kind of test shares."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from xdist.scheduler import LoadScopeScheduling

from facegraft.core.project import Project
from tests import live_servers
from tests import tiny_pipeline as tiny

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DVC_NO_ANALYTICS", "1")
# Before torch is imported: its waiting threads would spin, and two cores are shared by many.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh `mlruns/` to copy: MLflow takes seconds to lay out its database, a copy none."""
    from facegraft.adapters import tracking

    named = os.environ.pop("MLFLOW_TRACKING_URI", None)
    project = Project(tmp_path_factory.mktemp("mlflow-template"))
    tracking.experiment_url(project)
    if named is not None:
        os.environ["MLFLOW_TRACKING_URI"] = named
    return project.mlruns


TOGETHER = {
    "servers": ("tests/browser/", "tests/e2e/test_deployments.py", "tests/e2e/test_nobody_in.py"),
    "harness": ("tests/flows/test_flows.py", "tests/flows/test_dead_runs.py"),
}
"""Files whose tests share a fixture that is slow to make: `live`, and Prefect's test harness."""


class ByFile(LoadScopeScheduling):
    """One xdist worker has all tests of a file, and all of files that share what is slow to start.

    (`--dist loadgroup` writes its groups into what pytest 9.2 no longer reads.)
    """

    def _split_scope(self, nodeid: str) -> str:
        for name, files in TOGETHER.items():
            if nodeid.startswith(files):
                return name
        return nodeid.split("::", 1)[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    config.option.loadscopereorder = (
        False  # the slow ones stand first; sorted, they would come last
    )
    return ByFile(config, log)


@pytest.fixture(scope="session")
def tiny_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A whole project in small, made once by the real stages: data to champion.

    Shared by the session and its xdist workers: a test that writes works on a copy
    (`copy_project`).
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "tiny"
    project, made = Project(folder / "project"), folder / "made"
    with FileLock(f"{folder}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _make(project)
            made.touch()
    return project


def _make(project: Project) -> None:
    named = os.environ.pop("MLFLOW_TRACKING_URI", None)
    tiny.run_road(tiny.new_project(project.root))
    if named is not None:
        os.environ["MLFLOW_TRACKING_URI"] = named


@pytest.fixture
def copy_project(tiny_project: Project, tmp_path: Path) -> Project:
    """A copy of the tiny project to change at will."""
    shutil.copytree(tiny_project.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def live(
    tiny_project: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[live_servers.Live]:
    """Both servers and a worker on loopback, over a copy of the tiny project."""
    root = tmp_path_factory.mktemp("live") / "project"
    shutil.copytree(tiny_project.root, root, symlinks=True)
    with live_servers.start(Project(root)) as running:
        yield running
