"""Fixtures that every kind of test shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DVC_NO_ANALYTICS", "1")


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh `mlruns/` to copy: MLflow takes seconds to lay out its database, a copy none."""
    from facegraft.adapters import tracking
    from facegraft.project import Project

    named = os.environ.pop("MLFLOW_TRACKING_URI", None)
    project = Project(tmp_path_factory.mktemp("mlflow-template"))
    tracking.experiment_url(project)
    if named is not None:
        os.environ["MLFLOW_TRACKING_URI"] = named
    return project.mlruns
