"""Colours and labels of the pixels that the rasteriser found.

Works through the samples in blocks, which bounds memory and keeps the working set small: the
operations are many and simple, so memory traffic is what they cost.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
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
from facegraft.characters.sculpt import MATERIALS
from facegraft.characters.surface import Surface

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
    empty = torch.nonzero(~covered).flatten()
    _put(picture, empty, paint_background(attributes, empty, wide, seed))
    labels = torch.zeros(size * size, dtype=torch.uint8)
    table = torch.cat([assets.surface, posed.extra, posed.normals], dim=1).t().contiguous()
    corners = [assets.triangles[:, k].contiguous() for k in range(3)]
    material = assets.material.index_select(0, seen.triangle)
    order = torch.from_numpy(np.argsort(material.numpy(), kind="stable"))
    for block in order.split(BLOCK):
        kind = material.index_select(0, block)
        pixel = seen.pixel.index_select(0, block)
        triangle = seen.triangle.index_select(0, block)
        corner = torch.stack([c.index_select(0, triangle) for c in corners])
        surface = Surface(table, corner, seen.weights.index_select(1, block))
        _put(picture, pixel, _lit(surface, kind, identity, attributes))
        chosen = torch.nonzero(_label_samples(size, factor).index_select(0, pixel)).flatten()
        place = _label_places(pixel.index_select(0, chosen), size, factor)
        labels[place] = label_pixels(surface.take(chosen), kind[chosen], identity, attributes)
    return picture, labels


def _put(picture: torch.Tensor, pixel: torch.Tensor, light: torch.Tensor) -> None:
    """Write linear RGB (3, N) at pixels (N,) of a picture (3, M), in place."""
    for channel in range(3):
        picture[channel].index_copy_(0, pixel, light[channel])


def _lit(
    surface: Surface, kind: torch.Tensor, identity: Identity, attributes: Attributes
) -> torch.Tensor:
    """Linear RGB (3, N) of pixels sorted by material `kind`."""
    normal = torch.stack(surface.columns("normal_x", "normal_y", "normal_z"))
    normal *= _facing_camera(normal)
    albedo = torch.empty_like(normal)
    gloss, shine, soft = torch.empty_like(normal)
    slices = _slices(kind)
    for name, span in slices.items():
        finish = materials.finish(name, surface.part(span), identity, attributes)
        albedo[:, span] = finish.albedo
        gloss[span], shine[span], soft[span] = finish.gloss, finish.shine, finish.soft
    hair = slices.get("hair", slice(0, 0))
    open_sky = surface.column("light")
    return light(attributes, albedo, normal, gloss, shine, soft, open_sky, hair)


def _slices(kind: torch.Tensor) -> dict[str, slice]:
    """Where each material lies in sorted `kind`."""
    bounds = np.searchsorted(kind.numpy(), np.arange(len(MATERIALS) + 1))
    return {
        name: slice(int(bounds[value]), int(bounds[value + 1]))
        for value, name in enumerate(MATERIALS)
        if bounds[value + 1] > bounds[value]
    }


def _facing_camera(normal: torch.Tensor) -> torch.Tensor:
    """Factor (N,) that makes normals unit length and turns them towards the camera."""
    x, y, z = normal
    inverse = (x * x + y * y + z * z).clamp_min_(1e-12).rsqrt()
    return torch.where(z < 0, -inverse, inverse)


@lru_cache(maxsize=8)
def _label_samples(size: int, factor: int) -> torch.Tensor:
    """bool ((size * factor) ** 2,), the sample that each pixel's label is read at."""
    middle = torch.arange(size * factor) % factor == factor // 2
    return (middle[:, None] & middle[None, :]).flatten()


def _label_places(pixel: torch.Tensor, size: int, factor: int) -> torch.Tensor:
    """Where samples `pixel` lie in the label map (size * size,)."""
    row = torch.div(pixel, size * factor, rounding_mode="floor")
    column = pixel - row * size * factor
    return (row // factor) * size + column // factor
