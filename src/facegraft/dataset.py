"""Grids of faces: every source-target pair inside a grid has its rendered true swap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Grid:
    """Identities x attribute sets of one split; cell (i, a) shows identity i under attributes a.

    The true swap of source (i, a) onto target (j, b) is cell (i, b).

    Attributes:
        name: e.g. "train-003".
        images: uint8 (I, A, 3, S, S), RGB in [0, 255]; may be memory-mapped.
        regions: uint8 (I, A, S, S), labels of `REGIONS`.
        landmarks: float32 (I, A, 5, 2), x then y in pixels, order of `LANDMARKS`.
        identity_ids, attribute_ids: the ids of rows and columns.
        identity_code: float32 (I, C), what identity means in visible shape, about unit scale.
        attribute_code: float32 (A, Q), what the attribute set means, about unit scale.
        keys: object (I, A), the manifest's image keys.
        identity_groups: sub-dimension -> (start, stop) of its part of identity_code.
        attribute_groups: attribute group -> (start, stop) of its part of attribute_code.
    """

    name: str
    images: np.ndarray
    regions: np.ndarray
    landmarks: np.ndarray
    identity_ids: tuple[str, ...]
    attribute_ids: tuple[str, ...]
    identity_code: np.ndarray
    attribute_code: np.ndarray
    keys: np.ndarray
    identity_groups: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    attribute_groups: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Image width and height in pixels."""
        return int(self.images.shape[-1])


REGIONS = (
    "background", "skin", "eyes", "brows", "nose", "mouth",
    "ears", "neck", "hair", "costume", "accessory",
)  # fmt: skip
"""Region labels, by value: `REGIONS[0]` is label 0."""

FACE_REGIONS = tuple(REGIONS.index(name) for name in ("skin", "eyes", "brows", "nose", "mouth"))
"""Labels that make up the face mask."""

LANDMARKS = ("left_eye", "right_eye", "nose_tip", "left_mouth_corner", "right_mouth_corner")
"""The five alignment points, left as seen in the picture (x grows to the right)."""


def image_key(grid: str, row: int, column: int) -> str:
    """The manifest's key of a grid's cell, e.g. "train-003/i07/a02"."""
    return f"{grid}/i{row:02d}/a{column:02d}"
