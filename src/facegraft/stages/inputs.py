"""From what a user names (a picture file or an image key) to an aligned crop."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from facegraft.adapters.albums import album_names
from facegraft.adapters.judge import Face, Judge, rivals_of
from facegraft.adapters.store import DataError, load_image
from facegraft.adapters.store import sha256 as cell_sha256
from facegraft.adapters.tables import printable
from facegraft.alignment import Similarity, align, paste
from facegraft.images import ImageError, decode_image, read_file
from facegraft.model import ModelConfig
from facegraft.project import Project
from facegraft.sidecar import InputRecord


@dataclass(frozen=True)
class Input:
    """One input of a swap.

    Attributes:
        crop: uint8 (S, S, 3), the face aligned to the model's crop.
        picture: uint8 (H, W, 3), the whole picture; None for an image of the dataset.
        transform: from `picture` to `crop`.
        key: the dataset's image key, else None.
    """

    crop: np.ndarray
    record: InputRecord
    picture: np.ndarray | None = None
    transform: Similarity | None = None
    key: str | None = None

    def whole(self, crop: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """`crop` in place of this input's own, in the whole picture; mask (S, S) in [0, 1]."""
        if self.picture is None or self.transform is None:
            return crop
        return paste(crop, self.transform, self.picture, mask)


def read_input(
    project: Project, config: ModelConfig, judge: Judge, given: str, base: Path = Path()
) -> Input:
    """Load a picture file and align its face, or take an image of the dataset by its key.

    Args:
        base: the folder from which a relative path is seen.

    Raises:
        ImageError: the file is missing or unusable, or no face is found in it, or several.
        DataError: an unknown image key; the message suggests close ones.
    """
    if _names_file(base / given):
        return _from_file(config, judge, base / given, given)
    cell = load_image(project.data, given)
    record = InputRecord(given=printable(given), sha256=cell_sha256(cell))
    pixels = np.ascontiguousarray(cell.transpose(1, 2, 0))
    if pixels.shape[0] != config.size:
        side = (config.size, config.size)
        pixels = np.array(Image.fromarray(pixels).resize(side, Image.Resampling.LANCZOS))
    return Input(crop=pixels, record=record, key=given)


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


def _from_file(config: ModelConfig, judge: Judge, path: Path, given: str) -> Input:
    data = read_file(path)
    record = InputRecord(given=printable(given), sha256=hashlib.sha256(data).hexdigest())
    picture = decode_image(path, data)
    landmarks = _the_face(path, judge.detect_all(picture)).landmarks
    canonical = np.array(config.canonical) * config.size
    crop, transform = align(picture, landmarks, canonical, config.size)
    return Input(crop=crop, record=record, picture=picture, transform=transform)


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
