"""Draws a character: a pure function of identity, attributes, size and seed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from facegraft.characters import camera
from facegraft.characters.anchors import place_anchors
from facegraft.characters.assets import Assets
from facegraft.characters.attributes import Attributes
from facegraft.characters.deform import Head, neutral_head, pose
from facegraft.characters.errors import CharacterError
from facegraft.characters.identity import Identity
from facegraft.characters.outlines import Outlines
from facegraft.characters.sampling import sampled_depth
from facegraft.characters.shading import shade
from facegraft.characters.tones import encoded
from facegraft.characters.visibility import Seen, see
from facegraft.characters.wearing import dressed

SIZES = (16, 1024)
SUPERSAMPLES = (1, 4)


@dataclass(frozen=True)
class Rendering:
    """A picture and what is known about it.

    Attributes:
        image: uint8 (S, S, 3), RGB in [0, 255].
        regions: uint8 (S, S), labels of `dataset.REGIONS`.
        landmarks: float32 (5, 2), x then y in pixels, order of `dataset.LANDMARKS`; points
            that the head itself hides, or outside the frame, are given all the same.
        rotation: float32 (3, 3), of the head, from a head that looks along +z.
        depth: float32 (S, S), decimetres from the camera, infinite on the background.
        anchors: float32 (K, 3), where `Assets.anchors` and then the `strokes` lie, see
            `anchors.place_anchors`.
    """

    image: np.ndarray
    regions: np.ndarray
    landmarks: np.ndarray
    rotation: np.ndarray
    depth: np.ndarray
    anchors: np.ndarray


def render(
    assets: Assets,
    identity: Identity,
    attributes: Attributes,
    size: int,
    *,
    seed: int = 0,
    framing: str = "crop",
    supersample: int = 2,
) -> Rendering:
    """Draw one character.

    Args:
        size: width and height in pixels, 16 to 1024.
        seed: draws what no attribute names (the clouds behind the character).
        framing: "crop", a face-filling training crop, or "portrait", head and shoulders.
        supersample: 1 to 4; the picture is drawn this much larger and averaged.

    Raises:
        CharacterError: size, framing or supersample is out of range.
    """
    return render_head(
        assets,
        neutral_head(assets, identity),
        identity,
        attributes,
        size,
        seed=seed,
        framing=framing,
        supersample=supersample,
    )


def render_head(
    assets: Assets,
    head: Head,
    identity: Identity,
    attributes: Attributes,
    size: int,
    *,
    seed: int = 0,
    framing: str = "crop",
    supersample: int = 2,
) -> Rendering:
    """`render` with the identity's neutral head already made (see `deform.neutral_head`)."""
    return timed_render(
        assets,
        head,
        identity,
        attributes,
        size,
        seed=seed,
        framing=framing,
        supersample=supersample,
    )[0]


def timed_render(
    assets: Assets,
    head: Head,
    identity: Identity,
    attributes: Attributes,
    size: int,
    *,
    seed: int = 0,
    framing: str = "crop",
    supersample: int = 2,
) -> tuple[Rendering, dict[str, float]]:
    """`render_head`, with the seconds spent on "geometry", "visibility" and "shading"."""
    _check(size, supersample)
    assets, attributes = dressed(assets, attributes)
    times = [time.perf_counter()]
    posed = pose(assets, head, attributes)
    times.append(time.perf_counter())
    view = camera.frame(framing, size * supersample, posed.turned)
    seen = see(assets, attributes, view, posed)
    times.append(time.perf_counter())
    shown = seen.fragments
    picture, labels = shade(assets, identity, attributes, posed, shown, size, supersample, seed)
    drawn = Rendering(
        _developed(picture, size, supersample),
        labels.reshape(size, size).numpy(),
        camera.frame(framing, size, posed.turned).project(posed.landmarks)[0].astype(np.float32),
        posed.turned.astype(np.float32),
        sampled_depth(shown, assets.triangles, seen.distance, size, supersample),
        _anchors(assets, head.outlines, seen, view.size),
    )
    times.append(time.perf_counter())
    names = ("geometry", "visibility", "shading")
    return drawn, {name: times[k + 1] - times[k] for k, name in enumerate(names)}


def _check(size: int, supersample: int) -> None:
    if not SIZES[0] <= size <= SIZES[1]:
        raise CharacterError(f"size is {size}; it lies in {SIZES[0]} to {SIZES[1]} pixels")
    if not SUPERSAMPLES[0] <= supersample <= SUPERSAMPLES[1]:
        raise CharacterError(f"supersample is {supersample}; it lies in 1 to 4")


def _anchors(assets: Assets, outlines: Outlines, seen: Seen, size: int) -> np.ndarray:
    """See `anchors.place_anchors`; what hides an anchor is told by the order of surfaces."""
    depth = np.full(size * size, np.inf, np.float32)
    depth[seen.fragments.pixel.numpy()] = seen.fragments.depth.numpy()
    screen, order = (
        np.concatenate([values[assets.anchors], outlines.among(values)])
        for values in (seen.screen, seen.order)
    )
    return place_anchors(screen, order, depth.reshape(size, size), size)


def _developed(picture: torch.Tensor, size: int, factor: int) -> np.ndarray:
    """Linear samples (3, (size * factor) ** 2) as an 8-bit picture (size, size, 3)."""
    image = encoded(_averaged(picture, size, factor)).permute(1, 2, 0)
    return np.ascontiguousarray(image.numpy())


def _averaged(picture: torch.Tensor, size: int, factor: int) -> torch.Tensor:
    """Mean over factor x factor blocks in a fixed order: (3, size, size)."""
    grid = picture.reshape(3, size, factor, size, factor)
    total = torch.zeros(3, size, size)
    for row in range(factor):
        for column in range(factor):
            total = total + grid[:, :, row, :, column]
    return total / factor**2
