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
from facegraft.characters.deform import Head, drawn_sheet, neutral_head, pose
from facegraft.characters.errors import CharacterError
from facegraft.characters.identity import Identity
from facegraft.characters.raster import Fragments, rasterise
from facegraft.characters.sampling import sampled_depth
from facegraft.characters.sculpt import MATERIALS
from facegraft.characters.shading import shade
from facegraft.characters.tones import encoded
from facegraft.dataset import FACE_REGIONS

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
        anchors: float32 (K, 3), where `Assets.anchors` lie, see `anchors.place_anchors`.
    """

    image: np.ndarray
    regions: np.ndarray
    landmarks: np.ndarray
    rotation: np.ndarray
    depth: np.ndarray
    anchors: np.ndarray

    @property
    def face_mask(self) -> np.ndarray:
        """bool (S, S), pixels of the face: skin, eyes, brows, nose, mouth."""
        return np.isin(self.regions, FACE_REGIONS)


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
    times = [time.perf_counter()]
    posed = pose(assets, head, attributes)
    view = camera.frame(framing, size * supersample, posed.turned)
    screen, distance = view.project(posed.vertices.numpy())
    order = distance.copy()
    order[: len(assets.recess)] += _recess(assets, attributes)
    times.append(time.perf_counter())
    seen = _rasterise(assets, attributes, screen, order, view.size)
    times.append(time.perf_counter())
    picture, labels = shade(assets, identity, attributes, posed, seen, size, supersample, seed)
    image = encoded(_averaged(picture, size, supersample)).permute(1, 2, 0).numpy()
    depth = torch.full((view.size * view.size,), torch.inf)
    depth[seen.pixel] = seen.depth
    landmarks = camera.frame(framing, size, posed.turned).project(posed.landmarks)[0]
    drawn = Rendering(
        np.ascontiguousarray(image),
        labels.reshape(size, size).numpy(),
        landmarks.astype(np.float32),
        posed.turned.astype(np.float32),
        sampled_depth(seen, assets.triangles, distance, size, supersample),
        place_anchors(
            screen[assets.anchors],
            order[assets.anchors],
            depth.reshape(view.size, view.size).numpy(),
            view.size,
        ),
    )
    times.append(time.perf_counter())
    names = ("geometry", "visibility", "shading")
    return drawn, {name: times[k + 1] - times[k] for k, name in enumerate(names)}


def _check(size: int, supersample: int) -> None:
    if not SIZES[0] <= size <= SIZES[1]:
        raise CharacterError(f"size is {size}; it lies in {SIZES[0]} to {SIZES[1]} pixels")
    if not SUPERSAMPLES[0] <= supersample <= SUPERSAMPLES[1]:
        raise CharacterError(f"supersample is {supersample}; it lies in 1 to 4")


def _recess(assets: Assets, attributes: Attributes) -> np.ndarray:
    """How much further away each vertex of the body is ordered than it is, float32 (V,)."""
    recess = assets.recess.numpy()
    out = attributes.expression.get("tongueOut", 0.0)
    if out:
        recess = recess.copy()
        recess[assets.tongue_vertices.numpy()] *= 1 - out
    return recess


def _rasterise(
    assets: Assets,
    attributes: Attributes,
    screen: np.ndarray,
    distance: np.ndarray,
    size: int,
) -> Fragments:
    material = assets.material.numpy()
    left_out = [
        name
        for name, absent in (
            ("hair", drawn_sheet(attributes) is None),
            ("frame", attributes.glasses == "none"),
            ("lens", attributes.glasses != "shades"),
        )
        if absent
    ]
    chosen = np.flatnonzero(~_is_one_of(material, left_out))
    both = _is_one_of(material[chosen], ["hair", "lash", "lens"])
    seen = rasterise(screen, distance, assets.triangles.numpy()[chosen], both, size)
    triangle = torch.from_numpy(chosen[seen.triangle.numpy()])
    return Fragments(seen.pixel, triangle, seen.weights, seen.depth)


def _is_one_of(material: np.ndarray, names: list[str]) -> np.ndarray:
    wanted = np.zeros(256, bool)
    wanted[[MATERIALS.index(name) for name in names]] = True
    return wanted[material]


def _averaged(picture: torch.Tensor, size: int, factor: int) -> torch.Tensor:
    """Mean over factor x factor blocks in a fixed order: (3, size, size)."""
    grid = picture.reshape(3, size, factor, size, factor)
    total = torch.zeros(3, size, size)
    for row in range(factor):
        for column in range(factor):
            total = total + grid[:, :, row, :, column]
    return total / factor**2
