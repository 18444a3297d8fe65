"""Stage `rollback`: the alias champion goes back to the version that the champion replaced."""

from __future__ import annotations

from facegraft.adapters import registry
from facegraft.core.config import Params, Section
from facegraft.core.progress import Progress
from facegraft.core.project import Project


class RollbackReport(Section):
    """Versions before and after."""

    left: str
    champion: str


def rollback(project: Project, params: Params, report: Progress) -> RollbackReport:
    """Give the alias back; the version that leaves is never promoted again by itself.

    Waits for a promotion that is at work in this folder.

    Raises:
        RegistryError: there is no champion, or none before it; TrackingError: MLflow is away.
    """
    report(0, 1, "rolling back")
    with registry.registry_lock(project, lambda line: report(0, 1, line)):
        left, now = registry.rollback(project)
    report(1, 1, f"champion is version {now.version} again, version {left.version} left")
    return RollbackReport(left=left.version, champion=now.version)
