"""Flow `swap`: one pair, from the dashboard's form."""

from __future__ import annotations

from typing import Annotated, Literal

from prefect import flow, get_run_logger, task
from pydantic import Field

from flows.artifacts import publish_swap
from flows.dead_runs import crash_tasks
from flows.runs import open_project, progress

Given = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Part = Literal["face_shape", "eyes", "brows", "nose", "mouth"]


@task(name="swap")
def swap_task(
    source: str,
    target: str,
    parts: list[str] | None,
    force: bool,
    model: str,
    detail: float | None,
    shape: float | None,
) -> str:
    """Model, source and target in; a judged image and its record out."""
    from facegraft.stages.swap import swap as swap_stage

    project, params = open_project()
    result = swap_stage(
        project,
        params,
        source,
        target,
        progress("swap"),
        transplant=parts,
        force=force,
        reference=model,
        detail=detail,
        shape=shape,
    )
    publish_swap(result)
    record = result.record
    get_run_logger().info("%s: %s; %s", record.verdict, record.reason, result.image)
    return record.verdict


@flow(name="swap", flow_run_name="swap: {source} on {target}", on_crashed=[crash_tasks])
def swap(
    source: Given = Field(
        description="Whose face: an image key of the dataset, e.g. test-000/i00/a00, or the path"
        " of a picture on this machine.",
        json_schema_extra={"title": "Source: the face to take"},
    ),
    target: Given = Field(
        description="Who gets it, and keeps expression, hair, costume, pose and background: an"
        " image key of the dataset, e.g. test-000/i01/a01, or the path of a picture.",
        json_schema_extra={"title": "Target: the character to put it on"},
    ),
    parts: list[Part] | None = Field(
        default=None,
        description="Which parts of the face to take from the source. Leave empty for all.",
        json_schema_extra={"title": "Only these parts"},
    ),
    detail: Share | None = Field(
        default=None,
        description="How much of the source's lids, irises, brows, wrinkles and lips is shown."
        " Leave empty for swap.detail of params.yaml.",
        json_schema_extra={"title": "Detail, 0 to 1"},
    ),
    shape: Share | None = Field(
        default=None,
        description="How much of the source's shape is taken. Leave empty for swap.shape.",
        json_schema_extra={"title": "Shape, 0 to 1"},
    ),
    force: bool = Field(
        default=False,
        description="Swap again even if this pair was done with the same model and params.",
        json_schema_extra={"title": "Do it again"},
    ),
    model: Given = Field(
        default="champion",
        description="A version or alias of the registry, e.g. 3 for one that was not promoted.",
        json_schema_extra={"title": "Model"},
    ),
) -> str:
    """Put the identity of one face onto a game character.

    The model swaps the pair and is fine-tuned on it until both losses lie below their
    calibrated thresholds (PASS) or the budget of steps is gone (FAIL, the best image is kept and
    marked). The result appears under Artifacts. Returns the verdict.
    """
    return swap_task(source, target, list(parts) if parts else None, force, model, detail, shape)
