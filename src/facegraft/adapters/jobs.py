"""Job lists: CSV or Parquet files of source-target pairs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegraft.adapters.tables import Row, read_table

SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")

LONGEST_NAME = 100
"""Characters; with a hash behind it a job's name is still a folder's name."""

REQUIRED, OPTIONAL = ("source", "target"), ("job", "transplant")


@dataclass(frozen=True)
class Job:
    """One pair to swap.

    Attributes:
        name: unique in its list.
        source, target: a picture file, seen from the list's folder, or an image key.
        transplant: identity parts to take, sorted, each once; None takes all.
        folder: a folder's name that no other job of the list has, in whatever version of the
            list: it is made of all that the row says.
    """

    name: str
    source: str
    target: str
    transplant: tuple[str, ...] | None
    folder: str


def read_jobs(path: Path) -> list[Job]:
    """The jobs of a list, in order.

    A row without a name in the column `job` is named by its content, so the same pair listed
    twice is one job.

    Raises:
        ListingError: missing or unreadable file, missing or unknown column, empty cell, cell of a
            wrong type, unsafe or repeated name.
    """
    jobs: dict[str, Job] = {}
    for row in read_table(path, REQUIRED, OPTIONAL):
        job = _job(row)
        if jobs.setdefault(job.name, job) != job:
            raise row.fault(f"job {job.name} is named twice with different pairs; rename one")
    return list(jobs.values())


def _job(row: Row) -> Job:
    source, target, given = (row.text(column) for column in (*REQUIRED, "job"))
    if not source or not target:
        raise row.fault(f"{'target' if source else 'source'} is empty; name a picture or a key")
    if not set(given) <= SAFE or given.startswith(".") or len(given) > LONGEST_NAME:
        raise row.fault(
            f"job {given!r} is no file name; use up to {LONGEST_NAME} letters, digits, - _ ."
        )
    parts = tuple(sorted(set(_parts(row)))) or None
    content = json.dumps([given, source, target, parts])
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    return Job(
        name=given or f"pair-{digest}",
        source=source,
        target=target,
        transplant=parts,
        folder=f"{given or 'pair'}-{digest}",
    )


def _parts(row: Row) -> Sequence[str]:
    """Names between blanks or commas, or of a Parquet list."""
    value = row.cells.get("transplant")
    if isinstance(value, list | tuple | np.ndarray):
        if not all(isinstance(part, str) for part in value):
            raise row.fault("transplant lists something that is no text; list names of parts")
        return [part.strip() for part in value if part.strip()]
    return row.text("transplant").replace(",", " ").split()
