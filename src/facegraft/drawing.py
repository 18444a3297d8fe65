"""Draw one grid of the default dataset: a pure function of params, split and index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facegraft.characters import (
    Assets,
    Attributes,
    Identity,
    attribute_code,
    attribute_values,
    identity_code,
    identity_values,
    render,
    sample_attributes,
    sample_identity,
)
from facegraft.config import DataParams
from facegraft.dataset import Grid, image_key

SPLIT_SEED = {"train": 0, "validation": 1, "test": 2}
"""Part of the seed: no two splits draw the same identity or attribute set."""


@dataclass(frozen=True)
class DrawnGrid:
    """A grid with the parameters of its rows and columns, by name."""

    grid: Grid
    identities: Sequence[Mapping[str, float]]
    attributes: Sequence[Mapping[str, float]]


def grid_name(split: str, index: int) -> str:
    return f"{split}-{index:03d}"


def draw_grid(assets: Assets, params: DataParams, split: str, index: int) -> DrawnGrid:
    """Render identities x attribute sets.

    The same arguments give the same pixels, whatever else is drawn and in which process.
    """
    name = grid_name(split, index)
    rng = np.random.default_rng([params.seed, SPLIT_SEED[split], index])
    identities = [sample_identity(assets, rng) for _ in range(params.identities)]
    attributes = [sample_attributes(rng) for _ in range(params.attributes)]
    images, regions, landmarks = _render_all(assets, params, identities, attributes)
    shape = images.shape[:2]
    keys = [[image_key(name, i, a) for a in range(shape[1])] for i in range(shape[0])]
    grid = Grid(
        name=name,
        images=images,
        regions=regions,
        landmarks=landmarks,
        identity_ids=tuple(f"{name}/i{i:02d}" for i in range(shape[0])),
        attribute_ids=tuple(f"{name}/a{a:02d}" for a in range(shape[1])),
        identity_code=np.stack([identity_code(assets, one) for one in identities]),
        attribute_code=np.stack([attribute_code(one) for one in attributes]),
        keys=np.array(keys, object),
    )
    return DrawnGrid(
        grid=grid,
        identities=[identity_values(one) for one in identities],
        attributes=[attribute_values(one) for one in attributes],
    )


def _render_all(
    assets: Assets,
    params: DataParams,
    identities: Sequence[Identity],
    attributes: Sequence[Attributes],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """uint8 (I, A, 3, S, S), uint8 (I, A, S, S), float32 (I, A, 5, 2)."""
    shape = (len(identities), len(attributes))
    images = np.empty((*shape, 3, params.size, params.size), np.uint8)
    regions = np.empty((*shape, params.size, params.size), np.uint8)
    landmarks = np.empty((*shape, 5, 2), np.float32)
    for i, identity in enumerate(identities):
        for a, attribute_set in enumerate(attributes):
            drawn = render(
                assets, identity, attribute_set, params.size, supersample=params.supersample
            )
            images[i, a] = drawn.image.transpose(2, 0, 1)
            regions[i, a] = drawn.regions
            landmarks[i, a] = drawn.landmarks
    return images, regions, landmarks
