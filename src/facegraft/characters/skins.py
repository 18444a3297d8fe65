"""Skin textures that the user brings: MakeHuman-format diffuse maps, picked up from a folder.

`FACEGRAFT_ASSETS` names a folder; below it `skins/` holds pictures (PNG, JPEG) laid out on the
base mesh's texture coordinates, or MakeHuman's folders of one `.mhmat` with its picture. A texture
brings freckles, pores and stubble; the tone stays the attribute `skin`, to which it is scaled.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from facegraft.characters.errors import CharacterError
from facegraft.characters.tones import GAMMA

VARIABLE = "FACEGRAFT_ASSETS"
PLAIN = "plain"
"""The word for no texture."""

SUFFIXES = (".png", ".jpg", ".jpeg")
SIDE = 1024
"""Larger textures are reduced to this many pixels a side; the head takes a third of it."""

SMALLEST = 256
STRONGEST = 2.5
"""A texel is at most this much brighter than the texture's mean."""


@dataclass(frozen=True)
class SkinTexture:
    """A diffuse map.

    Attributes:
        factor: float32 (3, SIDE * SIDE), each texel's linear colour over the face's mean colour.
    """

    factor: torch.Tensor

    def at(self, place: torch.Tensor) -> torch.Tensor:
        """Bilinear factor float32 (3, N) at texture coordinates (2, N) in [0, 1], v upwards."""
        column = (place[0] * SIDE - 0.5).clamp_(0, SIDE - 1.001)
        row = ((1 - place[1]) * SIDE - 0.5).clamp_(0, SIDE - 1.001)
        left, top = column.floor(), row.floor()
        across, down = column - left, row - top
        corner = (top * SIDE + left).long()
        first, second, third, fourth = (
            self.factor.index_select(1, corner + step) for step in (0, 1, SIDE, SIDE + 1)
        )
        return torch.lerp(
            torch.lerp(first, second, across), torch.lerp(third, fourth, across), down
        )


def load_skins(face: np.ndarray) -> dict[str, SkinTexture]:
    """The textures of the folder that `FACEGRAFT_ASSETS` names, by name; none if it is not set.

    Args:
        face: float32 (N, 2), texture coordinates of the face, where the mean colour is taken.

    Raises:
        CharacterError: the folder or a file in it cannot be used.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return {}
    folder = Path(named) / "skins"
    if not folder.is_dir():
        raise CharacterError(f"{folder}: no such folder; put skins there or unset {VARIABLE}")
    return {name: _texture(path, face) for name, path in _pictures(folder).items()}


def require_skin(skins: Mapping[str, SkinTexture], name: str) -> SkinTexture | None:
    """The texture of that name, None for `PLAIN`.

    Raises:
        CharacterError: there is no such texture.
    """
    if name != PLAIN and name not in skins:
        known = ", ".join((PLAIN, *skins))
        raise CharacterError(f"unknown skin texture {name!r}; there are: {known} (see {VARIABLE})")
    return skins.get(name)


def _pictures(folder: Path) -> dict[str, Path]:
    """Name -> picture, in order of name: bare pictures and MakeHuman's folders."""
    found: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            for material in sorted(entry.glob("*.mhmat")):
                _add(found, material.stem, _diffuse(material))
        elif entry.suffix.lower() in SUFFIXES:
            _add(found, entry.stem, entry)
    return found


def _add(found: dict[str, Path], name: str, path: Path) -> None:
    if name in found or name == PLAIN:
        raise CharacterError(f"{path}: the name {name} is taken; rename the file")
    found[name] = path


def _diffuse(material: Path) -> Path:
    """The picture that a MakeHuman material names."""
    try:
        lines = material.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CharacterError(f"{material}: no MakeHuman material; remove the file") from error
    named = [line.split(None, 1)[1] for line in lines if line.startswith("diffuseTexture ")]
    if not named:
        raise CharacterError(f"{material}: names no diffuseTexture; remove the file")
    path = material.parent / named[0].strip()
    if not path.resolve().is_relative_to(material.parent.resolve()):
        raise CharacterError(
            f"{material}: its diffuseTexture lies outside its folder; move it there"
        )
    return path


def _texture(path: Path, face: np.ndarray) -> SkinTexture:
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            width, height = picture.size
            reduced = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    except FileNotFoundError as error:
        raise CharacterError(f"{path}: not found; put the texture there") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CharacterError(f"{path}: no PNG or JPEG that can be read; remove the file") from error
    if min(width, height) < SMALLEST:
        raise CharacterError(
            f"{path}: {width} x {height}, less than {SMALLEST} pixels; use a larger texture"
        )
    linear = (np.asarray(reduced, np.float32) / 255) ** GAMMA
    column, row = (face * SIDE).astype(int).clip(0, SIDE - 1).T
    mean = linear[SIDE - 1 - row, column].mean(axis=0)
    if mean.min() < 1e-3:
        raise CharacterError(f"{path}: black where the face lies; is it laid out on the base mesh?")
    factor = np.minimum(linear / mean, STRONGEST).reshape(-1, 3).T
    return SkinTexture(torch.from_numpy(np.ascontiguousarray(factor)))
