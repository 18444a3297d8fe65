"""The flows on a small real project, with a real Prefect server behind them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from filelock import FileLock
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from facegraft.adapters import registry
from facegraft.core.project import Project
from facegraft.data.grids import PARTS
from facegraft.method.sidecar import SwapRecord
from facegraft.stages.swap import finished_below
from facegraft.stages.swap_queue import list_folder
from flows.artifacts import publish_gate, publish_retrain
from flows.deployments import DEPLOYMENTS, forget_missed_runs
from flows.rollback import rollback
from flows.swap import Part, swap
from flows.swap_queue import swap_queue

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.slow]

SOURCE, TARGET = "test-000/i00/a00", "test-000/i01/a01"


@pytest.fixture
def project(copy_project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(copy_project.root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return copy_project


def records(project: Project) -> dict[str, SwapRecord]:
    done = finished_below(list_folder(project, project.root / "jobs.csv"))
    return {result.record.job: result.record for result in done}


def test_the_form_offers_the_parts_that_can_be_swapped_alone() -> None:
    assert get_args(Part) == PARTS


def test_a_swap_shows_its_pictures_and_its_verdict(project: Project, artifacts: Any) -> None:
    """What the form leaves empty is as in params.yaml."""
    params = yaml.safe_load(project.params.read_text(encoding="utf-8"))
    params["swap"]["detail"] = 0.5
    project.params.write_text(yaml.safe_dump(params), encoding="utf-8")
    verdict = swap(SOURCE, TARGET, parts=None, shape=0.25, force=False, model="1")
    assert verdict in ("PASS", "FAIL")
    (done,) = finished_below(project.swaps / "single")
    assert (done.record.detail, done.record.shape) == (0.5, 0.25)
    page = artifacts("swap-result")
    assert page.data.startswith(f"## {verdict}: {SOURCE} on {TARGET}")
    assert "data:image/png;base64," in page.data
    assert artifacts("swap-picture").data.startswith("data:image/png;base64,iVBOR")


def test_a_swap_of_an_unknown_picture_fails_with_one_line(project: Project) -> None:
    asked = {"target": TARGET, "parts": None, "force": False, "return_state": True}
    state = swap("test-000/i99/a00", model="champion", **asked)
    assert state.is_failed()
    assert "unknown id 'test-000/i99/a00'" in state.message
    state = swap(SOURCE, model="99", **asked)
    assert state.is_failed()
    assert "holds no facegraft version '99'" in state.message


@pytest.mark.parametrize(
    "bad",
    [
        {"source": ""},
        {"parts": ["hat"]},
        {"detail": 1.5},
        {"shape": -0.1},
        {"force": "perhaps"},
        {"model": ""},
    ],
    ids=lambda bad: next(iter(bad)),
)
def test_what_the_form_refuses_does_not_run(project: Project, bad: dict[str, Any]) -> None:
    from prefect.exceptions import ParameterTypeError

    good = {"source": SOURCE, "target": TARGET, "parts": None, "force": False, "model": "1"}
    with pytest.raises(ParameterTypeError):
        swap(**{**good, **bad})
    assert not project.swaps.exists()


def test_the_queue_does_each_pair_once(project: Project, artifacts: Any) -> None:
    first = swap_queue("jobs.csv", limit=1)
    assert len(first) == 1
    before = records(project)
    rest = swap_queue("jobs.csv", limit=None)
    assert len(rest) == 1
    assert not first.keys() & rest.keys()
    after = records(project)
    assert {**after, **before} == after
    assert swap_queue("jobs.csv", limit=None) == {}
    table = json.loads(artifacts("swap-queue").data)
    assert [row["job"] for row in table] == list(rest)


def test_a_pair_that_cannot_be_tried_fails_the_run_and_not_the_others(project: Project) -> None:
    jobs = project.root / "jobs.csv"
    jobs.write_text(f"source,target\nnobody,{TARGET}\n{SOURCE},{TARGET}\n", encoding="utf-8")
    state = swap_queue("jobs.csv", limit=None, return_state=True)
    assert state.is_failed()
    assert "nobody" in state.message
    assert [record.source.given for record in records(project).values()] == [SOURCE]


def test_a_list_that_another_runner_holds_is_left_to_it(project: Project) -> None:
    folder = list_folder(project, project.root / "jobs.csv")
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        assert swap_queue("jobs.csv", limit=None) == {}
    assert not records(project)


def test_rollback_without_a_predecessor_says_so(project: Project) -> None:
    state = rollback("a test", return_state=True)
    assert state.is_failed()
    assert "first champion" in state.message
    assert registry.get(project, "champion").version == "1"


def test_the_road_is_published(project: Project, artifacts: Any) -> None:
    pages = flow(publish_gate, validate_parameters=False)(project)
    assert {page.parent.name for page in pages} == {"validation", "drift"}
    text = artifacts("data-gate-page").data
    assert "0 of" in text
    assert all(str(page) in text for page in pages)
    flow(publish_retrain, validate_parameters=False)(project)
    gate = json.loads(artifacts("data-gate").data)
    assert {row["verdict"] for row in gate} == {"passed"}
    benchmark = json.loads(artifacts("benchmark").data)
    assert {"metric", "model", "true_swap", "copy_target", "copy_source"} == benchmark[0].keys()
    assert artifacts("sample-swaps").data.startswith("data:image/png;base64,")
    assert "Version 1 promoted" in artifacts("promotion").data
    assert "/#/experiments/" in artifacts("mlflow-run").data


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_field_of_a_form_explains_itself(name: str) -> None:
    from prefect.flows import load_flow_from_entrypoint
    from prefect.utilities.callables import parameter_schema

    root = Path(__file__).parents[2]
    path, function = DEPLOYMENTS[name]["entrypoint"].split(":")
    loaded = load_flow_from_entrypoint(f"{root / path}:{function}")
    assert loaded.name == name
    assert loaded.description
    for field, schema in parameter_schema(loaded).properties.items():
        assert len(schema.get("description", "")) > 20, field
        assert schema["title"] != field


def test_runs_that_a_cron_planned_while_nobody_worked_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @flow
    def nothing() -> None:
        """Never run."""

    now = datetime.now(UTC)
    with get_client(sync_client=True) as client:
        past, future = (
            client.create_flow_run(
                nothing, state=Scheduled(scheduled_time=now + timedelta(hours=h))
            )
            for h in (-1, 1)
        )
        assert forget_missed_runs() == 0  # a person planned them
        assert client.read_flow_run(past.id).id == past.id

        read = SyncPrefectClient.read_flow_runs

        def as_if_by_cron(self: SyncPrefectClient, **filters: Any) -> list[Any]:
            found = read(self, **filters)
            return [run.model_copy(update={"auto_scheduled": True}) for run in found]

        monkeypatch.setattr(SyncPrefectClient, "read_flow_runs", as_if_by_cron)
        assert forget_missed_runs() == 1
        with pytest.raises(ObjectNotFound):
            client.read_flow_run(past.id)
        assert client.read_flow_run(future.id).id == future.id
