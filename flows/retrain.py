"""Flow `retrain`: data, then the DVC stages, then the promotion gate."""

from __future__ import annotations

import sys
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.client.schemas.objects import State, TaskRun
from pydantic import Field

from facegraft.core.locks import one_at_a_time
from flows.artifacts import publish_data, publish_gate, publish_retrain
from flows.dead_runs import crash_tasks
from flows.runs import CommandKilled, open_project, progress, stream


@task(name="data", retries=2, retry_delay_seconds=10)
def data_task() -> str:
    """Have data/ in the version that data.dvc records; pulls or renders if need be."""
    from facegraft.stages.data import data

    project, params = open_project()
    version = data(project, params, progress("data"))
    publish_data(version.md5, version.images, version.source)
    return version.md5


async def was_killed(task: Any, run: TaskRun, state: State[Any]) -> bool:
    """Only a killed command is tried again: it goes on from its last checkpoint."""
    return isinstance(await state.aresult(raise_on_failure=False), CommandKilled)


@task(name="dvc repro", retries=2, retry_delay_seconds=5, retry_condition_fn=was_killed)
def repro_task() -> None:
    """validate, drift, train, evaluate: DVC runs what is not up to date."""
    project, _ = open_project()
    logger = get_run_logger()
    with one_at_a_time(project.build / "repro.lock", logger.info) as descriptor:
        try:
            stream([sys.executable, "-m", "dvc", "repro"], project.root, logger.info, [descriptor])
        finally:  # a gate that stopped the road is to be looked at first of all
            for page in publish_gate(project):
                logger.info("data gate: %s", page)


@task(name="promote")
def promote_task() -> bool:
    """Challenger against champion; the alias moves only if every rule holds."""
    from facegraft.stages.promote import promote

    project, params = open_project()
    decision = promote(project, params, progress("promote"))
    verdict = "promoted" if decision.promote else "not promoted"
    get_run_logger().info("%s: %s", verdict, "; ".join(decision.reasons))
    publish_retrain(project)
    return decision.promote


@flow(name="retrain", flow_run_name="retrain: {reason}", on_crashed=[crash_tasks])
def retrain(
    reason: str = Field(
        default="on demand",
        description="Why this training is wanted; it names the run in the dashboard.",
        json_schema_extra={"title": "Reason"},
    ),
) -> bool:
    """Train on the dataset in use and promote the model if it is no worse than the champion.

    Stages whose data, code and params are unchanged are skipped; an interrupted training goes
    on. Returns whether the new model became champion.
    """
    data_task()
    repro_task()
    return promote_task()


if __name__ == "__main__":
    retrain()
