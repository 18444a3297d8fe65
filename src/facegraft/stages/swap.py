"""Stage `swap`: champion, source and target in; a judged image and its sidecar out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from facegraft.adapters import registry
from facegraft.adapters.judge import Judge, similarity
from facegraft.adapters.lineage import data_in_use, git_state
from facegraft.calibration import Calibration, Thresholds
from facegraft.checkpoint import load_model, read_json
from facegraft.config import Params, SwapParams
from facegraft.device import device_for
from facegraft.images import contact_sheet, save_picture, save_png, to_tensor, to_uint8
from facegraft.model import Model
from facegraft.project import Project
from facegraft.sidecar import JudgeRecord, LossRecord, SwapRecord
from facegraft.stages.inputs import Input, read_input, true_swap
from facegraft.stages.progress import Progress
from facegraft.swap import Swapped
from facegraft.swap import swap as swap_pair

CALIBRATION = "calibration.json"


@dataclass(frozen=True)
class SwapResult:
    """A finished swap: its record and where its files lie."""

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
        return self.folder / f"{self.record.job}.json"


@dataclass(frozen=True)
class Swapper:
    """The champion, ready: its weights, calibrated thresholds and the independent judge."""

    project: Project
    params: SwapParams
    model: Model
    model_version: str
    thresholds: Thresholds
    judge: Judge


def open_swapper(project: Project, params: Params, reference: str = registry.CHAMPION) -> Swapper:
    """Fetch a version of the registry and its calibration.

    Raises:
        RegistryError: there is no such version.
        Uncalibrated: its losses cannot tell same from different, so it may not run.
    """
    version, folder = registry.fetch(project, reference)
    calibration = Calibration.model_validate(read_json(folder / CALIBRATION))
    return Swapper(
        project=project,
        params=params.swap,
        model=load_model(folder).to(device_for(params.train)),
        model_version=version.version,
        thresholds=calibration.thresholds(),
        judge=Judge(),
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
) -> SwapResult:
    """Swap one pair with a registered model and save it under build/swaps/.

    The same inputs, model and params give the same picture, so a finished job is not done twice
    unless `force`.

    Args:
        source, target: a picture file, or an image key of the dataset.
        transplant: identity sub-dimensions to take, e.g. ["eyes"]; None takes all.
        reference: a version or alias of the registry.

    Raises:
        ImageError, DataError, RegistryError, Uncalibrated, ValueError: one line with the mend.
    """
    swapper = open_swapper(project, params, reference)
    report(0, 2, f"model version {swapper.model_version} loaded")
    inputs = [
        read_input(project, swapper.model.config, swapper.judge, given)
        for given in (source, target)
    ]
    parts = (*(one.record.sha256 for one in inputs), swapper.model_version)
    job = job_name(source, target, (*parts, params.swap.model_dump_json(), str(transplant)))
    report(1, 2, "inputs aligned")
    done = finished(project.swaps, job)
    result = (
        done if done and not force else run_swap(swapper, inputs, job, project.swaps, transplant)
    )
    report(2, 2, f"{result.record.verdict} after {result.record.steps} steps")
    return result


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
    """The job's result where its sidecar says that it is done."""
    sidecar = folder / f"{job}.json"
    return SwapResult(SwapRecord.read(sidecar), folder) if sidecar.exists() else None


def run_swap(
    swapper: Swapper,
    inputs: list[Input],
    job: str,
    folder: Path,
    transplant: Collection[str] | None,
) -> SwapResult:
    """Swap, judge and save; the sidecar is written last, so a job without one is not done."""
    started = time.monotonic()
    swapped = swap_pair(
        swapper.model,
        to_tensor(inputs[0].crop)[None],
        to_tensor(inputs[1].crop)[None],
        swapper.thresholds,
        swapper.params,
        transplant,
    )
    record = _record(swapper, swapped, inputs, job, transplant, started)
    result = SwapResult(record, folder)
    image = to_uint8(swapped.tuned.image[0])
    save_png(
        result.image,
        inputs[1].whole(image, swapped.mask[0, 0].numpy()),
        {"facegraft:job": job, "facegraft:verdict": record.verdict, "facegraft:why": record.reason},
        ai_generated=True,
    )
    sheet = _comparison(swapper.project, swapped, inputs, record, whole=transplant is None)
    save_picture(result.comparison, sheet)
    record.write(result.sidecar)
    return result


def _record(
    swapper: Swapper,
    swapped: Swapped,
    inputs: list[Input],
    job: str,
    transplant: Collection[str] | None,
    started: float,
) -> SwapRecord:
    tuned, (source, target) = swapped.tuned, inputs
    before = _judge(swapper.judge, to_uint8(tuned.first[0]), source, target)
    after = _judge(swapper.judge, to_uint8(tuned.image[0]), source, target)
    git = git_state(swapper.project.root)
    return SwapRecord(
        job=job,
        verdict="PASS" if tuned.passed else "FAIL",
        reason=_reason(swapped, swapper.thresholds),
        source=source.record,
        target=target.record,
        transplant=tuple(transplant or swapper.model.config.identity),
        image=f"{job}.png" if tuned.passed else f"{job}.FAIL.png",
        comparison=f"{job}.compare.png",
        steps=max(v.step for v in tuned.trace),
        thresholds=swapper.thresholds,
        losses=tuple(
            LossRecord(step=v.step, identity_loss=v.identity_loss, attribute_loss=v.attribute_loss)
            for v in tuned.trace
        ),
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


def _reason(swapped: Swapped, thresholds: Thresholds) -> str:
    best = swapped.tuned.best
    figures = (
        f"identity_loss {best.identity_loss:.4f} (threshold {thresholds.identity_loss:.4f}), "
        f"attribute_loss {best.attribute_loss:.4f} (threshold {thresholds.attribute_loss:.4f})"
    )
    if swapped.tuned.passed:
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
    project: Project, swapped: Swapped, inputs: list[Input], record: SwapRecord, whole: bool
) -> Image.Image:
    source, target = inputs
    tuned = swapped.tuned
    pictures = [source.crop, target.crop, to_uint8(tuned.first[0]), to_uint8(tuned.image[0])]
    titles = ["source", "target", "before tuning", f"after {record.steps} steps"]
    truth = true_swap(project, source, target) if whole else None
    if truth is not None:
        pictures.append(truth)
        titles.append("true swap")
    colour = "#2e7d32" if record.verdict == "PASS" else "#c62828"
    return contact_sheet(
        [pictures], columns=titles, captions=[record.verdict], bars=[colour], cell=160
    )
