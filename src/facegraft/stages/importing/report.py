"""What became of every file of an import: a table to read, a CSV and a JSON to keep, a sheet."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facegraft.adapters import albums, store
from facegraft.core.atomic import replacing
from facegraft.imaging.images import contact_sheet, save_picture
from facegraft.stages.importing.choice import Choice

CSV, JSON, SHEET = "report.csv", "report.json", "crops.png"

COLUMNS = ("file", "identity", "status", "reason", "key", "split", "found_by", "file_sha256")

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins with one of these for a formula, and may run it."""

SHOWN_REASONS = 40
"""Refused files that the table names; the CSV names all."""

SHEET_ROWS, SHEET_COLUMNS = 40, 10


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

    def table(self) -> str:
        """What was taken, what was not and why, as lines of text."""
        terms = f"{self.kind}, licence {self.licence}, consent {self.consent or 'none'}"
        lines = [f"album {self.album}: {terms}", *_counts(self), *_found_by(self.taken)]
        refused = self.refused
        if refused:
            lines += ["", "not taken, and why"]
            width = max(len(one.file) for one in refused[:SHOWN_REASONS])
            lines += [f"  {one.file:{width}}  {one.reason}" for one in refused[:SHOWN_REASONS]]
        if len(refused) > SHOWN_REASONS:
            lines.append(f"  and {len(refused) - SHOWN_REASONS} more, see {CSV}")
        return "\n".join(lines)


def write_report(report: ImportReport, folder: Path, data_dir: Path) -> None:
    """Write report.csv, report.json and crops.png into `folder`, each atomically."""
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


def _defused(cell: str) -> str:
    """A CSV cell that no spreadsheet takes for a formula: one that may be gets a ' before it."""
    return f"'{cell}" if cell.lstrip(" \n").startswith(FORMULA_STARTS) else cell


def _counts(report: ImportReport) -> list[str]:
    lines = [f"  {'':16}{'pictures':>9}{'identities':>12}"]
    for title, chosen in (
        ("new", [one for one in report.taken if one.status == "new"]),
        ("held before", [one for one in report.taken if one.status == "held"]),
        ("not taken", report.refused),
        *(
            (f"in {split}", [one for one in report.taken if one.split == split])
            for split in store.SPLITS
        ),
    ):
        identities = len({one.identity for one in chosen})
        lines.append(f"  {title:16}{len(chosen):9,}{identities:12,}")
    return lines


def _found_by(taken: Sequence[Choice]) -> list[str]:
    counts = Counter(one.found_by for one in taken)
    lines = [f"  faces: {counts['detector']:,} detected, {counts['given']:,} by given landmarks"]
    if counts["given"]:
        lines.append("  the gate counts the latter as not detected (validate.min_face_detected)")
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
