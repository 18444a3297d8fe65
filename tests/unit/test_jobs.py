"""Job lists: read in order, each pair once, each fault with its row."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from facegraft.adapters.jobs import read_jobs
from facegraft.adapters.tables import ListingError


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
        ("source,target\na,\n", "line 2: target is empty"),
        ("source,target\n\n,b\n", "line 3: source is empty"),
        ("source,target,job\na,b,../x\n", "line 2: job '../x' is no file name"),
        (f"source,target,job\na,b,{'x' * 300}\n", "is no file name; use up to 100 letters"),
        ("source,target,job\na,b,x\nc,d,x\n", "job x is named twice with different pairs"),
    ],
)
def test_faults_name_file_and_row(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ListingError, match=r"jobs\.csv: ") as caught:
        read_jobs(listed(tmp_path, text))
    assert fault in str(caught.value)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(ListingError, match=r"nothing\.csv: no CSV or Parquet table: not found"):
        read_jobs(tmp_path / "nothing.csv")


def test_whatever_a_row_says_names_the_folder_of_its_job(tmp_path: Path) -> None:
    names = ["hero", "Hero", "hero.error", "hero.FAIL", "hero.compare", "hero.png"]
    rows = [f"a,b,{name}," for name in names] + ["a,b,,eyes", "a,b,,"]
    text = "source,target,job,transplant\n"
    jobs = read_jobs(listed(tmp_path, text + "\n".join(rows)))
    assert len({job.folder.lower() for job in jobs}) == len(rows)
    for row in ("x,b,hero,", "a,x,hero,", "a,b,hero,eyes"):
        (again,) = read_jobs(listed(tmp_path, f"{text}{row}\n"))
        assert again.name == "hero"
        assert again.folder not in {job.folder for job in jobs}
    (same,) = read_jobs(listed(tmp_path, 'target;SOURCE ; job\n b; "a";hero\n'))
    assert same == jobs[0]


def test_parts_are_a_set_of_names_also_in_a_parquet_list(tmp_path: Path) -> None:
    path = tmp_path / "jobs.parquet"
    parts = [["nose", "eyes"], None]
    pd.DataFrame({"source": "a", "target": "b", "transplant": parts}).to_parquet(path)
    text = 'source,target,transplant\na,b,"eyes, nose eyes"\na,b,\n'
    assert read_jobs(path) == read_jobs(listed(tmp_path, text))
    assert read_jobs(path)[0].transplant == ("eyes", "nose")
    for column, wrong, fault in (
        ("transplant", [[1], [2]], "row 1: transplant lists something that is no text"),
        ("source", [b"a", b"b"], "row 1: source holds a bytes, not text"),
        ("job", [1.5, 2.5], "row 1: job holds a float, not text"),
        ("job", [True, False], "row 1: job holds a bool, not text"),
    ):
        frame = {"source": ["a", "c"], "target": ["b", "d"], column: wrong}
        pd.DataFrame(frame).to_parquet(path)
        with pytest.raises(ListingError, match=fault):
            read_jobs(path)
