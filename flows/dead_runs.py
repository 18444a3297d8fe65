"""Runs whose process is gone become Crashed, tasks included, and their slots free.

Prefect's worker does that for the flow runs that it started, unless it was killed with them: then
they would stay Running, and a deployment that allows one run at a time would wait for ever. For
their tasks nobody does it: they would be shown Running for ever.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, State, StateType
from prefect.states import Crashed

Run = TypeVar("Run")

AT_WORK = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
"""States in which a run has, or is about to have, a process."""

PAGE = 100


def crash(message: str, *, of_workers: bool = False) -> int:
    """Set every flow run that is said to be at work to Crashed; returns how many.

    Call it when none of them can be: the servers, or the worker, have just started. Tasks of these
    and of all other flow runs that ended become Crashed too.

    Args:
        of_workers: only runs of deployments, which a worker runs; others may live.
    """
    with get_client(sync_client=True) as client:
        runs = [run for run in _at_work(client) if run.deployment_id or not of_workers]
        for run in runs:
            client.set_flow_run_state(run.id, Crashed(message=message), force=True)
        _crash_tasks(client, _in_states([*TERMINAL_STATES]), message)
    return len(runs)


def crash_tasks(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:
    """A flow's hook `on_crashed`, which the worker calls where the flow's process is gone."""
    with get_client(sync_client=True) as client:
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run.id]))
        _crash_tasks(client, wanted, state.message or f"{flow.name} crashed")


def _at_work(client: SyncPrefectClient) -> list[FlowRun]:
    return _every(client.read_flow_runs, flow_run_filter=_in_states(AT_WORK))


def _crash_tasks(client: SyncPrefectClient, of: FlowRunFilter, message: str) -> None:
    at_work = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=AT_WORK)))
    for task in _every(client.read_task_runs, flow_run_filter=of, task_run_filter=at_work):
        client.set_task_run_state(task.id, Crashed(message=message), force=True)


def _in_states(states: list[StateType]) -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)))


def _every(read: Callable[..., list[Run]], **filters: object) -> list[Run]:
    """All runs that match, read page by page."""
    found: list[Run] = []
    while page := read(**filters, limit=PAGE, offset=len(found)):
        found.extend(page)
    return found


if __name__ == "__main__":
    crash("its worker was killed", of_workers="--of-workers" in sys.argv)
