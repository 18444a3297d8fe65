"""Grids of faces: every source-target pair inside a grid has its rendered true swap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

PARTS = ("face_shape", "eyes", "brows", "nose", "mouth")
"""Identity sub-dimensions, of which a swap may take one alone."""


@dataclass(frozen=True)
class Mix:
    """A row that is row `base` with one identity sub-dimension taken from row `donor`.

    It is the true swap of "only the eyes": source (donor, a), target (base, b) -> (row, b).
    """

    row: int
    base: int
    donor: int
    region: str


@dataclass(frozen=True)
class Readings:
    """The landmark reader's results on pictures.

    Attributes:
        landmarks: float32 (..., 478, 3), x, y in [-1, 1] over the picture and depth in that unit.
        expression: float32 (..., 52) in [0, 1].
    """

    landmarks: np.ndarray
    expression: np.ndarray


@dataclass(frozen=True)
class Grid:
    """Identities x attribute sets of one split; cell (i, a) shows identity i under attributes a.

    The true swap of source (i, a) onto target (j, b) is cell (i, b).

    Attributes:
        name: e.g. "train-003".
        images: uint8 (I, A, 3, S, S), RGB in [0, 255]; may be memory-mapped.
        regions: uint8 (I, A, S, S), labels of `REGIONS`.
        landmarks: float32 (I, A, 5, 2), x then y in pixels, order of `ALIGNMENT_POINTS`.
        anchors: float16 (I, A, K, 3), points of the surface and then of painted outlines: x and y
            in [-1, 1] over the picture, 1 where visible (see `characters.anchors` and
            `characters.contours`);
            K = 0 where nobody knows them.
        identity_ids, attribute_ids: the ids of rows and columns.
        identity_code: float32 (I, C), what identity means in visible shape, about unit scale.
        attribute_code: float32 (A, Q), what the attribute set means, about unit scale.
        keys: object (I, A), the manifest's image keys.
        identity_groups: sub-dimension -> (start, stop) of its part of identity_code.
        attribute_groups: attribute group -> (start, stop) of its part of attribute_code.
        mixes: the rows that are made of two others.
        anchor_set: names which points the anchors are; two grids of one name have the same.
        strokes: how many of the anchors, the last ones, are contour landmarks of brows and irises.
        readings: the landmark reader's result on every cell, (I, A, ...); None until it was asked.
    """

    name: str
    images: np.ndarray
    regions: np.ndarray
    landmarks: np.ndarray
    anchors: np.ndarray
    identity_ids: tuple[str, ...]
    attribute_ids: tuple[str, ...]
    identity_code: np.ndarray
    attribute_code: np.ndarray
    keys: np.ndarray
    identity_groups: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    attribute_groups: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    mixes: tuple[Mix, ...] = ()
    anchor_set: str = ""
    strokes: int = 0
    readings: Readings | None = None

    @property
    def people(self) -> tuple[int, ...]:
        """Rows that are persons of their own, not mixes of two others."""
        mixed = {mix.row for mix in self.mixes}
        return tuple(row for row in range(len(self.identity_ids)) if row not in mixed)

    @property
    def size(self) -> int:
        """Image width and height in pixels."""
        return int(self.images.shape[-1])


@dataclass(frozen=True)
class Person:
    """Imported pictures of one identity: nobody knows what a swap of them should look like.

    Attributes:
        identity_id: e.g. "orl/s1".
        keys: the manifest's image keys, one per picture.
        images: uint8 (3, S, S) each, RGB in [0, 255]; may be memory-mapped.
        readings: of the N pictures, (N, ...); None until the reader was asked.
    """

    identity_id: str
    keys: tuple[str, ...]
    images: tuple[np.ndarray, ...]
    readings: Readings | None = None


REGIONS = (
    "background", "skin", "eyes", "brows", "nose", "mouth",
    "ears", "neck", "hair", "costume", "accessory",
)  # fmt: skip
"""Region labels, by value: `REGIONS[0]` is label 0."""

FACE_REGIONS = tuple(REGIONS.index(name) for name in ("skin", "eyes", "brows", "nose", "mouth"))
"""Labels that make up the face mask."""

ALIGNMENT_POINTS = ("left_eye", "right_eye", "nose_tip", "left_mouth_corner", "right_mouth_corner")
"""The five alignment points, left as seen in the picture (x grows to the right)."""


def image_key(grid: str, row: int, column: int) -> str:
    """The manifest's key of a grid's cell, e.g. "train-003/i07/a02"."""
    return f"{grid}/i{row:02d}/a{column:02d}"
