"""Stage `swap_queue`: the pending pairs of a job list; none lost, none done twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from facegraft.adapters.jobs import Job, read_jobs
from facegraft.adapters.store import DataError
from facegraft.atomic import replacing
from facegraft.config import Params
from facegraft.images import ImageError
from facegraft.project import Project
from facegraft.stages.inputs import read_input
from facegraft.stages.progress import Progress
from facegraft.stages.swap import SwapResult, finished, open_swapper, run_swap


class QueueBusy(RuntimeError):
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
        skipped: pairs that were done before. pending: pairs beyond `limit`.
    """

    done: tuple[SwapResult, ...]
    failed: tuple[FailedJob, ...]
    skipped: int
    pending: int


def swap_queue(
    project: Project,
    params: Params,
    jobs: Path,
    report: Progress,
    *,
    limit: int | None = None,
) -> QueueReport:
    """Swap the pairs of a CSV or Parquet list that have no sidecar yet, in order.

    Results lie in build/swaps/<name of the list>/. A job is done if and only if its sidecar is
    there, and the sidecar is written last: a killed runner leaves its pair pending, and no other
    trace. One runner at a time holds the list, by a lock that the system frees when it dies.

    Args:
        jobs: columns source and target; optionally job (a unique name) and transplant
            (sub-dimensions, separated by spaces).
        limit: at most this many pairs in this run.

    Raises:
        QueueBusy: another runner holds the list.
        JobListError, RegistryError, Uncalibrated: one line with the mend.
    """
    listed = read_jobs(jobs)
    folder = project.swaps / jobs.stem
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            pending = [job for job in listed if finished(folder, job.name) is None]
            taken = pending if limit is None else pending[:limit]
            outcomes = list(_work(project, params, taken, folder, report))
    except Timeout as error:
        raise QueueBusy(f"{jobs}: another runner is at work on it; wait for it to end") from error
    return QueueReport(
        done=tuple(one for one in outcomes if isinstance(one, SwapResult)),
        failed=tuple(one for one in outcomes if isinstance(one, FailedJob)),
        skipped=len(listed) - len(pending),
        pending=len(pending) - len(taken),
    )


def _work(
    project: Project, params: Params, jobs: Sequence[Job], folder: Path, report: Progress
) -> Iterator[SwapResult | FailedJob]:
    if not jobs:
        report(1, 1, "nothing pending")
        return
    swapper = open_swapper(project, params)
    config = swapper.model.config
    for index, job in enumerate(jobs):
        report(index, len(jobs), f"{job.source} -> {job.target}")
        note = folder / f"{job.name}.error.json"
        try:
            inputs = [
                read_input(project, config, swapper.judge, given)
                for given in (job.source, job.target)
            ]
            yield run_swap(swapper, inputs, job.name, folder, job.transplant)
        except (ImageError, DataError, ValueError) as error:
            with replacing(note) as path:
                path.write_text(json.dumps({"job": job.name, "error": str(error)}) + "\n")
            yield FailedJob(job.name, str(error))
        else:
            note.unlink(missing_ok=True)
    report(len(jobs), len(jobs), "queue done")
