"""Flow `swap-queue`: the pending pairs of a job list."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from prefect import flow, get_run_logger, task
from pydantic import Field

from facegraft.core.errors import FacegraftError
from flows.artifacts import publish_queue
from flows.dead_runs import crash_tasks
from flows.runs import open_project, progress

DEFAULT_LIST = "jobs.csv"


class PairsFailed(FacegraftError):
    """Some pairs could not be tried; the message names them."""


@task(name="swap-queue")
def swap_queue_task(jobs: str, limit: int | None) -> dict[str, str]:
    """Swap what has no result yet, in order; one runner at a time."""
    from facegraft.stages.swap_queue import QueueBusy
    from facegraft.stages.swap_queue import swap_queue as swap_queue_stage

    project, params = open_project()
    path = project.root / Path(jobs)
    try:
        outcome = swap_queue_stage(project, params, path, progress("swap-queue"), limit=limit)
    except QueueBusy as error:  # whoever holds the list does the work
        get_run_logger().warning("nothing done: %s", error)
        return {}
    failed = {one.job: one.message for one in outcome.failed}
    text = (
        f"{len(outcome.done)} swapped now, {len(outcome.before)} done before, "
        f"{len(failed)} could not be tried, {outcome.pending} pending"
    )
    get_run_logger().info("%s: %s", jobs, text)
    for one in outcome.done:
        get_run_logger().info("%s %s: %s", one.record.verdict, one.image, one.record.reason)
    if outcome.done or failed:
        publish_queue(outcome.done, failed, text)
    if failed:
        raise PairsFailed("; ".join(f"{job}: {message}" for job, message in failed.items()))
    return {one.record.job: one.record.verdict for one in outcome.done}


@flow(name="swap-queue", flow_run_name="swap-queue: {jobs}", on_crashed=[crash_tasks])
def swap_queue(
    jobs: str = Field(
        default=DEFAULT_LIST,
        description="CSV or Parquet file, relative to the project folder, with the columns source"
        " and target (image keys, or picture paths seen from the list's folder), and optionally"
        " job and transplant.",
        json_schema_extra={"title": "Job list"},
    ),
    limit: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="At most this many pairs in this run; leave empty for all that are pending.",
        json_schema_extra={"title": "Limit"},
    ),
) -> dict[str, str]:
    """Swap every pair of a job list that has no result yet.

    A pair is done once its record lies in build/swaps; a run that was interrupted loses none and
    repeats none. Returns the verdict of each pair swapped now.
    """
    return swap_queue_task(jobs, limit)
