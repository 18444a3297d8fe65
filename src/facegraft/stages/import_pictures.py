"""Stage `import`: pictures from outside become an album of the dataset."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout

from facegraft.adapters import albums, store
from facegraft.adapters.listing import Listed, read_listing
from facegraft.adapters.store import SUBJECT_KINDS, DataError
from facegraft.core.code_hash import code_hash
from facegraft.core.config import Params
from facegraft.core.errors import FacegraftError
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.stages import data as data_stage
from facegraft.stages.importing.choice import Choice, Held, choose
from facegraft.stages.importing.face_crops import (
    Finding,
    examine_all,
    forget_taken,
    kept_crops,
    to_tasks,
)
from facegraft.stages.importing.report import ImportReport, write_report

if TYPE_CHECKING:
    import pandas as pd

NO_LICENCE = "NOASSERTION"
"""SPDX for "nobody has said"."""

CODE = (
    "imaging", "adapters/judge.py", "characters/camera.py", "stages/importing/face_crops.py"
)  # fmt: skip
"""What a finding depends on: what an older version found out is not believed."""


class ImportRefused(FacegraftError):
    """Nothing was imported; one line with the reason and the mend."""


@dataclass(frozen=True)
class Terms:
    """What all pictures of an album have in common.

    Attributes:
        kind: one of `store.SUBJECT_KINDS`.
        consent: reference to the shown person's consent; needed for real_person.
        licence: SPDX id.
    """

    kind: str
    consent: str | None = None
    licence: str = NO_LICENCE


def import_pictures(
    project: Project,
    params: Params,
    source: Path,
    terms: Terms,
    report: Progress,
    *,
    album: str | None = None,
    anew: bool = False,
) -> ImportReport:
    """Find, align and store the face of every picture that `source` names; say what became of it.

    Pictures that the album holds already, by the hash of their file, are left as they are, so a
    second run changes nothing and a killed one goes on. Writes build/import/<album>/: report.csv,
    report.json and crops.png.

    Args:
        source: a folder with a folder per identity, or a CSV or Parquet table with the columns
            file, identity and, if known, landmarks.
        album: its name; by default the source's.
        anew: forget what the album holds and import what `source` holds now.

    Raises:
        ImportRefused: terms or name cannot be used, or not a single picture could.
        ListingError, DataError, JudgeError: one line with the mend.
    """
    _refuse_terms(terms)
    name = _album_name(source, album)
    listed = read_listing(source)
    folder = project.imports / name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(project.imports / f"{name}.lock", timeout=0):
            version = data_stage.data(project, params, report)
            held = _held(project, params, name, terms, anew=anew)
            memory, size = _memory(folder, params), params.data.size
            choices, findings = _choices(name, listed, held, memory, params, report)
            outcome = ImportReport(name, terms.kind, terms.consent, terms.licence, tuple(choices))
            if outcome.taken:  # else --anew would empty the album
                with FileLock(project.build / "data.lock"):
                    changed = _commit(project, outcome, terms, held, findings, memory, size, anew)
                    if changed or not version.recorded:
                        data_stage.record(project, report)
                forget_taken(memory, {one.file_sha256 for one in outcome.taken})
            write_report(outcome, folder, project.data)
    except Timeout as error:
        raise ImportRefused(f"another import into the album {name} is at work") from error
    _refuse_nothing(source, outcome, folder)
    return outcome


def _refuse_terms(terms: Terms) -> None:
    if terms.kind not in SUBJECT_KINDS:
        raise ImportRefused(f"unknown kind {terms.kind!r}; choose from {', '.join(SUBJECT_KINDS)}")
    if terms.kind == "real_person" and not (terms.consent or "").strip():
        raise ImportRefused(
            "pictures of a real person need the reference of that person's consent; add "
            "--consent REF"
        )


def _album_name(source: Path, given: str | None) -> str:
    """The album's name: letters, digits, - and _; never that of a rendered grid."""
    own = source.resolve()
    own_name = (own.name if own.is_dir() else own.stem).lower()
    name = given if given is not None else re.sub(r"[^a-z0-9_-]+", "-", own_name).strip("-_")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise ImportRefused(
            f"{name!r} cannot name an album; give letters, digits, - and _ by --album NAME"
        )
    if re.fullmatch(r"(train|validation|test)-\d+", name):
        raise ImportRefused(f"{name} is the name of a rendered grid; add --album NAME")
    return name


def _held(project: Project, params: Params, name: str, terms: Terms, *, anew: bool) -> Held:
    """What the dataset holds; of this album nothing if it is imported anew."""
    manifest = store.read_manifest(project.data, ("key", "sha256", "grid", "shard"))
    own = manifest["shard"].str.startswith(f"albums/{name}.", na=False)
    others = manifest[~own]
    if name in set(others["grid"]):
        raise ImportRefused(f"the dataset has a grid called {name}; add --album NAME")
    table = albums.read_table(project.data, name)
    if anew:
        table = table.iloc[:0]
    elif len(table):
        _refuse_other_terms(table, params, name, terms)
    return Held(table, dict(zip(others["sha256"], others["key"], strict=True)))


def _refuse_other_terms(table: pd.DataFrame, params: Params, name: str, terms: Terms) -> None:
    first = table.iloc[0]
    for word, given, column in (
        ("kind", terms.kind, "subject_kind"),
        ("consent", terms.consent, "consent"),
        ("licence", terms.licence, "licence"),
    ):
        was = first[column] if isinstance(first[column], str) else None
        if given != was:
            raise ImportRefused(
                f"album {name} was imported with {word} {was or 'unnamed'}, not "
                f"{given or 'unnamed'}; give the same, another --album, or --anew"
            )
    if int(first["size"]) != params.data.size:
        raise ImportRefused(
            f"album {name} holds crops of {first['size']} pixels and data.size is "
            f"{params.data.size}; add --anew to cut them again"
        )


def _memory(folder: Path, params: Params) -> Path:
    """Where findings are kept that these params and this code made; others are deleted."""
    section = params.import_.model_dump_json(exclude={"splits"})
    what = f"{params.data.size} {section} {code_hash(*CODE)}"
    memory = folder / f"found-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
    for other in folder.glob("found-*"):
        if other != memory:
            shutil.rmtree(other)
    memory.mkdir(exist_ok=True)
    return memory


def _choices(
    name: str,
    listed: Sequence[Listed],
    held: Held,
    memory: Path,
    params: Params,
    report: Progress,
) -> tuple[list[Choice], dict[str, Finding]]:
    """What becomes of every listed file, and what was found out about those not held."""
    tasks = to_tasks(listed, report, params.runtime.threads)
    known = set(held.table["file_sha256"])
    unknown = [task for task in tasks if not task.problem and task.file_sha256 not in known]
    findings = examine_all(
        unknown, memory, params.import_, params.data.size, report, params.runtime.threads
    )
    return choose(name, listed, tasks, findings, held, params), findings


def _commit(
    project: Project,
    outcome: ImportReport,
    terms: Terms,
    held: Held,
    findings: Mapping[str, Finding],
    memory: Path,
    size: int,
    anew: bool,
) -> bool:
    """Write the new pictures into data/; whether anything there changed."""
    import pandas as pd

    name = outcome.album
    albums.remove_leftovers(project.data)
    if anew:
        albums.remove(project.data, name)
    elif len(albums.read_table(project.data, name)) != len(held.table):
        raise DataError(
            f"{project.data}: changed while the pictures were examined; run the import again, "
            "what was found out is kept"
        )
    added = [(one, findings[one.fingerprint]) for one in outcome.choices if one.status == "new"]
    if not added:
        return albums.refresh_manifest(project.data) or anew
    rows = pd.DataFrame([_row(one, finding, terms, size) for one, finding in added])
    albums.extend(project.data, name, rows, kept_crops(memory, [found for _, found in added]))
    return True


def _row(choice: Choice, finding: Finding, terms: Terms, size: int) -> dict[str, object]:
    """A new picture's row of the album's table; see `albums.TABLE`."""
    return {
        "key": choice.key,
        "identity_id": choice.identity_id,
        "identity": choice.identity,
        "split": choice.split,
        "sha256": finding.crop_sha256,
        "size": size,
        "subject_kind": terms.kind,
        "licence": terms.licence,
        "consent": terms.consent,
        "landmarks": np.array(finding.landmarks, np.float32),
        "found_by": finding.found_by,
        "score": np.nan if finding.score is None else finding.score,
        "file": choice.file,
        "file_sha256": choice.file_sha256,
        "transform": np.array(finding.transform, np.float64),
    }


def _refuse_nothing(source: Path, outcome: ImportReport, folder: Path) -> None:
    if not outcome.taken:
        first = outcome.choices[0]
        raise ImportRefused(
            f"{source}: not one of {len(outcome.choices)} files could be taken; the first, "
            f"{first.file}: {first.reason} (all reasons: {folder / 'report.csv'})"
        )
