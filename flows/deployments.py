"""The deployments: what can be started from the dashboard, and what starts by itself."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import deploy, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectAlreadyExists

from flows import dead_runs
from flows.services import WORK_POOL

DEPLOYMENTS: Mapping[str, Mapping[str, Any]] = {
    "retrain": {
        "entrypoint": "flows/retrain.py:retrain",
        "cron": "0 3 * * *",
        "parameters": {"reason": "every night"},
        "concurrency_limit": 1,
        "tags": ["training"],
        "description": "Data, validation, training, evaluation, promotion; skips what is done.",
    },
    "swap": {
        "entrypoint": "flows/swap.py:swap",
        "tags": ["swap"],
        "description": "One pair: choose a source and a target and read the verdict.",
    },
    "swap-queue": {
        "entrypoint": "flows/swap_queue.py:swap_queue",
        "cron": "*/15 * * * *",
        "concurrency_limit": 1,
        "tags": ["swap"],
        "description": "The pending pairs of a job list; never loses or repeats one.",
    },
    "rollback": {
        "entrypoint": "flows/rollback.py:rollback",
        "concurrency_limit": 1,
        "tags": ["registry"],
        "description": "Back to the champion before.",
    },
}
"""Deployment name -> how it is made. FACEGRAFT_CRON_<NAME> overrides a cron ("" for none)."""

JOB_TEMPLATE: dict[str, Any] = {
    "job_configuration": {"stream_output": True},
    "variables": {"type": "object", "properties": {}, "additionalProperties": False},
}
"""What whoever starts a run may say of its process: nothing.

Prefect's own template takes command, environment and working folder from the caller. `env` must
not stand in the configuration at all: Prefect merges a caller's into it even if it is no variable.
"""


def register(root: Path) -> None:
    """Make or update the work pool and every deployment on the server in PREFECT_API_URL.

    Called when the servers have just started, so what is said to run is dead.
    """
    dead_runs.crash("the servers were stopped or killed while it ran")
    set_up_work_pool()
    forget_missed_runs()
    deploy(
        *(_deployment(root, name, dict(how)) for name, how in DEPLOYMENTS.items()),
        work_pool_name=WORK_POOL,
        build=False,
        push=False,
        print_next_steps_message=False,
    )


def set_up_work_pool() -> None:
    """The pool exists with our template, also where an earlier version made it."""
    with get_client(sync_client=True) as client:
        with contextlib.suppress(ObjectAlreadyExists):
            client.create_work_pool(
                WorkPoolCreate(name=WORK_POOL, type="process", base_job_template=JOB_TEMPLATE)
            )
        client.update_work_pool(WORK_POOL, WorkPoolUpdate(base_job_template=JOB_TEMPLATE))


def forget_missed_runs() -> int:
    """Delete what crons planned while no worker was up; else a day off ends in a hundred runs.

    A run that a person planned is kept.
    """
    planned = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        next_scheduled_start_time=FlowRunFilterNextScheduledStartTime.model_validate(
            {"before_": datetime.now(UTC)}
        ),
    )
    with get_client(sync_client=True) as client:
        missed = [
            run for run in client.read_flow_runs(flow_run_filter=planned) if run.auto_scheduled
        ]
        for run in missed:
            client.delete_flow_run(run.id)
    return len(missed)


def _deployment(root: Path, name: str, how: dict[str, Any]) -> Any:
    source: Any = flow.from_source(source=str(root), entrypoint=how.pop("entrypoint"))
    variable = f"FACEGRAFT_CRON_{name.upper().replace('-', '_')}"
    how["cron"] = os.environ.get(variable, how.get("cron")) or None
    return source.to_deployment(name=name, **how)


if __name__ == "__main__":
    register(Path.cwd())
