"""What an import is asked for: a folder per identity, or a table that maps files to identities."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TABLES = (".csv", ".parquet")
COLUMNS = ("file", "identity")

PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".pgm", ".ppm"}
)
"""A folder that is called like a picture is reported, not searched."""


class ListingError(ValueError):
    """A source cannot be read at all; one line that names it and the mend."""


@dataclass(frozen=True)
class Listed:
    """A file to import.

    Attributes:
        file: its name below the source, printable, "/" between folders.
        path: where it lies.
        identity: the name of its identity, as the source spells it.
        landmarks: ten numbers, x and y of `dataset.LANDMARKS` in the upright picture; or None.
        problem: why it cannot be imported, found out without opening it; "" if nothing is known.
    """

    file: str
    path: Path
    identity: str
    landmarks: tuple[float, ...] | None = None
    problem: str = ""


def read_listing(source: Path) -> list[Listed]:
    """The files that a folder or table names, in a stable order; hidden files are passed over.

    Raises:
        ListingError: no such folder or table, an unreadable table or one that lacks a column, or
            nothing in it.
    """
    if source.is_dir():
        listed = list(_of_folder(source))
        mend = "put each identity's pictures into a folder of its own in it"
    elif source.suffix.lower() in TABLES and source.is_file():
        listed = list(_of_table(source))
        mend = "list a file and its identity per row"
    else:
        found = "neither a folder nor a CSV or Parquet table" if source.exists() else "not found"
        raise ListingError(
            f"{source}: {found}; give a folder that holds one folder per identity, or a CSV or "
            f"Parquet table with the columns {' and '.join(COLUMNS)}"
        )
    if not listed:
        raise ListingError(f"{source}: nothing to import; {mend}")
    return listed


def printable(name: str) -> str:
    """A file name as text that can be printed and stored: odd bytes become escapes."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    text = unicodedata.normalize("NFC", text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _of_folder(source: Path) -> Iterator[Listed]:
    for child in _visible(source):
        identity = printable(child.name)
        if child.is_symlink() and child.is_dir():
            yield Listed(identity, child, "", problem="a link to a folder; put the folder there")
        elif child.is_dir():
            yield from _of_identity(source, child, identity)
        else:
            problem = "lies in no identity's folder; move it into one"
            yield Listed(identity, child, "", problem=problem)


def _of_identity(source: Path, folder: Path, identity: str) -> Iterator[Listed]:
    """Every file below an identity's folder."""
    try:
        children = _visible(folder)
    except OSError as error:
        problem = f"a folder that cannot be read ({error.strerror}); check the rights"
        yield Listed(_below(source, folder), folder, identity, problem=problem)
        return
    for child in children:
        named_like_picture = child.suffix.lower() in PICTURE_SUFFIXES
        if child.is_dir() and not child.is_symlink() and not named_like_picture:
            yield from _of_identity(source, child, identity)
        else:
            yield Listed(_below(source, child), child, identity)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _below(source: Path, path: Path) -> str:
    return printable(path.relative_to(source).as_posix())


def _of_table(source: Path) -> Iterator[Listed]:
    for number, row in enumerate(_rows(source), start=1):
        name, identity = (str(row[column] or "").strip() for column in COLUMNS)
        path = source.parent / name
        shown = printable(os.path.relpath(path, source.parent) if os.path.isabs(name) else name)
        if not name or not identity:
            empty = COLUMNS[0] if not name else COLUMNS[1]
            shown = shown if name else f"row {number}"
            yield Listed(shown, path, identity, problem=f"row {number}: {empty} is empty")
            continue
        try:
            landmarks = _landmarks(row.get("landmarks"))
        except ValueError as error:
            yield Listed(shown, path, identity, problem=f"row {number}: landmarks: {error}")
            continue
        yield Listed(shown, path, printable(identity), landmarks)


def _rows(source: Path) -> list[Mapping[str, Any]]:
    import pandas as pd

    try:
        if source.suffix.lower() == ".parquet":
            frame = pd.read_parquet(source)
        else:
            frame = pd.read_csv(source, dtype="string", skipinitialspace=True, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ListingError(
            f"{source}: no CSV (UTF-8) or Parquet table that can be read ({reason})"
        ) from error
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        held = ", ".join(map(str, frame.columns)) or "none"
        raise ListingError(
            f"{source}: column {', '.join(missing)} is missing (it has: {held}); "
            f"name the columns {', '.join(COLUMNS)} and, if known, landmarks"
        )
    rows: list[Mapping[str, Any]] = [
        {str(name): None if _is_missing(value) else value for name, value in row.items()}
        for row in frame.astype(object).to_dict("records")
    ]
    return rows


def _is_missing(value: Any) -> bool:
    import pandas as pd

    return bool(np.ndim(value) == 0 and pd.isna(value))


def _landmarks(given: object) -> tuple[float, ...] | None:
    """Ten finite numbers from a list, or from text that separates them by blanks or commas.

    Raises:
        ValueError: something else.
    """
    if given is None or (isinstance(given, str) and not given.strip()):
        return None
    if isinstance(given, str):
        given = given.strip(" []()").replace(",", " ").replace(";", " ").split()
    try:
        numbers = np.asarray(given, np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise ValueError("give ten numbers: x and y of eyes, nose tip, mouth corners") from error
    if numbers.shape != (10,) or not np.isfinite(numbers).all():
        raise ValueError(f"{numbers.size} numbers instead of ten finite ones")
    return tuple(numbers.tolist())
