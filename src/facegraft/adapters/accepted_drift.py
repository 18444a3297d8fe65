"""Drift that was looked at and is meant: a tag of the registered model for each data version.

It lies beside the versions whose data it is about, so it survives `make clean`, and whoever uses
the same MLflow server sees it; see docs/adr/0020-knobs.md.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import ValidationError

from facegraft.adapters.registry import NAME
from facegraft.adapters.tracking import client, one_line
from facegraft.core.config import Section
from facegraft.core.project import Project

TAG = "drift_accepted/"
"""Of the registered model; the data version follows."""


class Acceptance(Section):
    """Who meant the drift of a data version, when (UTC, to the second) and why."""

    who: str
    when: str
    why: str


def accept(project: Project, data_version: str, *, who: str, why: str) -> Acceptance:
    """Keep that the drift of a data version is meant; a later one replaces an earlier.

    Raises:
        TrackingError: MLflow cannot be reached, or there is no champion to have drifted from.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    given = Acceptance(who=who, when=now, why=why)
    with one_line():
        client(project).set_registered_model_tag(
            NAME, f"{TAG}{data_version}", given.model_dump_json()
        )
    return given


def acceptance(project: Project, data_version: str) -> Acceptance | None:
    """What `accept` kept of a data version; None where nobody did, or MLflow holds nonsense.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    with one_line():
        found = client(project).search_registered_models(f"name = '{NAME}'")
    text = found[0].tags.get(f"{TAG}{data_version}") if found else None
    try:
        return None if text is None else Acceptance.model_validate_json(text)
    except ValidationError:
        return None
