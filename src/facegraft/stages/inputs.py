"""From what a user names (a picture file or an image key) to an aligned crop."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from facegraft.adapters.albums import album_names
from facegraft.adapters.judge import Face, Judge, rivals_of
from facegraft.adapters.landmarks import Landmarker
from facegraft.adapters.store import DataError, load_image
from facegraft.adapters.store import sha256 as cell_sha256
from facegraft.adapters.tables import printable
from facegraft.core.project import Project
from facegraft.data.faces import Faces
from facegraft.imaging.alignment import Similarity, align
from facegraft.imaging.images import ImageError, decode_image, read_file, to_tensor, to_uint8
from facegraft.method.model import ModelConfig
from facegraft.method.portrait import Portrait
from facegraft.method.sidecar import InputRecord
from facegraft.stages.landmarks import aimed_at, read_crop

IN_PLACE = Similarity(1.0, np.eye(2), np.zeros(2))
"""From an image of the dataset to its crop, which it is."""


@dataclass(frozen=True)
class Input:
    """One input of a swap.

    Attributes:
        face: one face, the crop that the model takes and its reading.
        portrait: the whole picture and where the crop lies; of an image of the dataset, the crop.
        key: the dataset's image key, else None.
    """

    face: Faces
    record: InputRecord
    portrait: Portrait
    key: str | None = None

    @property
    def crop(self) -> np.ndarray:
        """uint8 (S, S, 3), the face aligned to the model's crop."""
        return to_uint8(self.face.images[0])


@dataclass(frozen=True)
class FaceReaders:
    """The recogniser, which finds faces, and the landmark reader."""

    judge: Judge
    landmarker: Landmarker

    @classmethod
    def opened(cls, threads: int) -> FaceReaders:
        """Both networks, on so many of OpenCV's threads; 0 leaves OpenCV its own number."""
        return cls(Judge(threads=threads or None), Landmarker(threads=threads or None))


def read_input(
    project: Project, config: ModelConfig, readers: FaceReaders, given: str, base: Path = Path()
) -> Input:
    """Load a picture file and align its face, or take an image of the dataset by its key.

    Args:
        base: the folder from which a relative path is seen.

    Raises:
        ImageError: the file is missing or unusable, or no face is found in it, or several.
        DataError: an unknown image key; the message suggests close ones.
    """
    if _names_file(base / given):
        return _from_file(config, readers, base / given, given)
    cell = load_image(project.data, given)
    record = InputRecord(given=printable(given), sha256=cell_sha256(cell))
    pixels = np.ascontiguousarray(cell.transpose(1, 2, 0))
    if pixels.shape[0] != config.size:
        side = (config.size, config.size)
        pixels = np.array(Image.fromarray(pixels).resize(side, Image.Resampling.LANCZOS))
    face = read_crop(readers.landmarker, to_tensor(pixels)[None], certain=True)
    assert face is not None
    return Input(face, record, Portrait(pixels, IN_PLACE), key=given)


def true_swap(project: Project, source: Input, target: Input) -> np.ndarray | None:
    """The rendered truth, uint8 (S, S, 3), where both come from one grid of the dataset."""
    if source.key is None or target.key is None:
        return None
    grid, row, _ = source.key.split("/")
    target_grid, _, column = target.key.split("/")
    if grid != target_grid or grid in album_names(project.data):
        return None
    try:
        return load_image(project.data, f"{grid}/{row}/{column}").transpose(1, 2, 0)
    except DataError:
        return None  # the grid has a gap: there is no truth to show


def _names_file(path: Path) -> bool:
    """Whether a file is meant: one is there, or the name has a suffix, as no key has."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return bool(path.suffix)
    except (OSError, ValueError):  # a name that no file can have, or a folder that is locked
        return True
    return True


def _from_file(config: ModelConfig, readers: FaceReaders, path: Path, given: str) -> Input:
    data = read_file(path)
    record = InputRecord(given=printable(given), sha256=hashlib.sha256(data).hexdigest())
    picture = decode_image(path, data)
    found = _the_face(path, readers.judge.detect_all(picture))
    reading = readers.landmarker.read(picture, aimed_at(found.box, found.landmarks[:2]))
    if reading is None:
        raise ImageError(
            f"{path}: a face is found but its features cannot be read; use a picture that shows "
            "eyes, nose and mouth"
        )
    canonical = np.array(config.canonical) * config.size
    crop, transform = align(picture, found.landmarks, canonical, config.size)
    landmarks = np.column_stack(
        [
            transform.apply(reading.landmarks[:, :2]) * 2 / config.size - 1,
            reading.landmarks[:, 2] * transform.scale * 2 / config.size,
        ]
    )
    face = Faces(
        to_tensor(crop)[None],
        torch.from_numpy(landmarks.astype(np.float32))[None],
        torch.from_numpy(reading.expression)[None],
    )
    return Input(face, record, Portrait(picture, transform))


def _the_face(path: Path, faces: Sequence[Face]) -> Face:
    """The only one, small ones in the background aside."""
    if not faces:
        raise ImageError(
            f"{path}: no face found; use a picture whose face looks towards the camera and is "
            "not cut off"
        )
    rivals = rivals_of(faces)
    if rivals:
        raise ImageError(f"{path}: shows {len(rivals) + 1} faces; cut it to one")
    return faces[0]
