"""Real servers on free ports: what the dashboard can start, what starts by itself, what is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from facegraft.adapters import registry
from facegraft.core.project import Project
from facegraft.stages.swap import finished_below
from facegraft.stages.swap_queue import list_folder
from tests.live_servers import Live, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PAIR = {"source": "test-000/i00/a00", "target": "test-000/i01/a01"}


def test_every_deployment_is_there_with_its_schedule(live: Live) -> None:
    crons = {
        name: [one["schedule"]["cron"] for one in live.deployment(name)["schedules"]]
        for name in ("retrain", "swap", "swap-queue", "rollback")
    }
    assert crons == {"retrain": [], "swap": [], "swap-queue": ["* * * * *"], "rollback": []}
    assert live.deployment("swap")["enforce_parameter_schema"] is True


def test_a_swap_started_from_the_dashboard_shows_its_pictures(live: Live) -> None:
    created = live.trigger("swap", PAIR)
    assert created.status_code == 201, created.text
    run = live.finish(created.json()["id"])
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    artifacts = live.artifacts(run["id"])
    assert artifacts["swap-picture"]["data"].startswith("data:image/png;base64,")
    assert "test-000/i00/a00" in artifacts["swap-result"]["data"]
    done = finished_below(live.project.swaps / "single")
    assert PAIR["source"] in [result.record.source.given for result in done]


@pytest.mark.parametrize(
    "parameters",
    [
        {"source": "a"},
        {**PAIR, "force": "perhaps"},
        {**PAIR, "parts": ["hat"]},
        {**PAIR, "detail": 1.5},
    ],
    ids=["missing", "no boolean", "unknown part", "out of range"],
)
def test_bad_parameters_are_refused_by_the_schema(
    live: Live, parameters: dict[str, object]
) -> None:
    before = len(live.runs("swap"))
    assert live.trigger("swap", parameters).status_code in (409, 422)
    assert len(live.runs("swap")) == before


def test_a_file_that_is_no_picture_fails_with_one_line(live: Live) -> None:
    (live.project.root / "notes.png").write_text("no picture", encoding="utf-8")
    created = live.trigger("swap", {**PAIR, "source": "notes.png"})
    run = live.finish(created.json()["id"])
    assert run["state_type"] == "FAILED"
    assert "notes.png: no picture that can be read" in run["state"]["message"]


def test_the_queue_fires_by_itself(live: Live) -> None:
    def fired() -> list[dict[str, object]]:
        return [
            run
            for run in live.runs("swap-queue")
            if run["auto_scheduled"] and run["state_type"] == "COMPLETED"
        ]

    wait_for(fired, 150.0)
    assert len(finished_below(list_folder(live.project, live.project.root / "jobs.csv"))) == 2


def test_a_killed_queue_loses_no_pair_and_repeats_none(live: Live) -> None:
    pairs = [f"test-000/i{i:02d}/a00,test-000/i{j:02d}/a01" for i in range(3) for j in range(3)]
    jobs = live.project.root / "many.csv"
    jobs.write_text("source,target\n" + "\n".join(pairs) + "\n", encoding="utf-8")
    folder = list_folder(live.project, jobs)
    created = live.trigger("swap-queue", {"jobs": "many.csv"})
    wait_for(lambda: sidecars(folder), 120.0)
    kill_flow_run(created.json()["id"])
    kept = sidecars(folder)
    assert 0 < len(kept) < len(pairs)
    assert live.finish(created.json()["id"])["state_type"] == "CRASHED"
    wait_for(lambda: set(live.task_states(created.json()["id"])) == {"CRASHED"}, 60.0)

    again = live.finish(live.trigger("swap-queue", {"jobs": "many.csv"}).json()["id"])
    assert again["state_type"] == "COMPLETED", again["state"]["message"]
    after = sidecars(folder)
    assert len(after) == len(pairs)
    assert {**after, **kept} == after
    assert len(list(folder.glob("*/comparison.png"))) == len(pairs)


def sidecars(folder: Path) -> dict[str, str]:
    """Name -> content of every finished pair."""
    return {str(path): path.read_text(encoding="utf-8") for path in folder.glob("*/record.json")}


def kill_flow_run(run_id: str) -> None:
    """SIGKILL the process that runs it."""

    def process() -> psutil.Process | None:
        for one in psutil.process_iter(["environ"]):
            environment = one.info["environ"] or {}
            if environment.get("PREFECT__FLOW_RUN_ID", "").replace("-", "") == run_id.replace(
                "-", ""
            ):
                return one
        return None

    wait_for(process, 10.0).send_signal(signal.SIGKILL)


def test_retraining_through_the_api_and_back(live: Live) -> None:
    created = live.trigger("retrain", {"reason": "e2e"})
    run = live.finish(created.json()["id"], 300.0)
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    artifacts = live.artifacts(run["id"])
    assert {"data-version", "data-gate", "sample-swaps", "benchmark", "promotion"} <= set(artifacts)
    assert f"{live.addresses.mlflow}/#/experiments/" in artifacts["mlflow-run"]["data"]
    assert (live.project.root / "dvc.lock").exists()

    rolled = live.finish(live.trigger("rollback", {"reason": "e2e"}).json()["id"])
    assert rolled["state_type"] == "FAILED"
    assert "first champion" in rolled["state"]["message"]


def test_a_second_server_in_one_project_is_refused(live: Live) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.services"],
        cwd=live.project.root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "already running" in done.stderr


def test_mlflow_loads_the_champion_through_its_server(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", live.addresses.mlflow)
    fresh = Project(live.project.root / "elsewhere")
    registered, folder = registry.fetch(fresh, "champion")
    assert registry.fingerprint(folder) == registered.sha256
