"""A picture is drawn with several samples per pixel; labels are read at one of them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from facegraft.characters.raster import Fragments


def places_of(mask: np.ndarray) -> torch.Tensor:
    """Where a mask bool (N,) is true, int64, ascending; far quicker than `torch.nonzero`."""
    return torch.from_numpy(np.flatnonzero(mask))


@lru_cache(maxsize=8)
def centre_samples(size: int, factor: int) -> torch.Tensor:
    """bool ((size * factor) ** 2,), the sample nearest to each pixel's centre."""
    middle = torch.arange(size * factor) % factor == factor // 2
    return (middle[:, None] & middle[None, :]).flatten()


def pixels_of(sample: torch.Tensor, size: int, factor: int) -> torch.Tensor:
    """The pixel, row * size + column, that each sample lies in, int64 (N,)."""
    row = torch.div(sample, size * factor, rounding_mode="floor")
    column = sample - row * size * factor
    return torch.div(row, factor, rounding_mode="floor") * size + torch.div(
        column, factor, rounding_mode="floor"
    )


def sampled_depth(
    seen: Fragments, triangles: torch.Tensor, distance: np.ndarray, size: int, factor: int
) -> np.ndarray:
    """Distance from the camera at each pixel's centre, float32 (size, size), infinite where empty.

    Args:
        seen: what a picture of `size * factor` shows.
        triangles: int64 (T, 3); distance: (V,), of every vertex.
    """
    chosen = places_of(centre_samples(size, factor).index_select(0, seen.pixel).numpy())
    corner = triangles.index_select(0, seen.triangle.index_select(0, chosen)).numpy()
    weight = seen.weights.index_select(1, chosen).numpy()
    depth = np.full(size * size, np.inf, np.float32)
    place = pixels_of(seen.pixel.index_select(0, chosen), size, factor).numpy()
    depth[place] = (distance[corner] * weight.T).sum(axis=1)
    return depth.reshape(size, size)
