"""What an import is asked for: folders per identity, and tables."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from facegraft.adapters.listing import Listed, read_listing
from facegraft.adapters.tables import ListingError, printable


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def brief(listed: list[Listed]) -> list[tuple[str, str]]:
    return [(one.file, one.identity) for one in listed if not one.problem]


def problems(listed: list[Listed]) -> dict[str, str]:
    return {one.file: one.problem for one in listed if one.problem}


def test_a_folder_per_identity_with_folders_in_it(tmp_path: Path) -> None:
    touch(tmp_path, "ann/2.png", "ann/old/1.png", "bo b/1.jpg", ".git/x", "ann/.DS_Store")
    assert brief(read_listing(tmp_path)) == [
        ("ann/2.png", "ann"),
        ("ann/old/1.png", "ann"),
        ("bo b/1.jpg", "bo b"),
    ]


def test_what_belongs_to_nobody_is_listed_with_the_reason(tmp_path: Path) -> None:
    touch(tmp_path, "ann/1.png", "loose.png")
    (tmp_path / "linked").symlink_to(tmp_path / "ann")
    (tmp_path / "ann" / "x.png").mkdir()
    listed = read_listing(tmp_path)
    assert brief(listed) == [("ann/1.png", "ann"), ("ann/x.png", "ann")]
    assert problems(listed) == {
        "linked": "a link to a folder; put the folder there",
        "loose.png": "lies in no identity's folder; move it into one",
    }


def test_names_are_printable_whatever_their_bytes(tmp_path: Path) -> None:
    assert printable("e\u0301\n\x1b[31m") == "é\\n\\x1b[31m"
    folder = os.path.join(os.fsencode(tmp_path), b"ann\xff")
    os.mkdir(folder)
    Path(os.fsdecode(folder), "ö.png").write_bytes(b"x")
    (listed,) = read_listing(tmp_path)
    assert (listed.file, listed.identity) == ("ann\\xff/ö.png", "ann\\xff")
    assert listed.path.exists()


POINTS = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.5]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_maps_files_to_identities(tmp_path: Path, kind: str) -> None:
    text = " ".join(map(str, POINTS))
    rows = {"file": ["a.png", "b/ü.png"], "identity": ["ann", "7"]}
    path = tmp_path / f"list.{kind}"
    if kind == "csv":
        pd.DataFrame({**rows, "landmarks": [text, None]}).to_csv(path, index=False)
    else:
        pd.DataFrame({**rows, "landmarks": [POINTS, None]}).to_parquet(path)
    first, second = read_listing(path)
    assert first == Listed("a.png", tmp_path / "a.png", "ann", tuple(POINTS))
    assert second == Listed("b/ü.png", tmp_path / "b/ü.png", "7", None)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a.png,,", "identity is empty"),
        (",ann,", "file is empty"),
        ("a.png,ann,1 2 3", "3 numbers instead of ten"),
        ("a.png,ann,1 2 3 4 5 6 7 8 9 nan", "instead of ten finite"),
        ("a.png,ann,left eye", "give ten numbers"),
    ],
)
def test_a_bad_row_is_a_reason_of_its_own(tmp_path: Path, row: str, problem: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"file,identity,landmarks\nok.png,ann,\n{row}\n", encoding="utf-8")
    good, bad = read_listing(path)
    assert good.problem == ""
    assert problem in bad.problem
    assert "line 3" in bad.problem


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"file,identity,landmark\na,b,1\n", "did you mean landmarks"),
        ("nowhere", None, "not found"),
        ("a.txt", b"x", "neither a folder nor a CSV or Parquet"),
        ("a.csv", b"datei;wer\n", "column file, identity is missing"),
        ("a.csv", b"file,identity\n", "nothing to import"),
        ("a.csv", b"file,identity\n\xff\xfe,x\n", "no CSV"),
        ("a.csv", b"", "no CSV"),
        ("a.parquet", b"PAR1 not", "Parquet table that can be read"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ListingError, match=message) as caught:
        read_listing(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ListingError, match="folder of its own"):
        read_listing(tmp_path)
