"""Which of the examined files become pictures of an album, under which key, and why not."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from facegraft.adapters.listing import Listed
from facegraft.core.config import Params, SplitFractions
from facegraft.stages.importing.face_crops import Finding, Task

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["new", "held", "refused"]


@dataclass(frozen=True)
class Choice:
    """What becomes of one listed file.

    Attributes:
        status: "new" to the album, "held" by it before, or "refused".
        reason: why it is refused, with the mend; "" otherwise.
        key, identity_id, split: in the dataset; "" if refused.
        fingerprint: of its `Finding`; "" if it was not looked at.
    """

    file: str
    identity: str
    status: Status
    reason: str = ""
    key: str = ""
    identity_id: str = ""
    split: str = ""
    found_by: str = ""
    file_sha256: str = ""
    fingerprint: str = ""

    @property
    def is_taken(self) -> bool:
        return self.status != "refused"


@dataclass(frozen=True)
class Held:
    """What the dataset holds already.

    Attributes:
        table: of the album, columns of `albums.TABLE`; may be empty.
        elsewhere: sha256 of every other picture's bytes -> its key.
    """

    table: pd.DataFrame
    elsewhere: Mapping[str, str]


def choose(
    album: str,
    listed: Sequence[Listed],
    tasks: Sequence[Task],
    findings: Mapping[str, Finding],
    held: Held,
    params: Params,
) -> list[Choice]:
    """One choice per listed file, in order; the same file or picture is taken once."""
    chooser = _Chooser(album, held, params.import_.splits)
    choices = [chooser(one, task, findings) for one, task in zip(listed, tasks, strict=True)]
    return _without_singles(choices, held, params.validate_.min_attributes_per_identity)


def split_of(identity_id: str, fractions: SplitFractions) -> str:
    """The split of an identity: by a hash of its id, so it never moves."""
    place = int.from_bytes(hashlib.sha256(identity_id.encode()).digest()[:8], "big") / 2**64
    for split, share in fractions.model_dump().items():
        if place < share:
            return str(split)
        place -= share
    return max(fractions.model_dump().items(), key=lambda item: item[1])[0]


class _Chooser:
    """Goes through the files in order and remembers what it has taken."""

    def __init__(self, album: str, held: Held, splits: SplitFractions) -> None:
        rows = held.table.to_dict("records")
        self._album, self._splits = album, splits
        self._rows = {row["file_sha256"]: row for row in rows}
        self._ids = {row["identity"]: row["identity_id"] for row in rows}
        self._split_of_id = {row["identity_id"]: row["split"] for row in rows}
        self._keys = {row["key"] for row in rows}
        self._pictures = {**held.elsewhere, **{row["sha256"]: row["key"] for row in rows}}
        self._files: dict[str, str] = {}

    def __call__(self, one: Listed, task: Task, findings: Mapping[str, Finding]) -> Choice:
        refused = Choice(one.file, one.identity, "refused", file_sha256=task.file_sha256)
        finding = findings.get(task.fingerprint)  # none of a file that the album holds
        problem = task.problem or (finding.problem if finding else "")
        if problem:
            return replace(refused, reason=problem)
        if task.file_sha256 in self._files:
            first = self._files[task.file_sha256]
            return replace(refused, reason=f"the same file as {first}")
        self._files[task.file_sha256] = one.file
        if task.file_sha256 in self._rows:
            return self._held(refused, self._rows[task.file_sha256])
        assert finding is not None
        if finding.crop_sha256 in self._pictures:
            same = self._pictures[finding.crop_sha256]
            return replace(refused, reason=f"the same picture as {same}")
        return self._new(refused, finding)

    def _held(self, refused: Choice, row: Mapping[str, str]) -> Choice:
        if row["identity"] != refused.identity:
            reason = f"in the album already, as {row['key']}; move it with --anew"
            return replace(refused, reason=reason)
        return replace(
            refused,
            status="held",
            key=row["key"],
            identity_id=row["identity_id"],
            split=row["split"],
            found_by=row["found_by"],
        )

    def _new(self, refused: Choice, finding: Finding) -> Choice:
        identity_id = self._identity_id(refused.identity)
        stem = PurePosixPath(refused.file).stem
        key = _free(f"{identity_id}/{_slug(stem)}", self._keys, refused.file_sha256)
        self._keys.add(key)
        self._pictures[finding.crop_sha256] = key
        return replace(
            refused,
            status="new",
            key=key,
            identity_id=identity_id,
            split=self._split_of_id.get(identity_id) or split_of(identity_id, self._splits),
            found_by=finding.found_by,
            fingerprint=finding.fingerprint,
        )

    def _identity_id(self, identity: str) -> str:
        if identity not in self._ids:
            digest = hashlib.sha256(identity.encode()).hexdigest()
            wanted = f"{self._album}/{_slug(identity)}"
            self._ids[identity] = _free(wanted, set(self._ids.values()), digest)
        return self._ids[identity]


def _without_singles(choices: Sequence[Choice], held: Held, least: int) -> list[Choice]:
    """Refuse new pictures of identities that would stay below what the gate asks for."""
    counts = Counter(held.table["identity_id"])
    counts.update(one.identity_id for one in choices if one.status == "new")
    reason = (
        f"its identity has fewer than {least} usable pictures, which the gate asks for "
        "(validate.min_attributes_per_identity); add more"
    )
    return [
        Choice(one.file, one.identity, "refused", reason, file_sha256=one.file_sha256)
        if one.status == "new" and counts[one.identity_id] < least
        else one
        for one in choices
    ]


def _slug(name: str) -> str:
    """A part of a key: letters and digits of any script, - and _; a dot would look like a file."""
    return "".join(c if c.isalnum() or c in "_-" else "-" for c in name).strip("-") or "x"


def _free(wanted: str, used: set[str], digest: str) -> str:
    """`wanted`, or with as much of `digest` as makes it new."""
    for length in (0, 6, 64):
        name = f"{wanted}-{digest[:length]}" if length else wanted
        if name not in used:
            return name
    raise ValueError(f"{wanted} is named twice by one digest")
