"""Tables that users write: Parquet, and CSV in the forms that spreadsheets save."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.core.errors import FacegraftError
from facegraft.core.regular_file import Unreadable, read_whole

PARQUET = ".parquet"

MAX_BYTES = 1 << 28
"""A larger table is not read: it names more pictures than a machine ever swaps."""

DELIMITERS = ",;\t|"

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""First bytes of a text -> its encoding; without one of these it is UTF-8."""


class ListingError(FacegraftError):
    """A list, or a folder, of files cannot be used; one line that names it and the mend."""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        path: of the table. place: "line 3" of a CSV, "row 3" of a Parquet file, for messages.
        cells: column -> what stands there; None where nothing does.
    """

    path: Path
    place: str
    cells: Mapping[str, object]

    def text(self, column: str) -> str:
        """A cell as text without blanks around it; "" where it is empty.

        Raises:
            ListingError: it holds neither text nor a whole number.
        """
        value = self.cells.get(column)
        if value is None:
            return ""
        if isinstance(value, str | int | np.integer) and not isinstance(value, bool):
            return str(value).strip()
        raise self.fault(f"{column} holds a {type(value).__name__}, not text; write it as text")

    def fault(self, text: str) -> ListingError:
        """An error that names the table and the row."""
        return ListingError(f"{self.path}: {self.place}: {text}")


def read_table(path: Path, required: Sequence[str], optional: Sequence[str]) -> list[Row]:
    """The rows of a CSV or Parquet table, in order; rows without any content are passed over.

    Of a CSV, the delimiter may be , ; | or a tab and the text UTF-8 or marked UTF-16. Case of the
    columns' names and blanks around names and cells mean nothing.

    Raises:
        ListingError: the table cannot be read, lacks a column, has one that is not known, or a
            row has more or fewer cells than the header.
    """
    names, rows = _parquet(path) if path.suffix.lower() == PARQUET else _csv(path, required)
    _refuse_columns(path, names, required, optional)
    unit = "row" if path.suffix.lower() == PARQUET else "line"
    return [
        Row(path, f"{unit} {number}", dict(zip(names, cells, strict=True)))
        for number, cells in rows
        if any(cell is not None for cell in cells)
    ]


def printable(name: str) -> str:
    """A file name as text that can be printed and stored: odd bytes become escapes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    text = unicodedata.normalize("NFC", text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


Numbered = tuple[int, Sequence[object]]


def _csv(path: Path, required: Sequence[str]) -> tuple[list[str], list[Numbered]]:
    """Names of the columns, and each row's cells with the number of the line it starts on."""
    text = _text(path)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=_delimiter(text, required),
        skipinitialspace=True,
        strict=True,
    )
    try:
        (_, head), *body = _lines(reader)
    except ValueError as error:
        raise _unreadable(path, "it has no header") from error
    except csv.Error as error:
        raise _unreadable(path, f"line {reader.line_num}: {error}") from error
    names = [_name(cell) for cell in head]
    for number, cells in body:
        if len(cells) != len(names):
            raise ListingError(
                f"{path}: line {number}: {len(cells)} cells ({_shown(cells)}) under "
                f"{len(names)} columns ({', '.join(names)}); give each column its cell, and quote "
                "what holds a delimiter"
            )
    return names, [(number, [cell.strip() or None for cell in cells]) for number, cells in body]


def _lines(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, with the line that each starts on."""
    start = 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield start, cells
        start = reader.line_num + 1


def _text(path: Path) -> str:
    data = _bytes(path)
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _unreadable(path, f"line {line} is no {encoding}; save it as CSV UTF-8") from error
    if "\0" in text:
        raise _unreadable(path, "it holds zero bytes; save it as CSV UTF-8")
    return text


def _bytes(path: Path) -> bytes:
    try:
        return read_whole(path, "CSV or Parquet file", MAX_BYTES)
    except Unreadable as error:
        raise ListingError(f"{path}: no CSV or Parquet table: {error}") from error


def _delimiter(text: str, required: Sequence[str]) -> str:
    """The one by which the header has the required columns, else the one that cuts it most."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    cut = {one: [_name(cell) for cell in head.split(one)] for one in DELIMITERS}
    fitting = [one for one, names in cut.items() if set(required) <= set(names)]
    return fitting[0] if fitting else max(cut, key=lambda one: len(cut[one]))


def _parquet(path: Path) -> tuple[list[str], list[Numbered]]:
    import pandas as pd

    data = io.BytesIO(_bytes(path))
    try:
        frame = pd.read_parquet(data, dtype_backend="numpy_nullable")
    except (ValueError, OSError) as error:
        raise _unreadable(path, " ".join(str(error).split())) from error
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    names = [_name(str(column)) for column in frame.columns]
    rows = frame.astype(object).itertuples(index=False, name=None)
    return names, [
        (number, [_parquet_cell(value) for value in row]) for number, row in enumerate(rows, 1)
    ]


def _parquet_cell(value: Any) -> object:
    import pandas as pd

    if np.ndim(value) == 0 and pd.isna(value):
        return None
    return value.strip() or None if isinstance(value, str) else value


def _refuse_columns(
    path: Path, names: Sequence[str], required: Sequence[str], optional: Sequence[str]
) -> None:
    known = (*required, *optional)
    missing = [column for column in required if column not in names]
    if missing:
        raise ListingError(
            f"{path}: column {', '.join(missing)} is missing (it has: {_shown(names)}); name the "
            f"columns {', '.join(required)} and, if known, {', '.join(optional)}"
        )
    for place, name in enumerate(names, 1):
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            mend = f"did you mean {close[0]}?" if close else "remove it"
            raise ListingError(
                f"{path}: column {place}, {printable(name)!r}, is not known; {mend} (known: "
                f"{', '.join(known)})"
            )
        if name in names[: place - 1]:
            raise ListingError(f"{path}: column {name} is there twice; remove one")


def _unreadable(path: Path, reason: str) -> ListingError:
    return ListingError(f"{path}: no CSV or Parquet table that can be read: {reason}")


def _name(cell: str) -> str:
    return cell.strip().strip('"').strip().lower()


def _shown(cells: Sequence[str]) -> str:
    return ", ".join(printable(cell) for cell in cells) or "none"
