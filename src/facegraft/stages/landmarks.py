"""What the landmark reader says of the dataset's pictures: read once, kept beside the data.

The cache is named by the pictures' bytes and the reader, so what another reader read is read anew.
It is no part of the data's version: readings differ in their last bits between processors.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from facegraft.adapters.landmarks import MODEL_SHA256, Aim, Landmarker
from facegraft.adapters.store import DataError, load_grids
from facegraft.core.atomic import replacing
from facegraft.core.parallel import parallel_map
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.data.faces import Faces
from facegraft.data.grids import Grid, Person, Readings
from facegraft.imaging.images import to_uint8
from facegraft.method.landmarks import EXPRESSIONS, NUM_LANDMARKS

PASSES = "two passes, aimed at a face-filling crop"
"""What a reading depends on besides the picture and the networks; change it with the code."""

PARALLEL_FROM = 256
"""Pictures from which starting processes pays."""


def with_readings(
    grids: Sequence[Grid], folder: Path, report: Progress, threads: int = 0
) -> list[Grid]:
    """The grids with what the reader says of every cell.

    Args:
        folder: of the cache.
        threads: `runtime.threads`.

    Raises:
        LandmarkerError: the reader cannot be had. WorkerDied: a process was killed; what was read
            is kept. DataError: it cannot be read back.
    """
    stacks = [np.asarray(g.images).reshape(-1, *g.images.shape[2:]) for g in grids]
    found = _readings(stacks, folder, report, threads)
    return [
        replace(grid, readings=_shaped(read, grid.images.shape[:2]))
        for grid, read in zip(grids, found, strict=True)
    ]


def read_split(project: Project, split: str, report: Progress, threads: int = 0) -> list[Grid]:
    """The grids of a split of the project's data, read; raises as `load_grids` and as above."""
    return with_readings(load_grids(project.data, split), project.landmarks, report, threads)


def people_with_readings(
    people: Sequence[Person], folder: Path, report: Progress, threads: int = 0
) -> list[Person]:
    """Imported people with what the reader says of their pictures; raises as `with_readings`."""
    stacks = [np.stack(person.images) for person in people]
    found = _readings(stacks, folder, report, threads)
    return [replace(one, readings=read) for one, read in zip(people, found, strict=True)]


def read_crop(
    landmarker: Landmarker, image: torch.Tensor, *, certain: bool = False
) -> Faces | None:
    """A face-filling crop as the encoder takes it, (1, 3, S, S) in [-1, 1]; None for no face.

    Args:
        certain: see `Landmarker.read`.
    """
    pixels = to_uint8(image[0])
    reading = landmarker.read(pixels, certain=certain)
    if reading is None:
        return None
    landmarks = torch.from_numpy(reading.over(pixels.shape[1], pixels.shape[0]))[None]
    read = Faces(image, landmarks, torch.from_numpy(reading.expression)[None])
    return read.to(image.device)


def _shaped(read: Readings, cells: tuple[int, ...]) -> Readings:
    return Readings(
        read.landmarks.reshape(*cells, NUM_LANDMARKS, 3),
        read.expression.reshape(*cells, EXPRESSIONS),
    )


def _readings(
    stacks: Sequence[np.ndarray], folder: Path, report: Progress, threads: int
) -> list[Readings]:
    """Those of stacks of pictures, uint8 (N, 3, S, S), from the cache or read now."""
    paths = [folder / f"{_name(stack)}.npz" for stack in stacks]
    kept = {path: _kept(path) for path in paths}
    missing = {p: s for p, s in zip(paths, stacks, strict=True) if kept[p] is None}
    done, total = 0, sum(map(len, missing.values()))
    in_process = total < PARALLEL_FROM
    for path in parallel_map(
        _read_stack,
        list(missing.items()),
        task="reading landmarks",
        in_process=in_process,
        threads=threads,
    ):
        done += len(missing[path])
        report(done, total, "landmarks read")
        kept[path] = _kept(path)
    found = [kept[path] for path in paths]
    lost = [path for path, one in zip(paths, found, strict=True) if one is None]
    if lost:
        raise DataError(f"{lost[0]}: cannot be read back; is the disk full?")
    return [one for one in found if one is not None]


def _name(stack: np.ndarray) -> str:
    digest = hashlib.sha256(f"{MODEL_SHA256} {PASSES} {stack.shape}".encode())
    digest.update(np.ascontiguousarray(stack).tobytes())
    return digest.hexdigest()[:32]


def _kept(path: Path) -> Readings | None:
    """What an earlier call read; a damaged file is read anew."""
    try:
        # Opened here, since np.load leaves a damaged file open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
            return Readings(held["landmarks"], held["expression"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _read_stack(path: Path, stack: np.ndarray) -> Path:
    side = stack.shape[-1]
    landmarks = np.zeros((len(stack), NUM_LANDMARKS, 3), np.float32)
    expression = np.zeros((len(stack), EXPRESSIONS), np.float32)
    for k, picture in enumerate(stack):
        pixels = np.ascontiguousarray(picture.transpose(1, 2, 0))
        # Where the networks doubt a face that the dataset vouches for, the first look is kept.
        reading = _landmarker().read(pixels, certain=True)
        assert reading is not None
        landmarks[k], expression[k] = reading.over(side, side), reading.expression
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, landmarks=landmarks, expression=expression)
    return path


@cache
def _landmarker() -> Landmarker:
    """The reader of this process, on one thread: the processes share the cores already."""
    return Landmarker(threads=1)


def aimed_at(box: tuple[float, float, float, float], eyes: np.ndarray) -> Aim:
    """Where the reader shall look in a whole picture.

    Args:
        box: left, top, width, height of the face that the detector found, in pixels.
        eyes: (2, 2), left and right eye.
    """
    left, top, width, height = box
    across = eyes[1] - eyes[0]
    angle = float(np.arctan2(across[1], across[0]))
    return Aim(left + width / 2, top + height / 2, 1.5 * max(width, height), angle)
