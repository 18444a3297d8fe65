"""Runs in a real SQLite MLflow: what is logged can be read back, and every run ends."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from PIL import Image

from facegraft.adapters import registry, tracking
from facegraft.core.project import Project
from tests.disk import largest_file
from tests.live_servers import wait_for


@pytest.fixture
def project(tmp_path: Path, mlflow_template: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(mlflow_template, tmp_path / "here" / "mlruns")
    return Project(tmp_path / "here")


def read(project: Project, run_id: str):
    return tracking.client(project).get_run(run_id)


def test_a_run_keeps_metrics_params_tags_and_ends_finished(project: Project) -> None:
    with tracking.open_run(
        project, run_name="train", tags={"git_dirty": False}, params={"train": {"steps": 3}}
    ) as run:
        run.log_metrics({"identity_loss": 0.5, "mse_loss": 0.1}, step=1)
        run.log_metrics({"identity_loss": 0.25}, step=2)
    stored = read(project, run.id)
    assert stored.info.status == "FINISHED"
    assert stored.data.metrics == {"identity_loss": 0.25, "mse_loss": 0.1}
    assert stored.data.params == {"train.steps": "3"}
    assert stored.data.tags["git_dirty"] == "False"
    assert stored.data.tags["python"] == platform.python_version()
    history = tracking.client(project).get_metric_history(run.id, "identity_loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25)]


def test_more_params_than_one_request_takes(project: Project) -> None:
    params = {f"p{i}": i for i in range(tracking.BATCH + 5)}
    with tracking.open_run(project, run_name="many", params=params, tags=params) as run:
        pass
    stored = read(project, run.id)
    assert len(stored.data.params) == tracking.BATCH + 5
    assert stored.data.tags["p104"] == "104"


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(1), "KILLED")],
)
def test_a_run_that_breaks_does_not_stay_running(
    project: Project, error: BaseException, status: str
) -> None:
    with pytest.raises(type(error)), tracking.open_run(project, run_name="breaks") as run:
        raise error
    assert read(project, run.id).info.status == status


def test_sigterm_ends_the_run_killed_and_the_handler_comes_back(project: Project) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped, tracking.open_run(project, run_name="term") as run:
        os.kill(os.getpid(), signal.SIGTERM)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert read(project, run.id).info.status == "KILLED"
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_interrupted_run_goes_on_under_its_own_id(project: Project) -> None:
    def interrupted() -> str:
        with (
            contextlib.suppress(KeyboardInterrupt),
            tracking.open_run(project, run_name="train", params={"steps": 9}) as run,
        ):
            run.log_metrics({"mse_loss": 0.3}, step=1)
            raise KeyboardInterrupt
        return run.id

    first = interrupted()
    with tracking.open_run(
        project, run_name="train", run_id=first, params={"steps": 10, "new": 1}
    ) as second:
        assert read(project, first).info.status == "RUNNING"
        second.log_metrics({"mse_loss": 0.2}, step=2)
    assert second.id == first
    stored = read(project, first)
    assert stored.info.status == "FINISHED"
    assert stored.data.params == {"steps": "9", "new": "1"}
    assert len(tracking.client(project).get_metric_history(first, "mse_loss")) == 2


def test_a_run_that_mlflow_lost_is_started_anew(project: Project) -> None:
    with tracking.open_run(project, run_name="train", run_id="0" * 32) as run:
        pass
    assert run.id != "0" * 32
    assert read(project, run.id).info.status == "FINISHED"


def test_artifacts_hold_no_absolute_path_and_survive_a_moved_checkout(project: Project) -> None:
    note = project.root / "note.txt"
    note.write_text("kept", encoding="utf-8")
    with tracking.open_run(project, run_name="train") as run:
        run.log_image(Image.new("RGB", (4, 4), "red"), "samples/step-000200.png")
        run.log_artifact(note, "notes")
    assert run.artifact_uri.startswith("mlflow-artifacts:/")
    moved = Project(project.root.parent / "there")
    project.root.rename(moved.root)
    repository = tracking.artifacts(moved, read(moved, run.id).info.artifact_uri)
    picture = Image.open(repository.download_artifacts("samples/step-000200.png"))
    assert picture.getpixel((0, 0)) == (255, 0, 0)
    assert Path(repository.download_artifacts("notes/note.txt")).read_text() == "kept"


def test_a_folder_is_stored_whole(project: Project) -> None:
    folder = project.root / "model"
    folder.mkdir()
    (folder / "model.json").write_text("{}", encoding="utf-8")
    with tracking.open_run(project, run_name="train") as run:
        run.log_artifact(folder, "model")
    repository = tracking.artifacts(project, run.artifact_uri)
    assert Path(repository.download_artifacts("model/model.json")).read_text() == "{}"


def test_a_server_that_is_not_there_is_named_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with (
        pytest.raises(tracking.TrackingError, match=r"127\.0\.0\.1:9.*make serve"),
        tracking.open_run(project, run_name="train"),
    ):
        pass


@pytest.mark.parametrize("uri", ["mlruns", "file:///somewhere/mlruns"])
def test_a_file_store_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(tracking.TrackingError, match="a folder cannot be used"):
        tracking.tracking_uri(project)


def test_links_lead_to_the_classic_view(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracking.open_run(project, run_name="train") as run:
        pass
    assert run.url == (
        f"{tracking.DEFAULT_SERVER}/#/experiments/{run.experiment_id}/runs/{run.id}"
        "?workflowType=machine_learning"
    )
    assert tracking.experiment_url(project).endswith(
        f"/#/experiments/{run.experiment_id}/runs?workflowType=machine_learning"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5555/")
    assert run.url.startswith("http://127.0.0.1:5555/#/")


def test_flatten_names_every_leaf() -> None:
    nested = {"train": {"weights": {"mse_loss": 1.0}, "steps": 3}, "promote": {"max_values": {}}}
    assert tracking.flatten(nested) == {
        "train.weights.mse_loss": 1.0,
        "train.steps": 3,
        "promote.max_values": {},
    }


def test_a_watched_run_says_what_the_machine_is_doing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")

    def recorded() -> set[str]:
        return {name for name in read(project, run.id).data.metrics if name.startswith("system/")}

    with tracking.open_run(project, run_name="train", system_metrics=True) as run:
        wait_for(lambda: sorted(recorded()), 60.0)
    assert {
        "system/cpu_utilization_percentage",
        "system/system_memory_usage_megabytes",
    } <= recorded()
    assert not watched()
    with tracking.open_run(project, run_name="swap") as run:
        pass
    assert not recorded()


KILLED = """
import os, signal, sys
from pathlib import Path
from facegraft.adapters import tracking
from facegraft.core.project import Project
project = Project(Path(sys.argv[1]))
with tracking.open_run(project, run_name="train-1", exclusive_kind="train") as run:
    print(run.id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_run_of_a_killed_process_is_closed_when_the_next_of_its_kind_starts(
    project: Project,
) -> None:
    command = [sys.executable, "-c", KILLED, str(project.root)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL
    left = ended.stdout.strip()
    elsewhere = project.root / "elsewhere"
    shutil.copytree(project.mlruns, elsewhere / "mlruns")
    (elsewhere / "mlruns" / "folder-id").unlink()

    def status(where: Project) -> str:
        return read(where, left).info.status

    with tracking.open_run(project, run_name="promote", exclusive_kind="promote"):
        assert status(project) == "RUNNING", "of another kind"
    with tracking.open_run(Project(elsewhere), run_name="train-1", exclusive_kind="train"):
        assert status(Project(elsewhere)) == "RUNNING", "of another folder"
    with tracking.open_run(project, run_name="train-1", run_id=left, exclusive_kind="train") as run:
        assert (run.id, status(project)) == (left, "RUNNING"), "gone on with"
        tracking.client(project).update_run(left, status="RUNNING")
        with tracking.open_run(project, run_name="train-1", exclusive_kind="train") as following:
            assert status(project) == "KILLED"
            assert read(project, following.id).info.status == "RUNNING"


def test_a_damaged_database_is_one_line_with_the_mend(project: Project) -> None:
    database = project.mlruns / "mlflow.db"
    whole = database.read_bytes()
    damages = (b"x" * 5000, whole[: len(whole) // 2], whole[:4096] + bytes(len(whole) - 4096))
    for number, damaged in enumerate(damages):
        # Each under a name of its own: MLflow keeps a connection to what it opened.
        own = Project(project.root / str(number))
        own.mlruns.mkdir(parents=True)
        (own.mlruns / "mlflow.db").write_bytes(damaged)
        for ask in (
            registry.champion,
            tracking.experiment_url,
            lambda p: tracking.find_run(p, "1"),
        ):
            with pytest.raises(tracking.TrackingError, match=r"mlflow\.db: .*restore") as told:
                ask(own)
            assert "\n" not in str(told.value)
            assert "SQL:" not in str(told.value)
    own = Project(project.root / "folder")
    (own.mlruns / "mlflow.db").mkdir(parents=True)
    with pytest.raises(tracking.TrackingError, match=r"mlflow\.db: cannot be opened"):
        registry.champion(own)


def test_a_database_that_cannot_be_written_is_one_line_and_no_log(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = r"mlruns/mlflow\.db: .*; look at the disk's room"

    def refuse() -> None:
        asked = (
            lambda: run.set_tags({"x": 1}),
            lambda: run.log_metrics({"mse_loss": 1.0}, 1),
            lambda: tracking.open_run(project, run_name="other").__enter__(),
        )
        for ask in asked:
            with pytest.raises(tracking.TrackingError, match=refused) as told:
                ask()
            assert "\n" not in str(told.value)
            assert "autoflush" not in str(told.value)

    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.01")
    with tracking.open_run(project, run_name="train", system_metrics=True) as run:
        wait_for(lambda: read(project, run.id).data.metrics, 60.0)
        with largest_file(1000):
            wait_for(lambda: not watched(), 60.0)
            refuse()
    assert capsys.readouterr() == ("", "")


def test_what_ended_a_run_is_told_where_its_end_cannot_be_written(project: Project) -> None:
    with contextlib.ExitStack() as disk:

        def broken() -> None:
            with tracking.open_run(project, run_name="train"):
                disk.enter_context(largest_file(1000))
                raise ValueError("first")

        with pytest.raises(ValueError, match="first"):
            broken()


def watched() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "SystemMetricsMonitor"]


def test_databases_and_artifacts_stay_in_a_folder_of_any_name(
    project: Project, tmp_path: Path
) -> None:
    """A path in an address ends at `?` for SQLAlchemy, `#` and `%` mean something to others."""
    note = tmp_path / "note.txt"
    note.write_text("kept", encoding="utf-8")
    for name in ("a#b", "a%20b", "a%3Fb", "ä b&c=d;e"):
        own = Project(tmp_path / "named" / name / "project")
        shutil.copytree(project.mlruns, own.mlruns)
        before = sorted(tmp_path.rglob("*"))
        with tracking.open_run(own, run_name="train") as run:
            run.log_artifact(note, "notes")
        made = set(tmp_path.rglob("*")) - set(before)
        assert made
        assert not [path for path in made if not path.is_relative_to(own.mlruns)]
        kept = tracking.artifact_folder(own)
        assert (kept / run.artifact_uri.partition(":/")[2]).is_dir()
        served = get_artifact_repository(tracking.artifacts_destination(own))
        assert Path(served.artifact_dir) == kept
    unusable = Project(tmp_path / "named" / "why?" / "project")
    unusable.root.mkdir(parents=True)
    for ask in (registry.champion, tracking.experiment_url, lambda p: tracking.find_run(p, "1")):
        with pytest.raises(tracking.TrackingError, match=r"why\?/project: .*rename it"):
            ask(unusable)
    assert not list(unusable.root.iterdir())
    assert not list((tmp_path / "named").glob("why*.db*"))
    assert sorted(path.name for path in (tmp_path / "named").glob("why*")) == ["why?"]


def test_artifacts_outside_of_the_project_are_refused(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "MLmodel").write_text("flavors: {}", encoding="utf-8")
    kept = tracking.artifact_folder(project)
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "link").symlink_to(outside)
    addresses = (
        outside.as_uri(),
        str(outside),
        "s3://bucket/model",
        "http://127.0.0.1:9/model",
        "mlflow-artifacts://127.0.0.1:9/model",
        "mlflow-artifacts:/../../../outside",
        "mlflow-artifacts:/facegraft/%2e%2e/%2e%2e/outside",
        "mlflow-artifacts:/link",
    )
    for server in ("", "http://127.0.0.1:9"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
        for address in addresses:
            with pytest.raises(tracking.TrackingError, match="outside of the project"):
                tracking.artifacts(project, address)
    assert sorted(path.name for path in outside.iterdir()) == ["MLmodel"]
