"""Colours and labels of the pixels that the rasteriser found.

Works through the samples in blocks, which bounds memory and keeps the working set small: the
operations are many and simple, so memory traffic is what they cost.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from facegraft.characters import materials
from facegraft.characters.assets import Assets
from facegraft.characters.attributes import Attributes
from facegraft.characters.background import paint_background
from facegraft.characters.deform import Posed
from facegraft.characters.identity import Identity
from facegraft.characters.labels import label_pixels
from facegraft.characters.lighting import light
from facegraft.characters.raster import Fragments
from facegraft.characters.sampling import centre_samples, pixels_of, places_of
from facegraft.characters.sculpt import MATERIALS
from facegraft.characters.skins import require_skin
from facegraft.characters.surface import Surface
from facegraft.characters.wearing import first_triangles

BLOCK = 65536
"""Samples shaded at a time: enough to drown the cost of starting an operation."""


def shade(
    assets: Assets,
    identity: Identity,
    attributes: Attributes,
    posed: Posed,
    seen: Fragments,
    size: int,
    factor: int,
    seed: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Light every sample, label every pixel.

    Args:
        seen: what a picture of `size * factor` shows.
        size: pixels of the final picture; factor: samples per pixel and axis.

    Returns:
        Linear RGB float32 (3, (size * factor) ** 2), and labels uint8 (size * size,) read at the
        sample nearest to each pixel's centre.
    """
    wide = size * factor
    picture = torch.empty(3, wide * wide)
    covered = torch.zeros(wide * wide, dtype=torch.bool)
    covered[seen.pixel] = True
    empty = places_of(~covered.numpy())
    _put(picture, empty, paint_background(attributes, empty, wide, seed))
    labels = torch.zeros(size * size, dtype=torch.uint8)
    table = torch.cat([assets.surface, posed.extra, posed.normals], dim=1).t().contiguous()
    corners = [assets.triangles[:, k].int() for k in range(3)]
    texture = require_skin(assets.skins, attributes.skin_texture)
    worn = dict(zip((item.material for item in assets.worn), assets.worn, strict=True))
    starts = dict(zip(worn, first_triangles(assets), strict=True))
    for name, places in _by_material(assets.material.index_select(0, seen.triangle)):
        pixel = seen.pixel.index_select(0, places)
        triangle = seen.triangle.index_select(0, places)
        surface = Surface(table, corners, triangle, seen.weights.index_select(1, places))
        detail = None
        if name == "skin" and texture is not None:
            detail = texture.at(surface.texture_place(assets.corner_texture))
        elif name in worn:
            place = surface.texture_place(worn[name].corner_texture, starts[name])
            detail = worn[name].texture.at(place)
        _put(picture, pixel, _lit(name, surface, identity, attributes, detail))
        chosen = places_of(centre_samples(size, factor).index_select(0, pixel).numpy())
        place = pixels_of(pixel.index_select(0, chosen), size, factor)
        labels[place] = label_pixels(name, surface.take(chosen), identity, attributes)
    return picture, labels


def _by_material(material: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Names of materials and blocks of the places, ascending, at which `material` has them."""
    kinds = material.numpy()
    for value, name in enumerate(MATERIALS):
        for block in places_of(kinds == value).split(BLOCK):
            if len(block):
                yield name, block


def _put(picture: torch.Tensor, pixel: torch.Tensor, light: torch.Tensor) -> None:
    """Write linear RGB (3, N) at pixels (N,) of a picture (3, M), in place."""
    for channel in range(3):
        picture[channel].index_copy_(0, pixel, light[channel])


def _lit(
    material: str,
    surface: Surface,
    identity: Identity,
    attributes: Attributes,
    detail: torch.Tensor | None,
) -> torch.Tensor:
    """Linear RGB (3, N) of pixels of one material."""
    normal = surface.normals()
    normal *= _facing_camera(normal)
    finish = materials.finish(material, surface, identity, attributes, detail)
    open_sky = surface.column("light") if material == "skin" else 1.0
    strands = material in ("hair", "hair_asset")
    return light(attributes, finish, normal, open_sky, strands)


def _facing_camera(normal: torch.Tensor) -> torch.Tensor:
    """Factor (N,) that makes normals unit length and turns them towards the camera."""
    x, y, z = normal
    inverse = (x * x + y * y + z * z).clamp_min_(1e-12).rsqrt()
    return inverse.mul_(1 - 2 * (z < 0).float())
