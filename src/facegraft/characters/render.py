"""Draws a character: a pure function of identity, attributes, size and seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from facegraft.characters import camera, materials
from facegraft.characters.assets import Assets
from facegraft.characters.attributes import Attributes
from facegraft.characters.background import paint_background
from facegraft.characters.colour import encoded
from facegraft.characters.deform import Head, Posed, neutral_head, pose
from facegraft.characters.errors import CharacterError
from facegraft.characters.identity import Identity
from facegraft.characters.lighting import light
from facegraft.characters.raster import Fragments, rasterise
from facegraft.characters.sculpt import MATERIALS
from facegraft.dataset import FACE_REGIONS

SIZES = (16, 1024)
SUPERSAMPLES = (1, 4)
HAIR = MATERIALS.index("hair")


@dataclass(frozen=True)
class Rendering:
    """A picture and what is known about it.

    Attributes:
        image: uint8 (S, S, 3), RGB in [0, 255].
        regions: uint8 (S, S), labels of `dataset.REGIONS`.
        landmarks: float32 (5, 2), x then y in pixels, order of `dataset.LANDMARKS`; points
            that the head itself hides, or outside the frame, are given all the same.
        depth: float32 (S, S), decimetres from the camera, infinite on the background.
    """

    image: np.ndarray
    regions: np.ndarray
    landmarks: np.ndarray
    depth: np.ndarray

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
    _check(size, supersample)
    posed = pose(assets, head, attributes)
    view = camera.frame(framing, size * supersample, posed.turned)
    screen, distance = view.project(posed.vertices.numpy())
    seen = _rasterise(assets, posed, screen, distance, view.size)
    picture, label = shade(assets, identity, attributes, posed, seen, view.size, seed)
    image = encoded(_averaged(picture, size, supersample)).permute(1, 2, 0).numpy()
    depth = torch.full((view.size * view.size,), torch.inf)
    depth[seen.pixel] = seen.depth
    landmarks = camera.frame(framing, size, posed.turned).project(posed.landmarks)[0]
    return Rendering(
        np.ascontiguousarray(image),
        _sampled(label, size, supersample),
        landmarks.astype(np.float32),
        _sampled(depth, size, supersample),
    )


def shade(
    assets: Assets,
    identity: Identity,
    attributes: Attributes,
    posed: Posed,
    seen: Fragments,
    size: int,
    seed: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Linear RGB float32 (3, size * size) and labels uint8 (size * size,)."""
    values = _interpolated(assets, posed, seen)
    material = assets.material.index_select(0, seen.triangle)
    normal = values[10:13]
    normal = normal / (normal * normal).sum(dim=0).clamp_min(1e-12).sqrt()
    normal = normal * torch.where(normal[2] < 0, -1.0, 1.0)
    albedo = torch.zeros_like(normal)
    gloss, shine, soft = torch.zeros(3, normal.shape[1])
    label = torch.zeros(normal.shape[1], dtype=torch.uint8)
    for value, name in enumerate(MATERIALS):
        chosen = torch.nonzero(material == value).flatten()
        if len(chosen) == 0:
            continue
        part = values.index_select(1, chosen)
        finish = _finish(
            name, materials.Surface(part[:3], part[3:8], part[8], part[9]), identity, attributes
        )
        albedo[:, chosen] = finish.albedo
        gloss[chosen], shine[chosen], soft[chosen] = finish.gloss, finish.shine, finish.soft
        label[chosen] = finish.label
    lit = light(attributes, albedo, normal, gloss, shine, soft, material == HAIR)
    picture = paint_background(attributes, size, seed)
    picture[:, seen.pixel] = lit.clamp(0, 1)
    labels = torch.zeros(size * size, dtype=torch.uint8)
    labels[seen.pixel] = label
    return picture, labels


def _check(size: int, supersample: int) -> None:
    if not SIZES[0] <= size <= SIZES[1]:
        raise CharacterError(f"size is {size}; it lies in {SIZES[0]} to {SIZES[1]} pixels")
    if not SUPERSAMPLES[0] <= supersample <= SUPERSAMPLES[1]:
        raise CharacterError(f"supersample is {supersample}; it lies in 1 to 4")


def _rasterise(
    assets: Assets, posed: Posed, screen: np.ndarray, distance: np.ndarray, size: int
) -> Fragments:
    material = assets.material.numpy()
    wanted = material != HAIR if posed.bald else np.ones(len(material), bool)
    chosen = np.flatnonzero(wanted)
    seen = rasterise(
        screen,
        distance,
        assets.triangles.numpy()[chosen],
        np.isin(material[chosen], (HAIR, MATERIALS.index("lash"))),
        size,
    )
    triangle = torch.from_numpy(chosen[seen.triangle.numpy()])
    return Fragments(seen.pixel, triangle, seen.weights, seen.depth)


def _interpolated(assets: Assets, posed: Posed, seen: Fragments) -> torch.Tensor:
    """Per pixel (13, N): rest position, masks, scalp, cloth, normal."""
    table = torch.cat([assets.surface, posed.extra, posed.normals], dim=1)
    corner = assets.triangles.index_select(0, seen.triangle)
    total = table.index_select(0, corner[:, 0]) * seen.weights[0][:, None]
    for k in (1, 2):
        total += table.index_select(0, corner[:, k]) * seen.weights[k][:, None]
    return total.t().contiguous()


def _finish(
    name: str, surface: materials.Surface, identity: Identity, attributes: Attributes
) -> materials.Finish:
    if name == "skin":
        return materials.skin(surface, identity, attributes)
    if name == "eye":
        return materials.eye(surface, identity)
    if name == "hair":
        return materials.hair(surface, attributes)
    return {"teeth": materials.teeth, "tongue": materials.tongue, "lash": materials.lash}[name](
        surface
    )


def _averaged(picture: torch.Tensor, size: int, factor: int) -> torch.Tensor:
    """Mean over factor x factor blocks in a fixed order: (3, size, size)."""
    grid = picture.reshape(3, size, factor, size, factor)
    total = torch.zeros(3, size, size)
    for row in range(factor):
        for column in range(factor):
            total = total + grid[:, :, row, :, column]
    return total / factor**2


def _sampled(values: torch.Tensor, size: int, factor: int) -> np.ndarray:
    """The sample nearest to each pixel's centre, (size, size)."""
    grid = values.reshape(size, factor, size, factor)
    return np.ascontiguousarray(grid[:, factor // 2, :, factor // 2].numpy())
