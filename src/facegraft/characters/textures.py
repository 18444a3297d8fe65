"""Pictures laid over a mesh by texture coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from facegraft.characters.errors import CharacterError
from facegraft.characters.tones import GAMMA

LARGEST = 1024
"""Wider or higher textures are reduced to this many pixels; the head takes a third of it."""

OPAQUE = 0.5
"""Where alpha is less, what lies behind shows."""

FLOOR = 0.004
"""Linear light added to texel and mean: a black texture gives black no noise."""

STRONGEST = 2.5
"""A texel is at most this much brighter than the texture's mean."""


@dataclass(frozen=True)
class Texture:
    """A diffuse map whose tone an attribute gives.

    Attributes:
        factor: float32 (3, H * W), each texel's linear colour over the mean colour.
        alpha: float32 (1, H * W) in [0, 1], None if all of it is opaque.
        width, height: texels.
    """

    factor: torch.Tensor
    alpha: torch.Tensor | None
    width: int
    height: int

    def at(self, place: torch.Tensor) -> torch.Tensor:
        """Factor float32 (3, N) at texture coordinates (2, N), v upwards; it repeats."""
        return bilinear(self.factor, self.width, self.height, place - place.floor())

    def shows(self, place: torch.Tensor) -> torch.Tensor:
        """bool (N,), where the texture hides what lies behind; coordinates as in `at`."""
        if self.alpha is None:
            return torch.ones(place.shape[1], dtype=torch.bool)
        return bilinear(self.alpha, self.width, self.height, place - place.floor())[0] >= OPAQUE


def bilinear(texels: torch.Tensor, width: int, height: int, place: torch.Tensor) -> torch.Tensor:
    """Blended texels float32 (C, N).

    Args:
        texels: float32 (C, height * width), top row first.
        place: float32 (2, N) in [0, 1], v upwards; beyond the outer texels' middle it is held.
    """
    column = (place[0] * width - 0.5).clamp_(0, width - 1.001)
    row = ((1 - place[1]) * height - 0.5).clamp_(0, height - 1.001)
    left, top = column.floor(), row.floor()
    across, down = column - left, row - top
    corner = (top * width + left).long()
    first, second, third, fourth = (
        texels.index_select(1, corner + step) for step in (0, 1, width, width + 1)
    )
    return torch.lerp(torch.lerp(first, second, across), torch.lerp(third, fourth, across), down)


def open_picture(path: Path, mode: str) -> Image.Image:
    """A PNG or JPEG in a Pillow mode.

    Raises:
        CharacterError: the picture is missing or cannot be read.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            return picture.convert(mode)
    except FileNotFoundError as error:
        raise CharacterError(f"{path}: not found; put the texture there") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CharacterError(f"{path}: no PNG or JPEG that can be read; remove the file") from error


def read_texture(path: Path, *, transparent: bool) -> Texture:
    """The texture of hair or clothes.

    Args:
        transparent: whether its alpha counts.

    Raises:
        CharacterError: the picture cannot be read, or nothing of it shows.
    """
    picture = open_picture(path, "RGBA")
    width, height = (max(2, min(side, LARGEST)) for side in picture.size)
    values = np.asarray(picture.resize((width, height), Image.Resampling.BOX), np.float32).reshape(
        -1, 4
    )
    alpha = values[:, 3] / 255
    shown = alpha >= OPAQUE if transparent else np.ones(len(alpha), bool)
    if not shown.any():
        raise CharacterError(f"{path}: transparent all over; export it with its alpha")
    linear = (values[:, :3] / 255) ** GAMMA + FLOOR
    factor = np.minimum(linear / linear[shown].mean(axis=0), STRONGEST)
    factor[~shown] = 1  # what is not seen does not bleed into the edge
    held = torch.from_numpy(alpha[None].copy()) if not shown.all() else None
    return Texture(torch.from_numpy(np.ascontiguousarray(factor.T)), held, width, height)
