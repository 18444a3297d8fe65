"""From picture files to aligned face crops, in several processes, each file once.

What was found out about a file is kept in batches, so a killed import goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from facegraft.adapters.judge import Face, Judge, rivals_of
from facegraft.adapters.listing import Listed
from facegraft.adapters.store import sha256
from facegraft.characters import canonical_landmarks
from facegraft.core.atomic import replacing
from facegraft.core.config import ImportParams
from facegraft.core.parallel import parallel_map, usable_cores
from facegraft.core.progress import Progress
from facegraft.imaging.alignment import AlignmentError, fit_similarity, warp
from facegraft.imaging.images import ImageError, decode_image, read_file

BATCH = 32
"""Files examined between two writes: what a killed import does again, per process."""

PARALLEL_FROM = 128
"""Files from which starting processes pays."""


@dataclass(frozen=True)
class Task:
    """A file to examine.

    Attributes:
        file_sha256: of its bytes; "" where it cannot be read.
        problem: why it cannot be read; "" if it can.
    """

    path: str
    file_sha256: str = ""
    landmarks: tuple[float, ...] | None = None
    problem: str = ""

    @property
    def fingerprint(self) -> str:
        """Names what the result depends on: content and given landmarks."""
        if self.landmarks is None:
            return self.file_sha256
        given = hashlib.sha256(json.dumps(self.landmarks).encode()).hexdigest()
        return f"{self.file_sha256}+{given[:16]}"


@dataclass(frozen=True)
class Finding:
    """What a file turned out to be.

    Attributes:
        fingerprint: `Task.fingerprint`.
        problem: why there is no crop, with the mend; "" if there is one.
        found_by: "detector" or "given".
        score: the detector's confidence; None where the landmarks were given.
        landmarks: ten numbers, x and y of `data.grids.ALIGNMENT_POINTS` in the crop.
        transform: six numbers, the (2, 3) matrix from the upright picture to the crop.
        crop_sha256: of the crop's raw bytes, uint8 (3, S, S).
        batch, place: where the crop is kept: file name and index in it.
    """

    fingerprint: str
    problem: str = ""
    found_by: str = ""
    score: float | None = None
    landmarks: tuple[float, ...] = ()
    transform: tuple[float, ...] = ()
    crop_sha256: str = ""
    batch: str = ""
    place: int = 0

    @property
    def file_sha256(self) -> str:
        return self.fingerprint.partition("+")[0]


def to_tasks(listed: Sequence[Listed], report: Progress, threads: int = 0) -> list[Task]:
    """Hash every file; one that cannot be read says why. `threads` are `runtime.threads`."""

    def task(one: Listed) -> Task:
        try:
            digest = "" if one.problem else hashlib.sha256(read_file(one.path)).hexdigest()
        except ImageError as error:
            return Task(str(one.path), problem=str(error).removeprefix(f"{one.path}: "))
        return Task(str(one.path), digest, one.landmarks, one.problem)

    tasks: list[Task] = []
    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        for done in pool.map(task, listed):
            tasks.append(done)
            report(len(tasks), len(listed), "files read")
    return tasks


def examine_all(
    tasks: Sequence[Task],
    folder: Path,
    params: ImportParams,
    size: int,
    report: Progress,
    threads: int = 0,
) -> dict[str, Finding]:
    """Findings by fingerprint of all tasks, and of those that an earlier call kept in `folder`.

    Args:
        threads: `runtime.threads`.

    Raises:
        WorkerDied: a process was killed; what was examined is kept.
    """
    known = kept_findings(folder)
    missing = {task.fingerprint: task for task in tasks if task.fingerprint not in known}
    todo = list(missing.values())
    batches = [todo[start : start + BATCH] for start in range(0, len(todo), BATCH)]
    done = len(tasks) - len(todo)
    report(done, len(tasks), "pictures examined")
    work = [(batch, folder, params, size) for batch in batches]
    in_process = len(todo) < PARALLEL_FROM
    for findings in parallel_map(
        examine_batch, work, task="examining pictures", in_process=in_process, threads=threads
    ):
        known |= {finding.fingerprint: finding for finding in findings}
        done += len(findings)
        report(done, len(tasks), "pictures examined")
    return known


def kept_findings(folder: Path) -> dict[str, Finding]:
    """Findings that earlier calls kept; a damaged file is examined anew."""
    known: dict[str, Finding] = {}
    for path in sorted(folder.glob("[!.]*.npz")):
        try:
            with np.load(path, allow_pickle=False) as held:
                findings = [Finding(**one) for one in json.loads(str(held["findings"]))]
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            path.unlink()
            continue
        known |= {one.fingerprint: replace(one, batch=path.name) for one in findings}
    return known


def kept_crops(folder: Path, findings: Sequence[Finding]) -> Iterator[np.ndarray]:
    """The crops of findings, uint8 (3, S, S), in order; quick where neighbours share a batch."""
    name, crops = "", np.empty(0)
    for finding in findings:
        if finding.batch != name:
            name = finding.batch
            with np.load(folder / name, allow_pickle=False) as held:
                crops = held["crops"]
        yield crops[finding.place]


def forget_taken(folder: Path, taken: Collection[str]) -> None:
    """Keep only findings, with their crops, whose file's sha256 is not in `taken`, in one file."""
    findings = [one for one in kept_findings(folder).values() if one.file_sha256 not in taken]
    outdated = list(folder.glob("*.npz"))
    cut = [one for one in findings if not one.problem]
    crops = list(kept_crops(folder, cut))
    places = {one.fingerprint: place for place, one in enumerate(cut)}
    findings = [replace(one, place=places.get(one.fingerprint, 0)) for one in findings]
    kept = _keep(folder, findings, crops)
    for path in outdated:
        if path != kept:
            path.unlink()


def _keep(folder: Path, findings: Sequence[Finding], crops: Sequence[np.ndarray]) -> Path:
    """Write findings and crops into one file, whole or not at all; it is named by them."""
    names = json.dumps([finding.fingerprint for finding in findings])
    path = folder / f"{hashlib.sha256(names.encode()).hexdigest()[:24]}.npz"
    with replacing(path) as temporary:
        packed = np.stack(crops) if crops else np.empty(0, np.uint8)
        text = json.dumps([asdict(finding) for finding in findings])
        np.savez(temporary, crops=packed, findings=np.array(text))
    return path


def examine_batch(
    tasks: Sequence[Task], folder: Path, params: ImportParams, size: int
) -> list[Finding]:
    """Examine files and keep findings and crops in one file, whole or not at all."""
    findings: list[Finding] = []
    crops: list[np.ndarray] = []
    for task in tasks:
        finding, crop = examine(task, params, size)
        if crop is not None:
            finding = replace(finding, place=len(crops), crop_sha256=sha256(crop))
            crops.append(crop)
        findings.append(finding)
    kept = _keep(folder, findings, crops)
    return [replace(finding, batch=kept.name) for finding in findings]


def examine(task: Task, params: ImportParams, size: int) -> tuple[Finding, np.ndarray | None]:
    """Load a picture, find its face, cut the crop, uint8 (3, size, size); or say why not."""
    path, finding = Path(task.path), Finding(task.fingerprint)
    try:
        data = read_file(path)
        if hashlib.sha256(data).hexdigest() != task.file_sha256:
            raise ImageError(f"{path}: changed while it was read; run the import again")
        picture = decode_image(path, data)
        points, face = _five_points(picture, task, params)
        transform = fit_similarity(points, canonical_landmarks(size))
        shown = transform.apply(points)
        _refuse_bad_fit(path, shown, transform.scale, face, params, size)
    except (ImageError, AlignmentError) as error:
        return replace(finding, problem=str(error).removeprefix(f"{path}: ")), None
    crop = warp(picture, transform, (size, size)).transpose(2, 0, 1)
    finding = replace(
        finding,
        found_by="given" if face is None else "detector",
        score=None if face is None else face.score,
        landmarks=tuple(float(value) for value in shown.ravel()),
        transform=tuple(float(value) for value in transform.matrix().ravel()),
    )
    return finding, np.ascontiguousarray(crop)


def _five_points(
    picture: np.ndarray, task: Task, params: ImportParams
) -> tuple[np.ndarray, Face | None]:
    """The detector's points, or the given ones where it finds no face or cannot choose one."""
    faces = _judge(params.min_score).detect_all(picture)
    rivals = rivals_of(faces)
    if faces and not rivals:
        return faces[0].landmarks, faces[0]
    if task.landmarks is not None:
        return np.reshape(task.landmarks, (5, 2)), None
    if rivals:
        raise ImageError(
            f"{task.path}: shows {len(rivals) + 1} faces; cut it to one, or give landmarks"
        )
    raise ImageError(f"{task.path}: no face found; give landmarks in a table to take it")


def _refuse_bad_fit(
    path: Path,
    shown: np.ndarray,
    scale: float,
    face: Face | None,
    params: ImportParams,
    size: int,
) -> None:
    """A face too small to fill the crop, or given points that are no face's."""
    misfit = float(np.sqrt(((shown - canonical_landmarks(size)) ** 2).sum(axis=1).mean())) / size
    if face is None and misfit > params.max_landmark_misfit:
        raise ImageError(
            f"{path}: the given landmarks form no face (off by {misfit:.0%} of the crop); give x "
            "and y of left eye, right eye, nose tip, left and right mouth corner as seen"
        )
    if scale > params.max_enlargement:
        raise ImageError(
            f"{path}: the face is {scale:.1f} times too small for a crop of {size} pixels "
            f"(at most {params.max_enlargement:g}); use a larger picture"
        )


@cache
def _judge(min_score: float) -> Judge:
    """The detector of this process, on one thread: the processes share the cores already."""
    return Judge(min_score=min_score, threads=1)
