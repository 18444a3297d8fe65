"""Job lists: read in order, each pair once, each fault with its row."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from facegraft.adapters.jobs import JobListError, read_jobs


def listed(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "jobs.csv"
    path.write_text(text)
    return path


def test_jobs_keep_their_order_and_a_pair_listed_twice_is_one_job(tmp_path: Path) -> None:
    jobs = read_jobs(listed(tmp_path, "source,target\nb,c\na,b\nb,c\n"))
    assert [(job.source, job.target) for job in jobs] == [("b", "c"), ("a", "b")]
    assert jobs[0].name != jobs[1].name


def test_names_and_parts_are_taken_from_their_columns(tmp_path: Path) -> None:
    path = listed(tmp_path, "source,target,job,transplant\na.png,b.png,hero-1,eyes nose\nc,d,,\n")
    first, second = read_jobs(path)
    assert (first.name, first.transplant) == ("hero-1", ("eyes", "nose"))
    assert second.name.startswith("pair-")
    assert second.transplant is None


def test_the_same_pair_with_other_parts_is_another_job(tmp_path: Path) -> None:
    path = listed(tmp_path, "source,target,transplant\na,b,eyes\na,b,nose\na,b,\n")
    assert len({job.name for job in read_jobs(path)}) == 3


def test_parquet_is_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "jobs.parquet"
    pd.DataFrame({"source": ["a"], "target": ["b"]}).to_parquet(path)
    csv = read_jobs(listed(tmp_path, "source,target\na,b\n"))
    assert read_jobs(path) == csv


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("source,goal\na,b\n", "column target is missing"),
        ("source,target\na,\n", "row 1: source or target is empty"),
        ("source,target,job\na,b,../x\n", "row 1: job '../x' is no file name"),
        ("source,target,job\na,b,x\nc,d,x\n", "job x is named twice with different pairs"),
    ],
)
def test_faults_name_file_and_row(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(JobListError, match=r"jobs\.csv: ") as caught:
        read_jobs(listed(tmp_path, text))
    assert fault in str(caught.value)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobListError, match=r"nothing\.csv: not found"):
        read_jobs(tmp_path / "nothing.csv")
