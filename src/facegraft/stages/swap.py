"""Stage `swap`: champion, source and target in; a judged image and its sidecar out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image
from torch import Tensor

from facegraft.adapters import registry
from facegraft.adapters.judge import Judge, similarity
from facegraft.adapters.lineage import data_in_use, git_state
from facegraft.core.atomic import replacing
from facegraft.core.config import Params, SwapParams
from facegraft.core.device import set_up
from facegraft.core.errors import FacegraftError
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.data.faces import Faces
from facegraft.imaging.alignment import paste
from facegraft.imaging.images import contact_sheet, save_picture, save_png, to_uint8
from facegraft.method.calibration import Thresholds
from facegraft.method.checkpoint import load_model
from facegraft.method.decoder import Decoded
from facegraft.method.model import Model
from facegraft.method.portrait import draw_portrait, enlargement
from facegraft.method.sidecar import (
    COMPARISON,
    ERROR,
    PICTURES,
    RECORD,
    JudgeRecord,
    LossRecord,
    SwapRecord,
    Verdict,
)
from facegraft.method.swap import swap as swap_pair
from facegraft.method.tuning import CheckedLosses, Tuned
from facegraft.stages.inputs import FaceReaders, Input, read_input, true_swap
from facegraft.stages.landmarks import read_crop

SINGLE = "single"
"""Folder of the swaps that no list asked for; a list's folder has a hash in its name."""


class SwapRefused(FacegraftError):
    """A swap cannot be done as asked for; one line with the mend."""


@dataclass(frozen=True)
class SwapResult:
    """A finished swap: its record and its own folder."""

    record: SwapRecord
    folder: Path

    @property
    def image(self) -> Path:
        return self.folder / self.record.image

    @property
    def comparison(self) -> Path:
        """Source, target, before tuning, after tuning, truth where known."""
        return self.folder / self.record.comparison

    @property
    def sidecar(self) -> Path:
        return self.folder / RECORD


@dataclass(frozen=True)
class TuningSwapper:
    """A registered version that `run_swap` fine-tunes on each pair until its thresholds pass."""

    project: Project
    params: SwapParams
    model: Model
    model_version: str
    thresholds: Thresholds
    readers: FaceReaders

    @property
    def judge(self) -> Judge:
        """The independent recogniser."""
        return self.readers.judge

    def read(self, image: Tensor) -> Faces | None:
        """A swap of the model's size, (1, 3, S, S), read anew; None where no face is found."""
        return read_crop(self.readers.landmarker, image)


def open_swapper(
    project: Project, params: Params, reference: str = registry.CHAMPION
) -> TuningSwapper:
    """Fetch a version of the registry and its calibration.

    Raises:
        RegistryError: there is no such version, or its files or calibration were changed.
        Uncalibrated: its losses cannot tell same from different, so it may not run.
    """
    version, folder = registry.fetch(project, reference)
    return TuningSwapper(
        project=project,
        params=params.swap,
        model=load_model(folder).to(set_up(params.runtime)),
        model_version=version.version,
        thresholds=registry.calibration_of(version).thresholds(),
        readers=FaceReaders.opened(params.runtime.threads),
    )


def swap(
    project: Project,
    params: Params,
    source: str,
    target: str,
    report: Progress,
    *,
    transplant: Collection[str] | None = None,
    force: bool = False,
    reference: str = registry.CHAMPION,
    detail: float | None = None,
    shape: float | None = None,
) -> SwapResult:
    """Swap one pair with a registered model and save it in a folder under build/swaps/single/.

    The same inputs, model and params give the same picture, so a finished job is not done twice
    unless `force`.

    Args:
        source, target: a picture file, or an image key of the dataset.
        transplant: identity sub-dimensions to take, e.g. ["eyes"]; None takes all.
        reference: a version or alias of the registry.
        detail, shape: how much of either is taken, in [0, 1]; by default as in params.

    Raises:
        SwapRefused, ImageError, DataError, RegistryError, Uncalibrated: one line with the mend.
    """
    params = with_strength(params, detail, shape)
    swapper = open_swapper(project, params, reference)
    report(0, 2, f"model version {swapper.model_version} loaded")
    _refuse_unknown_parts(swapper.model, transplant)  # before a folder is made for it
    inputs = read_pair(swapper, source, target)
    parts = sorted(set(transplant)) if transplant is not None else None
    content = [*(one.record.sha256 for one in inputs), swapper.model_version, str(parts)]
    job = job_name(source, target, [*content, params.swap.model_dump_json()])
    report(1, 2, "inputs aligned")
    folder = project.swaps / SINGLE / job
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # who asks for the same meanwhile waits and gets the same
        done = None if force else finished(folder, job)
        result = done or run_swap(swapper, inputs, job, folder, parts)
    report(2, 2, f"{result.record.verdict} after {result.record.steps} steps")
    return result


def with_strength(params: Params, detail: float | None, shape: float | None) -> Params:
    """Params with how much of the source is taken; None leaves what they say.

    Raises:
        SwapRefused: outside of [0, 1].
    """
    given = {"detail": detail, "shape": shape}
    asked = {name: value for name, value in given.items() if value is not None}
    for name, value in asked.items():
        if not 0.0 <= value <= 1.0:
            raise SwapRefused(f"--{name} {value:g}: give a number from 0 to 1")
    return params.model_copy(update={"swap": params.swap.model_copy(update=asked)})


def job_name(source: str, target: str, parts: Collection[str]) -> str:
    """A file name for a job: readable stems and a hash of `parts`."""
    stems = "--".join(
        "".join(c if c.isalnum() else "-" for c in str(Path(given).with_suffix("")))[-24:].strip(
            "-"
        )
        for given in (source, target)
    )
    return f"{stems}-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:8]}"


def finished(folder: Path, job: str) -> SwapResult | None:
    """The job's result, if its folder holds a whole one."""
    result = _read_result(folder)
    return result if result and result.record.job == job else None


def finished_below(folder: Path) -> list[SwapResult]:
    """Every whole result in the folders below, e.g. of a list, in order of their names."""
    found = (_read_result(sidecar.parent) for sidecar in sorted(folder.rglob(RECORD)))
    return [result for result in found if result]


def _read_result(folder: Path) -> SwapResult | None:
    """What lies in a job's folder; None where record or picture is missing, empty or damaged."""
    try:
        result = SwapResult(SwapRecord.read(folder / RECORD), folder)
        sizes = [path.stat().st_size for path in (result.image, result.comparison)]
    except (OSError, ValueError):
        return None
    return result if all(sizes) else None


def read_pair(swapper: TuningSwapper, source: str, target: str, base: Path = Path()) -> list[Input]:
    """Source and target; see `inputs.read_input`."""
    config, readers = swapper.model.config, swapper.readers
    return [read_input(swapper.project, config, readers, one, base) for one in (source, target)]


def run_swap(
    swapper: TuningSwapper,
    inputs: list[Input],
    job: str,
    folder: Path,
    transplant: Collection[str] | None,
) -> SwapResult:
    """Swap, judge and save into the job's own folder.

    A job without a record is not done. The old record goes when all new files are written whole,
    the new one comes last: a kill or a full disk leaves the old result, or none, never a mixture.

    Raises:
        SwapRefused: `transplant` names no part of this model.
    """
    _refuse_unknown_parts(swapper.model, transplant)
    started = time.monotonic()
    source, target = inputs
    swapped = swap_pair(
        swapper.model,
        source.face,
        target.face,
        swapper.thresholds,
        swapper.params,
        swapper.read,
        transplant,
    )
    record = _record(swapper, swapped, inputs, job, transplant, started)
    result = SwapResult(record, folder)
    whole = _whole(swapped.decoded, source, target)
    text_chunks = {"facegraft:job": job, "facegraft:verdict": record.verdict}
    text_chunks |= {"facegraft:why": record.reason}
    sheet = _comparison(swapper.project, swapped, inputs, record, whole=transplant is None)
    with (
        replacing(result.sidecar) as sidecar,
        replacing(result.comparison) as comparison,
        replacing(result.image) as picture,
    ):
        save_png(picture, whole, text_chunks, ai_generated=True)
        save_picture(comparison, sheet)
        record.write(sidecar)
        for name in (RECORD, *PICTURES.values(), ERROR):
            (folder / name).unlink(missing_ok=True)
    return result


def _whole(decoded: Decoded, source: Input, target: Input) -> np.ndarray:
    """The swap in the target's whole picture, uint8 (H, W, 3)."""
    if target.key is not None:
        return to_uint8(decoded.image[0])
    if decoded.visibility is None:  # painted from latents: the crop is laid over the picture
        image = to_uint8(decoded.image[0])
        return paste(image, target.portrait.transform, target.portrait.pixels)
    return draw_portrait(decoded, source.portrait, target.portrait)


def _refuse_unknown_parts(model: Model, transplant: Collection[str] | None) -> None:
    unknown = sorted(set(transplant or ()) - set(model.config.identity))
    if unknown or (transplant is not None and not transplant):
        raise SwapRefused(
            f"{', '.join(unknown) or 'nothing'}: no part of this model's faces; choose from "
            f"{', '.join(model.config.identity)}"
        )


def _record(
    swapper: TuningSwapper,
    tuned: Tuned,
    inputs: list[Input],
    job: str,
    transplant: Collection[str] | None,
    started: float,
) -> SwapRecord:
    source, target = inputs
    before = _judge(swapper.judge, to_uint8(tuned.first.image[0]), source, target)
    after = _judge(swapper.judge, to_uint8(tuned.decoded.image[0]), source, target)
    git = git_state(swapper.project.root)
    verdict: Verdict = "PASS" if tuned.passed else "FAIL"
    return SwapRecord(
        job=job,
        verdict=verdict,
        reason=_reason(tuned, swapper.thresholds),
        source=source.record,
        target=target.record,
        transplant=tuple(transplant or swapper.model.config.identity),
        detail=swapper.params.detail,
        shape=swapper.params.shape,
        image=PICTURES[verdict],
        comparison=COMPARISON,
        steps=max(v.step for v in tuned.trace),
        enlargement=round(max(1.0, enlargement(source.portrait, target.portrait)), 3),
        thresholds=swapper.thresholds,
        losses=tuple(_losses(checked) for checked in tuned.trace),
        judge_before=before,
        judge_after=after,
        judge_disagrees=(after.similarity_source or 0.0) < (before.similarity_source or 0.0),
        model_version=swapper.model_version,
        data_version=data_in_use(swapper.project.root),
        git_sha=git.sha,
        git_dirty=git.dirty,
        seconds=round(time.monotonic() - started, 3),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _losses(checked: CheckedLosses) -> LossRecord:
    """As JSON can hold it: NaN is None."""
    identity, attribute = (
        loss if loss == loss else None for loss in (checked.identity_loss, checked.attribute_loss)
    )
    return LossRecord(step=checked.step, identity_loss=identity, attribute_loss=attribute)


def _reason(tuned: Tuned, thresholds: Thresholds) -> str:
    best = tuned.best
    if not tuned.passed and best.identity_loss != best.identity_loss:
        return "budget of fine-tuning steps exhausted: no face can be read in the swap"
    figures = (
        f"identity_loss {best.identity_loss:.4f} (threshold {thresholds.identity_loss:.4f}), "
        f"attribute_loss {best.attribute_loss:.4f} (threshold {thresholds.attribute_loss:.4f})"
    )
    if tuned.passed:
        return f"both below: {figures}"
    return f"budget of fine-tuning steps exhausted, best image kept: {figures}"


def _judge(judge: Judge, image: np.ndarray, source: Input, target: Input) -> JudgeRecord:
    seen = judge.embed(image)
    known = [judge.embed(one.crop) for one in (source, target)]
    scores = [
        float(similarity(seen, other)) if seen is not None and other is not None else None
        for other in known
    ]
    return JudgeRecord(similarity_source=scores[0], similarity_target=scores[1])


def _comparison(
    project: Project, tuned: Tuned, inputs: list[Input], record: SwapRecord, whole: bool
) -> Image.Image:
    source, target = inputs
    drawn = [to_uint8(one.image[0]) for one in (tuned.first, tuned.decoded)]
    pictures = [source.crop, target.crop, *drawn]
    titles = ["source", "target", "before tuning", f"after {record.steps} steps"]
    truth = true_swap(project, source, target) if whole else None
    if truth is not None:
        pictures.append(truth)
        titles.append("true swap")
    colour = "#2e7d32" if record.verdict == "PASS" else "#c62828"
    return contact_sheet(
        [pictures], columns=titles, captions=[record.verdict], bars=[colour], cell=160
    )
