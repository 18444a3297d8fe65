"""Job lists: CSV or Parquet files of source-target pairs, read with pandas."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


class JobListError(ValueError):
    """A job list cannot be used; one line that names the file, the row and the mend."""


@dataclass(frozen=True)
class Job:
    """One pair to swap; `name` is unique in its list and safe as a file name."""

    name: str
    source: str
    target: str
    transplant: tuple[str, ...] | None


def read_jobs(path: Path) -> list[Job]:
    """The jobs of a list, in order.

    A row without a name in the column `job` is named by its content, so the same pair listed
    twice is one job.

    Raises:
        JobListError: missing or unreadable file, missing column, empty cell, unsafe or repeated
            name.
    """
    import pandas as pd

    if not path.exists():
        raise JobListError(f"{path}: not found; give a CSV or Parquet file with source and target")
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path).astype("string")
        else:
            frame = pd.read_csv(path, dtype="string", skipinitialspace=True)
    except (ValueError, OSError) as error:
        raise JobListError(f"{path}: no CSV or Parquet table ({error})") from error
    missing = sorted({"source", "target"} - set(frame.columns))
    if missing:
        raise JobListError(f"{path}: column {', '.join(missing)} is missing")
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    jobs = [_job(path, number, row) for number, row in enumerate(rows, start=1)]
    unique = {job.name: job for job in reversed(jobs)}
    for number, job in enumerate(jobs, start=1):
        if unique[job.name] != job:
            raise JobListError(
                f"{path}: row {number}: job {job.name} is named twice with different pairs"
            )
    return [unique[name] for name in dict.fromkeys(job.name for job in jobs)]


def _job(path: Path, number: int, row: dict[str, str | None]) -> Job:
    source, target = ((row.get(side) or "").strip() for side in ("source", "target"))
    if not source or not target:
        raise JobListError(f"{path}: row {number}: source or target is empty")
    parts = tuple((row.get("transplant") or "").split()) or None
    content = "\n".join((source, target, *(parts or ())))
    name = (
        row.get("job") or ""
    ).strip() or f"pair-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    if not set(name) <= SAFE or name.startswith("."):
        raise JobListError(
            f"{path}: row {number}: job {name!r} is no file name; use letters, digits, - _ ."
        )
    return Job(name=name, source=source, target=target, transplant=parts)
