"""Flow `rollback`: the champion before takes its place again."""

from __future__ import annotations

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.dead_runs import crash_tasks
from flows.runs import open_project, progress


@task(name="rollback")
def rollback_task(reason: str) -> str:
    """Move the alias; the version that leaves is not promoted again by itself."""
    from facegraft.stages.rollback import rollback as rollback_stage

    project, params = open_project()
    outcome = rollback_stage(project, params, progress("rollback"))
    text = f"champion is version {outcome.champion} again; version {outcome.left} left: {reason}"
    get_run_logger().info(text)
    create_markdown_artifact(text, key="rollback", description=reason)
    return outcome.champion


@flow(name="rollback", flow_run_name="rollback: {reason}", on_crashed=[crash_tasks])
def rollback(
    reason: str = Field(
        description="Why the champion is taken back; kept with the run.",
        json_schema_extra={"title": "Reason"},
    ),
) -> str:
    """Give the alias champion back to the version that the champion replaced.

    Returns the version that is champion now.
    """
    return rollback_task(reason)
