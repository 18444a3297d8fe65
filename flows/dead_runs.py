"""Flow runs whose process is gone become Crashed, and their slots free.

Prefect's worker does that for the runs that it started, unless it was killed with them: then they
would stay Running, and a deployment that allows one run at a time would wait for ever.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from uuid import UUID

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
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

AT_WORK = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
"""States in which a run has, or is about to have, a process."""

PAGE = 100


def crash(message: str, *, of_workers: bool = False) -> int:
    """Set every run that is said to be at work, and its tasks, to Crashed; returns how many.

    Call it when none of them can be: the servers, or the worker, have just started.

    Args:
        of_workers: only runs of deployments, which a worker runs; others may live.
    """
    with get_client(sync_client=True) as client:
        runs = [run for run in _at_work(client) if run.deployment_id or not of_workers]
        for run in runs:
            for task in _tasks_at_work(client, run.id):
                client.set_task_run_state(task, Crashed(message=message), force=True)
            client.set_flow_run_state(run.id, Crashed(message=message), force=True)
    return len(runs)


def _at_work(client: SyncPrefectClient) -> list[FlowRun]:
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=AT_WORK)))
    found: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=wanted, limit=PAGE, offset=len(found)):
        found.extend(page)
    return found


def _tasks_at_work(client: SyncPrefectClient, run: UUID) -> Iterator[UUID]:
    tasks = client.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])),
        task_run_filter=TaskRunFilter(
            state=TaskRunFilterState(type=TaskRunFilterStateType(any_=AT_WORK))
        ),
    )
    for task in tasks:
        yield task.id


if __name__ == "__main__":
    crash("its worker was killed", of_workers="--of-workers" in sys.argv)
