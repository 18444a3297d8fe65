"""What an import is asked for: a folder per identity, or a table that maps files to identities."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegraft.adapters.tables import ListingError, printable, read_table

TABLES = (".csv", ".parquet")
COLUMNS, OPTIONAL = ("file", "identity"), ("landmarks",)

PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".pgm", ".ppm"}
)
"""A folder that is called like a picture is reported, not searched."""


@dataclass(frozen=True)
class Listed:
    """A file to import.

    Attributes:
        file: its name below the source, printable, "/" between folders.
        path: where it lies.
        identity: the name of its identity, as the source spells it.
        landmarks: ten numbers, x and y of `data.grids.ALIGNMENT_POINTS` in the upright picture; or
            None.
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
    for row in read_table(source, COLUMNS, OPTIONAL):
        name, identity = (row.text(column) for column in COLUMNS)
        path = source.parent / name
        shown = printable(os.path.relpath(path, source.parent) if os.path.isabs(name) else name)
        if not name or not identity:
            empty = COLUMNS[0] if not name else COLUMNS[1]
            shown = shown if name else row.place
            yield Listed(shown, path, identity, problem=f"{row.place}: {empty} is empty")
            continue
        try:
            landmarks = _landmarks(row.cells.get("landmarks"))
        except ValueError as error:
            yield Listed(shown, path, identity, problem=f"{row.place}: landmarks: {error}")
            continue
        yield Listed(shown, path, printable(identity), landmarks)


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
