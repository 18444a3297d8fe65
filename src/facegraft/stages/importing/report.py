"""What became of every file of an import: a table and a page to read, a CSV and a JSON to keep."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facegraft.adapters import albums, store
from facegraft.core.atomic import replacing
from facegraft.evaluation.tables import as_text
from facegraft.imaging.images import contact_sheet, save_picture
from facegraft.presenting.pages import ImportPage, Picture, Table, html
from facegraft.stages.importing.choice import Choice

CSV, JSON, SHEET, PAGE = "report.csv", "report.json", "crops.png", "index.html"

COLUMNS = ("file", "identity", "status", "reason", "key", "split", "found_by", "file_sha256")

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins with one of these for a formula, and may run it."""

SHOWN_REASONS = 40
"""Refused files that the table names; the CSV names all."""

SHOWN_ROWS = 400
"""Rows of each of the page's tables."""

SHEET_ROWS, SHEET_COLUMNS = 40, 10

COUNTED = ("", "pictures", "identities")


@dataclass(frozen=True)
class ImportReport:
    """The outcome of an import.

    Attributes:
        choices: one per listed file, in order.
    """

    album: str
    kind: str
    consent: str | None
    licence: str
    choices: tuple[Choice, ...]

    @property
    def taken(self) -> list[Choice]:
        """New to the album or held by it before."""
        return [one for one in self.choices if one.is_taken]

    @property
    def refused(self) -> list[Choice]:
        return [one for one in self.choices if not one.is_taken]

    def count(self, status: str) -> int:
        return sum(one.status == status for one in self.choices)

    @property
    def terms(self) -> str:
        return f"{self.kind}, licence {self.licence}, consent {self.consent or 'none'}"

    def table(self) -> str:
        """What was taken, what was not and why, as lines of text."""
        counts = as_text((COUNTED, *_counts(self))).splitlines()
        about = (f"  {line}" for line in (*counts, *_found_by(self.taken)))
        lines = [f"album {self.album}: {self.terms}", *about]
        refused = self.refused
        if refused:
            lines += ["", "not taken, and why"]
            width = max(len(one.file) for one in refused[:SHOWN_REASONS])
            lines += [f"  {one.file:{width}}  {one.reason}" for one in refused[:SHOWN_REASONS]]
        if len(refused) > SHOWN_REASONS:
            lines.append(f"  and {len(refused) - SHOWN_REASONS} more, see {CSV}")
        return "\n".join(lines)


def write_report(report: ImportReport, folder: Path, data_dir: Path) -> None:
    """Write report.csv, report.json, crops.png and index.html into `folder`, each atomically."""
    rows = [{name: getattr(one, name) for name in COLUMNS} for one in report.choices]
    with (
        replacing(folder / CSV) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows({name: _defused(cell) for name, cell in row.items()} for row in rows)
    summary = {
        "album": report.album,
        "kind": report.kind,
        "consent": report.consent,
        "licence": report.licence,
        **{status: report.count(status) for status in ("new", "held", "refused")},
        "files": rows,
    }
    with replacing(folder / JSON) as temporary:
        temporary.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    if report.taken and (report.count("new") or not (folder / SHEET).exists()):
        _write_sheet(folder / SHEET, report.album, report.taken, data_dir)
    with replacing(folder / PAGE) as temporary:
        temporary.write_text(html(_page(report)), encoding="utf-8")


def _page(report: ImportReport) -> ImportPage:
    refused = [(one.file, one.identity, one.reason) for one in report.refused]
    taken = [
        (one.file, one.identity, one.status, one.key, one.split, one.found_by)
        for one in report.taken
    ]
    first = f"The first {SHEET_COLUMNS} crops of the first {SHEET_ROWS} identities."
    return ImportPage(
        album=report.album,
        terms=f"{report.terms}.",
        counts=Table(COUNTED, _counts(report), figures=frozenset((1, 2))),
        notes=[f"{note[0].upper()}{note[1:]}." for note in _found_by(report.taken)],
        sheet=Picture(SHEET, "crops", first) if taken else None,
        refused=Table(("file", "identity", "why"), refused[:SHOWN_ROWS]),
        taken=Table(("file", "identity", "status", "key", "split", "found by"), taken[:SHOWN_ROWS]),
        omitted=sum(max(0, len(some) - SHOWN_ROWS) for some in (refused, taken)),
    )


def _defused(cell: str) -> str:
    """A CSV cell that no spreadsheet takes for a formula: one that may be gets a ' before it."""
    return f"'{cell}" if cell.lstrip(" \n").startswith(FORMULA_STARTS) else cell


def _counts(report: ImportReport) -> list[tuple[str, str, str]]:
    """Rows below `COUNTED`."""
    groups = {
        "new": [one for one in report.taken if one.status == "new"],
        "held before": [one for one in report.taken if one.status == "held"],
        "not taken": report.refused,
    }
    groups |= {
        f"in {split}": [one for one in report.taken if one.split == split] for split in store.SPLITS
    }
    return [
        (title, f"{len(some):,}", f"{len({one.identity for one in some}):,}")
        for title, some in groups.items()
    ]


def _found_by(taken: Sequence[Choice]) -> list[str]:
    counts = Counter(one.found_by for one in taken)
    lines = [f"faces: {counts['detector']:,} detected, {counts['given']:,} by given landmarks"]
    if counts["given"]:
        lines.append("the gate counts the latter as not detected (validate.min_face_detected)")
    return lines


def _write_sheet(path: Path, album: str, taken: Sequence[Choice], data_dir: Path) -> None:
    """The first crops of the first identities, one identity per row."""
    by_identity: dict[str, list[Choice]] = defaultdict(list)
    for one in taken:
        by_identity[one.identity_id].append(one)
    rows = [[one.key for one in some[:SHEET_COLUMNS]] for some in by_identity.values()][:SHEET_ROWS]
    keys = [key for row in rows for key in row]
    crops = dict(zip(keys, albums.crops(data_dir, album, keys), strict=True))
    pictures = [[crops[key].transpose(1, 2, 0) for key in row] for row in rows]
    captions = list(by_identity)[:SHEET_ROWS]
    save_picture(path, contact_sheet(pictures, captions=captions))
