"""Runs whose process is gone: neither they nor their tasks stay Running."""

from __future__ import annotations

from uuid import UUID

import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType, TaskRun
from prefect.states import Completed, Crashed, Running, State

from flows.dead_runs import crash, crash_tasks

pytestmark = pytest.mark.usefixtures("prefect_server")


@flow(name="left-behind")
def left_behind() -> None:
    """Never run: only its runs' states are looked at."""


@task(name="its-task")
def its_task() -> None:
    """As above."""


def made(client: SyncPrefectClient, state: State) -> tuple[FlowRun, TaskRun]:
    """A flow run in this state, and a task of it that is said to run."""
    run = client.create_flow_run(left_behind, state=state)
    return run, client.create_task_run(its_task, run.id, "0", state=Running())


def state_of(client: SyncPrefectClient, task_run: UUID) -> StateType | None:
    return client.read_task_run(task_run).state_type


def test_a_start_ends_tasks_also_of_runs_that_ended_before() -> None:
    """The worker ends a killed flow's run, and leaves its task Running."""
    with get_client(sync_client=True) as client:
        states = (Running(), Crashed(), Completed())
        runs = [made(client, state) for state in states]
        crash("the servers have just started")
        for _, task_run in runs:
            assert state_of(client, task_run.id) == StateType.CRASHED
        after = [client.read_flow_run(run.id).state_type for run, _ in runs]
        assert after == [StateType.CRASHED, StateType.CRASHED, StateType.COMPLETED]


def test_a_crashed_flow_takes_its_own_tasks_along() -> None:
    with get_client(sync_client=True) as client:
        (run, task_run), (_, other) = made(client, Crashed()), made(client, Running())
        crash_tasks(left_behind, run, Crashed(message="its process was killed"))
        assert state_of(client, task_run.id) == StateType.CRASHED
        assert state_of(client, other.id) == StateType.RUNNING


def test_every_flow_has_the_hook() -> None:
    from flows.deployments import DEPLOYMENTS
    from flows.retrain import retrain
    from flows.rollback import rollback
    from flows.swap import swap
    from flows.swap_queue import swap_queue

    flows = (retrain, rollback, swap, swap_queue)
    assert {one.name for one in flows} == set(DEPLOYMENTS)
    for one in flows:
        assert one.on_crashed_hooks == [crash_tasks]
