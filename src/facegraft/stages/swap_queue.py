"""Stage `swap_queue`: the pending pairs of a job list; none lost, none done twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from facegraft.adapters.jobs import Job, read_jobs
from facegraft.adapters.tables import printable
from facegraft.core.atomic import NO_ROOM, replacing
from facegraft.core.config import Params
from facegraft.core.errors import FacegraftError
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.method.sidecar import ERROR
from facegraft.stages.swap import (
    SwapResult,
    TuningSwapper,
    finished,
    open_swapper,
    read_pair,
    run_swap,
)


class QueueRefused(FacegraftError):
    """The queue cannot be worked on as asked for; one line with the mend."""


class QueueBusy(QueueRefused):
    """Another runner holds this job list."""


@dataclass(frozen=True)
class FailedJob:
    """A pair that could not be tried, e.g. for an unreadable picture; it stays pending."""

    job: str
    message: str


@dataclass(frozen=True)
class QueueReport:
    """What one run did.

    Attributes:
        done: the pairs swapped in this run, PASS or FAIL.
        failed: the pairs that could not be tried.
        before: the pairs that were done before.
        pending: how many were not come to, beyond `limit` or for want of room.
    """

    done: tuple[SwapResult, ...]
    failed: tuple[FailedJob, ...]
    before: tuple[SwapResult, ...]
    pending: int


def swap_queue(
    project: Project,
    params: Params,
    jobs: Path,
    report: Progress,
    *,
    limit: int | None = None,
) -> QueueReport:
    """Swap the pairs of a CSV or Parquet list that are not done yet.

    In the list's order, after which those come that could not be tried in an earlier run.

    Each pair has a folder of its own in the list's (`list_folder`). It is done if and only if its
    record and pictures are there, and the record is written last: a killed runner leaves its pair
    pending, and no other trace. One runner at a time holds the list, by a lock that the system
    frees when it dies. A pair that cannot be tried does not stop the others; a full disk does.

    Args:
        jobs: columns source and target; optionally job (a unique name) and transplant
            (sub-dimensions, separated by spaces). Relative paths are seen from its folder.
        limit: at most this many pairs in this run, at least 1.

    Raises:
        QueueRefused: the limit is below 1. QueueBusy: another runner holds the list.
        ListingError, RegistryError, Uncalibrated: one line with the mend.
    """
    if limit is not None and limit < 1:
        raise QueueRefused(f"--limit {limit}: give at least 1")
    listed = read_jobs(jobs)
    folder = list_folder(project, jobs)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            found = [(job, finished(folder / job.folder, job.name)) for job in listed]
            pending = [job for job, result in found if result is None]
            # Else those that cannot be tried would use up a limit, run after run.
            pending.sort(key=lambda job: (folder / job.folder / ERROR).exists())
            outcomes = list(_work(project, params, jobs, pending[:limit], report))
    except Timeout as error:
        raise QueueBusy(f"{jobs}: another runner is at work on it; wait for it to end") from error
    return QueueReport(
        done=tuple(one for one in outcomes if isinstance(one, SwapResult)),
        failed=tuple(one for one in outcomes if isinstance(one, FailedJob)),
        before=tuple(result for _, result in found if result is not None),
        pending=len(pending) - len(outcomes),
    )


def list_folder(project: Project, jobs: Path) -> Path:
    """Where a list's results lie: build/swaps/<name>-<hash>, the hash of where the list lies.

    Seen from the project folder, so that the project may be moved.
    """
    path, root = jobs.resolve(), project.root.resolve()
    place = path.relative_to(root) if path.is_relative_to(root) else path
    digest = hashlib.sha256(place.as_posix().encode("utf-8", "surrogateescape")).hexdigest()[:8]
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in jobs.stem)[:40]
    return project.swaps / f"{name.lstrip('.')}-{digest}"


def _work(
    project: Project, params: Params, path: Path, jobs: Sequence[Job], report: Progress
) -> Iterator[SwapResult | FailedJob]:
    if not jobs:
        report(1, 1, "nothing pending")
        return
    swapper = open_swapper(project, params)
    for index, job in enumerate(jobs):
        report(index, len(jobs), f"{job.source} -> {job.target}")
        try:
            yield _swapped(swapper, path, job)
        # Whatever one pair brings about, memory that is not enough for it included.
        except (FacegraftError, OSError, ValueError, RuntimeError, MemoryError) as error:
            message = printable(str(error)) or type(error).__name__
            _note(list_folder(project, path) / job.folder, job, message)
            yield FailedJob(job.name, message)
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                report(index + 1, len(jobs), "stopped: nothing can be written any more")
                return
    report(len(jobs), len(jobs), "queue done")


def _swapped(swapper: TuningSwapper, path: Path, job: Job) -> SwapResult:
    inputs = read_pair(swapper, job.source, job.target, path.parent)
    folder = list_folder(swapper.project, path) / job.folder
    return run_swap(swapper, inputs, job.name, folder, job.transplant)


def _note(folder: Path, job: Job, message: str) -> None:
    """The reason, beside where the result would be; the report has it too."""
    with suppress(OSError), replacing(folder / ERROR) as path:  # e.g. the disk is full
        path.write_text(json.dumps({"job": job.name, "error": message}) + "\n", encoding="utf-8")
