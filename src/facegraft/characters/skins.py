"""Skin textures that the user brings: MakeHuman-format diffuse maps, picked up from a folder.

`FACEGRAFT_ASSETS` names a folder (`wardrobe` reads its hair and clothes); its `skins/` holds
pictures (PNG, JPEG) laid out on the base mesh's texture coordinates, or MakeHuman's folders of one
`.mhmat` with its picture. A texture brings freckles, pores and stubble; the tone stays the
attribute `skin`, to which it is scaled.
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
from facegraft.characters.proxies import inside, read_lines
from facegraft.characters.textures import STRONGEST, bilinear, open_picture
from facegraft.characters.tones import GAMMA

VARIABLE = "FACEGRAFT_ASSETS"
FOLDERS = ("skins", "hair", "clothes")
"""What the folder may hold."""

PLAIN = "plain"
"""The word for no texture."""

SUFFIXES = (".png", ".jpg", ".jpeg")
SIDE = 1024
"""Larger textures are reduced to this many pixels a side; the head takes a third of it."""

SMALLEST = 256


@dataclass(frozen=True)
class SkinTexture:
    """A diffuse map.

    Attributes:
        factor: float32 (3, SIDE * SIDE), each texel's linear colour over the face's mean colour.
    """

    factor: torch.Tensor

    def at(self, place: torch.Tensor) -> torch.Tensor:
        """Bilinear factor float32 (3, N) at texture coordinates (2, N) in [0, 1], v upwards."""
        return bilinear(self.factor, SIDE, SIDE, place)


def own_folder() -> Path | None:
    """The folder that `FACEGRAFT_ASSETS` names; None if it is not set.

    Raises:
        CharacterError: it holds none of `FOLDERS`.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    if not any((Path(named) / name).is_dir() for name in FOLDERS):
        raise CharacterError(
            f"{named}: holds no {', '.join(FOLDERS)}; put one there or unset {VARIABLE}"
        )
    return Path(named)


def load_skins(root: Path | None, face: np.ndarray) -> dict[str, SkinTexture]:
    """The textures in a folder's `skins/`, by name; none if there is no such folder.

    Args:
        face: float32 (N, 2), texture coordinates of the face, where the mean colour is taken.

    Raises:
        CharacterError: a file cannot be used.
    """
    if root is None or not (root / "skins").is_dir():
        return {}
    return {name: _texture(path, face) for name, path in _pictures(root / "skins").items()}


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
    lines = read_lines(material, "material")
    named = [line.split(None, 1)[1] for line in lines if line.startswith("diffuseTexture ")]
    if not named:
        raise CharacterError(f"{material}: names no diffuseTexture; remove the file")
    return inside(material, named[0], material)


def _texture(path: Path, face: np.ndarray) -> SkinTexture:
    picture = open_picture(path, "RGB")
    width, height = picture.size
    reduced = picture.resize((SIDE, SIDE), Image.Resampling.BOX)
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
