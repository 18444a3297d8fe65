"""Stage `drift`: the data against what the champion was trained on; run each time, never cached.

The champion may change while the data does not, so `validate`, which DVC skips for unchanged data,
could not say this.
"""

from __future__ import annotations

import getpass
import json
import math
from dataclasses import asdict, replace
from typing import Any

from facegraft.adapters import accepted_drift, registry
from facegraft.adapters.accepted_drift import Acceptance
from facegraft.adapters.registry import Registered
from facegraft.core.atomic import replacing
from facegraft.core.config import Params
from facegraft.core.errors import FacegraftError
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.data.drift import DriftReport, Shift, drift_verdict
from facegraft.data.summary import DataSummary, SummaryError, read_summary
from facegraft.presenting.drift import drift_page
from facegraft.presenting.pages import html

REPORT, PAGE, VERDICT = "report.json", "index.html", "verdict.json"
SUMMARY = "summary.json"


class DriftFound(FacegraftError):
    """The data is not what the champion knows; one line with what moved and the mend."""


class AcceptRefused(FacegraftError):
    """`drift --accept` accepts nothing as it was called; one line with the mend."""


def accept(project: Project, data_version: str, why: str) -> Acceptance:
    """Keep that the drift of the validated data is meant, and by whom and why.

    Args:
        data_version: as the message and the page name it: only what was looked at is accepted.
        why: one line.

    Raises:
        AcceptRefused: that is not the data at hand, there is no reason, or no champion.
        SummaryError: build/validation/summary.json is missing or damaged.
        RegistryError, TrackingError: the registry does not answer.
    """
    current = _current(project).data_version
    if data_version != current:
        raise AcceptRefused(
            f"--accept {data_version}: the data at hand is {current}; look at its page, "
            f"{project.build / 'drift' / PAGE}, and accept that one"
        )
    if not why.strip():
        raise AcceptRefused(f"--accept {data_version}: say why it is meant, by --why TEXT")
    if registry.champion(project) is None:
        raise AcceptRefused(
            f"--accept {data_version}: no champion yet, so there is nothing to accept"
        )
    return accepted_drift.accept(project, current, who=_user(), why=" ".join(why.split())[:1000])


def drift(project: Project, params: Params, report: Progress) -> DriftReport:
    """Compare build/validation/summary.json with the summary kept with the champion.

    Writes report.json, index.html and, if the data may be trained on, verdict.json: what training
    depends on, the same bytes whoever is champion.

    Raises:
        DriftFound: a statistic moved too far, or the champion has no summary to compare with, and
            the data version is not accepted.
        SummaryError: build/validation/summary.json is missing or damaged.
        RegistryError, TrackingError: the registry does not answer.
    """
    folder = project.build / "drift"
    for name in (REPORT, PAGE, VERDICT):
        (folder / name).unlink(missing_ok=True)
    current = _current(project)
    champion = registry.champion(project)
    reference = _reference(champion)
    version = champion.version if champion else None
    found = drift_verdict(current, version, reference, params.drift)
    if not found.passed:
        found = _unless_meant(found, accepted_drift.acceptance(project, current.data_version))
    report(1, 1, found.reason)
    with replacing(folder / PAGE) as temporary:
        temporary.write_text(html(drift_page(found, reference, current)), encoding="utf-8")
    _write(folder / REPORT, {**asdict(found), "shifts": [_plain(shift) for shift in found.shifts]})
    if not found.passed:
        raise DriftFound(
            f"data drift: {found.reason}; see {folder / PAGE}; if that is meant: "
            f"facegraft drift --accept {found.data_version} --why TEXT"
        )
    _write(folder / VERDICT, {"passed": True})
    return found


def _unless_meant(found: DriftReport, given: Acceptance | None) -> DriftReport:
    if given is None:
        return found
    reason = f"accepted by {given.who}, {given.when}, because {given.why}: {found.reason}"
    return replace(found, passed=True, reason=reason)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _current(project: Project) -> DataSummary:
    path = project.validation / SUMMARY
    try:
        return read_summary(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SummaryError(f"{path}: not found; run `facegraft validate` first") from error
    except SummaryError as error:
        raise SummaryError(f"{path}: {error}; run `facegraft validate` again") from error


def _reference(champion: Registered | None) -> DataSummary | None:
    """The champion's summary; None where it has none that can be read."""
    if champion is None or not champion.data_summary:
        return None
    try:
        return read_summary(champion.data_summary)
    except SummaryError:
        return None


def _plain(shift: Shift) -> dict[str, Any]:
    """JSON knows no infinity: an index that could not be had is null."""
    index = shift.index if math.isfinite(shift.index) else None
    return {**asdict(shift), "index": index, "within": shift.within}


def _write(path: Any, value: object) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
