"""The drift stage on a real registry: evaluated each time, against whoever is champion then."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch

from facegraft.adapters import accepted_drift, registry, tracking
from facegraft.cli import main
from facegraft.core.config import Params
from facegraft.core.progress import silent
from facegraft.core.project import Project
from facegraft.data.summary import DataSummary, SummaryError
from facegraft.method.checkpoint import save_model
from facegraft.method.model import Model, ModelConfig
from facegraft.stages import train as train_stage
from facegraft.stages.drift import AcceptRefused, DriftFound, accept, drift
from tests import synthetic, tiny
from tests.unit.test_drift import summary


@pytest.fixture
def params() -> Params:
    return tiny.params()


@pytest.fixture
def project(tmp_path: Path, mlflow_template: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project = Project(tmp_path / "here")
    shutil.copytree(mlflow_template, project.mlruns)
    validated(project, summary("v1"))
    return project


def validated(project: Project, found: DataSummary) -> None:
    project.validation.mkdir(parents=True, exist_ok=True)
    (project.validation / "summary.json").write_text(found.model_dump_json(), encoding="utf-8")


def crowned(project: Project, seed: int, known: str | None) -> None:
    """A champion whose folder keeps the text `known` of its data."""
    torch.manual_seed(seed)
    model = Model(ModelConfig.from_params(tiny.train_params(), [tiny.faces()]))
    save_model(model.eval(), project.model)
    if known is not None:
        (project.model / registry.DATA_SUMMARY).write_text(known, encoding="utf-8")
    with tracking.open_run(project, run_name="train") as run:
        challenger = registry.register(
            project,
            project.model,
            run,
            size=32,
            benchmark={},
            calibration=tiny.calibration(),
            tags={},
        )
    registry.promote(project, challenger.version)


def test_the_verdict_follows_the_champion(project: Project, params: Params) -> None:
    """The same data: no champion, one that knows it, one that knew other data."""
    verdict = project.build / "drift" / "verdict.json"
    assert "no champion yet" in drift(project, params, silent).reason
    first = verdict.read_bytes()

    crowned(project, 1, summary("v0", seed=4).model_dump_json())
    found = drift(project, params, silent)
    assert found.passed
    assert (found.champion, found.reference) == ("1", "v0")
    assert verdict.read_bytes() == first, "training would run again"
    assert "GREEN" in (project.build / "drift" / "index.html").read_text()

    crowned(project, 2, summary("v0", sharpness=2.0).model_dump_json())
    with pytest.raises(DriftFound) as caught:
        drift(project, params, silent)
    message = str(caught.value)
    assert "\n" not in message
    assert "against champion 2: sharpness of game_character moved by" in message
    assert "yaw" not in message
    assert message.endswith("if that is meant: facegraft drift --accept v1 --why TEXT")
    assert not verdict.exists()
    page = (project.build / "drift" / "index.html").read_text()
    assert "RED" in page
    assert "http" not in page
    kept = json.loads((project.build / "drift" / "report.json").read_text())
    assert [s["statistic"] for s in kept["shifts"] if not s["within"]] == ["sharpness"]


def test_drift_that_is_meant_is_accepted_by_a_command_and_kept_with_who_when_and_why(
    project: Project,
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(tiny.ROOT / "params.yaml", project.params)
    monkeypatch.setenv("LOGNAME", "anna")
    crowned(project, 1, None)
    call = ["--project", str(project.root), "drift"]
    assert main(call) == 1
    assert "if that is meant: facegraft drift --accept v1 --why TEXT" in capsys.readouterr().err
    for refused, why in (
        (["--accept", "v2", "--why", "new"], "--accept v2: the data at hand is v1; look at"),
        (["--accept", "v1"], "--accept v1: say why it is meant, by --why TEXT"),
    ):
        assert main([*call, *refused]) == 1
        assert why in capsys.readouterr().err
        assert accepted_drift.acceptance(project, "v1") is None
    assert main([*call, "--accept", "v1", "--why", "the new\nheroes"]) == 0
    assert "accepted by anna, " in capsys.readouterr().out
    kept = accepted_drift.acceptance(project, "v1")
    assert kept is not None
    assert (kept.who, kept.why) == ("anna", "the new heroes")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(kept.when)) < timedelta(hours=1)

    shutil.rmtree(project.build)  # `make clean`
    validated(project, summary("v1"))
    found = drift(project, params, silent)
    assert found.passed
    assert "because the new heroes: champion 1 keeps no summary" in found.reason
    assert "GREEN" in (project.build / "drift" / "index.html").read_text()
    validated(project, summary("v2"))
    with pytest.raises(DriftFound, match="--accept v2"):
        drift(project, params, silent)


def test_without_a_champion_there_is_nothing_to_accept(project: Project) -> None:
    with pytest.raises(AcceptRefused, match="no champion yet, so there is nothing to accept"):
        accept(project, "v1", "new heroes")


@pytest.mark.parametrize("known", [None, "{}"], ids=["none", "damaged"])
def test_a_champion_that_keeps_no_summary_stops_the_road(
    project: Project, params: Params, known: str | None
) -> None:
    crowned(project, 1, known)
    with pytest.raises(DriftFound, match=r"champion 1 keeps no summary .*--accept v1"):
        drift(project, params, silent)


def test_without_a_validated_dataset_there_is_nothing_to_judge(
    project: Project, params: Params
) -> None:
    (project.validation / "summary.json").write_text("{}", encoding="utf-8")
    with pytest.raises(SummaryError, match=r"summary\.json: no data summary.*validate. again"):
        drift(project, params, silent)
    (project.validation / "summary.json").unlink()
    with pytest.raises(SummaryError, match=r"summary\.json: not found; run .facegraft validate"):
        drift(project, params, silent)


def test_training_keeps_the_summary_of_the_very_data_only(project: Project) -> None:
    synthetic.dataset(project.data, size=32)
    project.model.mkdir(parents=True)
    kept = project.model / registry.DATA_SUMMARY
    train_stage._keep_data_summary(project)
    assert not kept.exists(), "that summary is of other data"
    validated(project, summary(train_stage.folder_md5(project.data)))
    train_stage._keep_data_summary(project)
    assert kept.read_bytes() == (project.validation / "summary.json").read_bytes()
    synthetic.dataset(project.data, size=32, rows=5)
    train_stage._keep_data_summary(project)
    assert not kept.exists()
