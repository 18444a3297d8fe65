"""The record of every swap: what went in, what came out, and whether it may be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from facegraft.core.atomic import replacing
from facegraft.core.config import Section
from facegraft.method.calibration import Thresholds


class InputRecord(Section):
    """One input picture.

    Attributes:
        given: what the caller named, a path or an image key, as text that can be printed.
        sha256: of the bytes that were decoded: the file's, or the dataset cell's, uint8 (3, S, S),
            as the manifest has it.
    """

    given: str
    sha256: str


class LossRecord(Section):
    """Both losses at a fine-tuning step; None where no face could be read in the swap."""

    step: int
    identity_loss: float | None
    attribute_loss: float | None


class JudgeRecord(Section):
    """The independent recogniser's cosine similarities; None where it found no face."""

    similarity_source: float | None
    similarity_target: float | None


Verdict = Literal["PASS", "FAIL"]
Picture = Literal["swap.png", "swap.FAIL.png"]
Comparison = Literal["comparison.png"]

PICTURES: dict[Verdict, Picture] = {"PASS": "swap.png", "FAIL": "swap.FAIL.png"}
"""Verdict -> the file that holds the swapped picture."""

COMPARISON: Comparison = "comparison.png"
RECORD = "record.json"
ERROR = "error.json"
"""Why a pair could not be tried; gone once it is done."""


class SwapRecord(Section):
    """A swap's record.json.

    Attributes:
        image, comparison: files in the record's own folder.
    """

    job: str
    verdict: Verdict
    reason: str
    source: InputRecord
    target: InputRecord
    transplant: tuple[str, ...]
    detail: float
    shape: float
    """How much of either was taken from the source, in [0, 1]."""
    image: Picture
    comparison: Comparison
    steps: int
    enlargement: float
    """Pixels of the target's face over the source's; 1 where the source is no smaller."""
    thresholds: Thresholds
    losses: tuple[LossRecord, ...]
    judge_before: JudgeRecord
    judge_after: JudgeRecord
    judge_disagrees: bool
    """True where tuning made the judge see less of the source than before."""
    model_version: str
    data_version: str
    git_sha: str
    git_dirty: bool | None
    """None where git cannot tell."""
    seconds: float
    created_at: str
    """UTC, ISO 8601."""
    ai_generated: Literal[True] = True

    def write(self, path: Path) -> None:
        """Write the JSON whole or not at all; its presence means that the job is done."""
        with replacing(path) as temporary:
            temporary.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> SwapRecord:
        """Read a sidecar; pydantic's ValidationError where it is none."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))
