"""What can be read off a face: an attribute code in units that a person knows."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from facegraft.characters.attributes import (
    CHOICES,
    CODE_MEMBERS,
    COLOURS,
    EXPRESSION_NAMES,
    RANGES,
)
from facegraft.data.grids import Grid
from facegraft.imaging.colours import to_lab

ANGLES = ("yaw", "pitch", "roll")

READINGS = {
    "expression": slice(0, 52),
    "pose": slice(52, 55),
    "hair_colour": slice(55, 58),
    "skin_tone": slice(58, 61),
    "light": slice(61, 68),
}
"""What is read -> its part of a reading: ARKit weights; degrees; CIE L*a*b* twice; strengths."""

LENGTH = 68
"""Numbers in a reading."""


def size(name: str, difference: np.ndarray) -> float:
    """One number for a difference (k,) in a reading.

    pose: mean over the angles, degrees; else the length: of the difference of ARKit weights, or
    the CIE76 colour difference.
    """
    if name == "pose":
        return float(np.abs(difference).mean())
    return float(np.linalg.norm(difference))


def truth(grid: Grid) -> np.ndarray:
    """float32 (A, LENGTH): what a perfect reader reads from the grid's columns."""
    return np.stack([_readings(code) for code in grid.attribute_code])


def visible(grid: Grid) -> np.ndarray:
    """bool (A, LENGTH): False for the hair of a column that wears something over it."""
    bare = grid.attribute_code[:, _members()["headwear"]][:, 0] > 0.5  # the first word is "none"
    seen = np.ones((len(bare), LENGTH), bool)
    seen[:, READINGS["hair_colour"]] = bare[:, None]
    return seen


def _readings(code: np.ndarray) -> np.ndarray:
    """An attribute code (Q,) in the units of `READINGS`."""
    angles = np.array([_scalar(code, name) for name in ANGLES])
    light = np.array([code[_members()[name]][0] / 2 for name in CODE_MEMBERS["lighting"]])
    colours = [_lab((code[_members()[name]] / 1.5 + 1) / 2) for name in ("hair", "skin")]
    parts = [code[_members()["expression"]] / 2, angles, *colours, light]
    return np.concatenate(parts).astype(np.float32)


def _scalar(code: np.ndarray, name: str) -> float:
    low, high = RANGES[name]
    return low + (high - low) * (float(code[_members()[name]][0]) / 2 + 1) / 2


def _lab(colour: np.ndarray) -> np.ndarray:
    return to_lab(torch.from_numpy(colour)).numpy()


@cache
def _members() -> dict[str, slice]:
    """Attribute -> its part of the attribute code; see `characters.attributes.attribute_code`."""
    members, start = {}, 0
    for name in (name for names in CODE_MEMBERS.values() for name in names):
        if name == "expression":
            length = len(EXPRESSION_NAMES)
        elif name in RANGES:
            length = 1
        else:
            length = 3 if name in COLOURS else len(CHOICES[name])
        members[name] = slice(start, start + length)
        start += length
    return members
