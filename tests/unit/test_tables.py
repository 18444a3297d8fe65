"""Tables of users: every form that a spreadsheet saves is read, or its mend is named."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from facegraft.adapters.tables import ListingError, read_table

TEXT = 'Source , TARGET,job\nä.png, b.png ,\n\n,,\nc,d,"one,\ntwo"\ne,f,x\n'


def read(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    rows = read_table(path, ("source", "target"), ("job", "transplant"))
    return [(row.place, tuple(row.text(c) for c in ("source", "target", "job"))) for row in rows]


def test_every_form_of_a_csv_is_the_same_table(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    forms = {
        "UTF-8": TEXT.encode(),
        "marked": TEXT.encode("utf-8-sig"),
        "UTF-16": TEXT.encode("utf-16"),
        "CRLF": TEXT.replace("\n", "\r\n").encode(),
    }
    expected = [
        ("line 2", ("ä.png", "b.png", "")),
        ("line 5", ("c", "d", "one,\ntwo")),
        ("line 7", ("e", "f", "x")),
    ]
    for form, data in forms.items():
        path.write_bytes(data)
        seen = [(place, (s, t, job.replace("\r", ""))) for place, (s, t, job) in read(path)]
        assert seen == expected, form
    for delimiter in ";\t|":
        text = "source,target\na,b\n".replace(",", delimiter)
        path.write_text(text, encoding="utf-8")
        assert read(path) == [("line 2", ("a", "b", ""))], delimiter


def test_what_would_be_misread_is_refused_with_line_and_mend(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    for data, fault in {
        b"source,target\nx,a,b\n": "line 2: 3 cells (x, a, b) under 2 columns (source, target)",
        b"source,target,job,transplant\n\na,b,eyes\n": "line 3: 3 cells",
        b"source,target,transplnt\na,b,eyes\n": "column 3, 'transplnt', is not known; did you m",
        b"source,target,price\na,b,1\n": "column 3, 'price', is not known; remove it",
        b"source,target,\na,b,1\n": "column 3, '', is not known; remove it",
        b"source,target,Source\na,b,c\n": "column source is there twice",
        b"a,b\nc,d\n": "column source, target is missing (it has: a, b)",
        b"source,target\n\xe4,b\n": "line 2 is no utf-8; save it as CSV UTF-8",
        "source,target\na,b\n".encode("utf-16-le"): "it holds zero bytes; save it as CSV UTF-8",
        b'source,target\na,"b\n': "line 2: unexpected end of data",
        b"": "an empty file",
        b"\n": "it has no header",
    }.items():
        path.write_bytes(data)
        with pytest.raises(ListingError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert fault in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_index_of_a_parquet_is_a_column_if_it_has_a_name(tmp_path: Path) -> None:
    path = tmp_path / "list.PARQUET"
    frame = pd.DataFrame({"Source": ["a", "c"], "target": ["b", "d"], "job": [1, None]})
    for written in (
        frame.astype({"job": "Int64"}),
        frame.astype({"job": "Int64"}).set_index("job"),
    ):
        written.to_parquet(path)
        assert read(path) == [("row 1", ("a", "b", "1")), ("row 2", ("c", "d", ""))]


def test_a_table_that_is_no_file_of_bytes_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "gone.csv").symlink_to("nowhere")
    (tmp_path / "endless.csv").symlink_to("/dev/zero")
    for name, fault in {
        "pipe.csv": "no regular file",
        "endless.csv": "no regular file",
        "folder.csv": "a folder",
        "gone.csv": "a link to a file that is not there",
        "x" * 300: "cannot be read (File name too long)",
        "a\0.csv": "no file name",
    }.items():
        with pytest.raises(ListingError, match="no CSV or Parquet table: ") as caught:
            read(tmp_path / name)
        assert fault in str(caught.value)
