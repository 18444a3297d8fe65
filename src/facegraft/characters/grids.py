"""Grids of identities x attribute sets, drawn so that no split or grid shares a row or column."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from facegraft.characters.assets import Assets
from facegraft.characters.attributes import (
    Attributes,
    attribute_code,
    attribute_code_groups,
    sample_attributes,
)
from facegraft.characters.contours import STROKES
from facegraft.characters.deform import neutral_head
from facegraft.characters.errors import CharacterError
from facegraft.characters.identity import (
    IDENTITY_CODE_GROUPS,
    Identity,
    identity_code,
    sample_identity,
)
from facegraft.characters.regions import CODE_GROUPS
from facegraft.characters.render import render_head
from facegraft.data.grids import Grid, Mix, image_key

BENCHMARK = "benchmark"
"""The split whose hair styles and expressions are reserved: no other split ever draws them."""

SPLITS = ("train", "validation", "test", BENCHMARK)


@dataclass(frozen=True)
class GridSpec:
    """What one grid shows.

    Attributes:
        name: e.g. "train-003".
        split: one of `SPLITS`.
        identities, attributes: rows and columns.
        identity_ids, attribute_ids: their ids, unique over all splits and grids.
        mixes: the rows that are made of two others; they come last.
    """

    name: str
    split: str
    identities: tuple[Identity, ...]
    attributes: tuple[Attributes, ...]
    identity_ids: tuple[str, ...]
    attribute_ids: tuple[str, ...]
    mixes: tuple[Mix, ...] = ()


def draw_split(
    assets: Assets,
    seed: int,
    split: str,
    grids: int,
    identities: int,
    attributes: int,
    mixes: int = 0,
) -> list[GridSpec]:
    """Draw the grids of a split.

    Each grid draws from its own seed sequence, keyed by (seed, split, grid), so that asking
    for more grids never changes the first ones, and no split or grid repeats another's draws.

    Args:
        identities: rows of a grid, of which the last `mixes` are made of two others.

    Raises:
        CharacterError: the split is unknown, or fewer than two rows are left to mix.
    """
    if split not in SPLITS:
        raise CharacterError(f"unknown split {split!r}; choose from {', '.join(SPLITS)}")
    if mixes and identities - mixes < 2:
        raise CharacterError(f"{mixes} mixes leave fewer than 2 of {identities} identities to mix")
    return [
        _draw_grid(assets, seed, split, number, identities, attributes, mixes)
        for number in range(grids)
    ]


def _draw_grid(
    assets: Assets,
    seed: int,
    split: str,
    number: int,
    identities: int,
    attributes: int,
    mixes: int,
) -> GridSpec:
    name = f"{split}-{number:03d}"
    key = [seed, zlib.crc32(split.encode()), number]
    rows = np.random.SeedSequence([*key, 0]).spawn(identities - mixes)
    columns = np.random.SeedSequence([*key, 1]).spawn(attributes)
    own = {} if split == BENCHMARK else assets.own_words  # the same benchmark for all
    people = [sample_identity(assets, np.random.default_rng(s)) for s in rows]
    made = _draw_mixes(np.random.default_rng([*key, 2]), number, len(people), mixes)
    mixed = [people[m.base].mix(people[m.donor], CODE_GROUPS[m.region]) for m in made]
    return GridSpec(
        name=name,
        split=split,
        identities=(*people, *mixed),
        attributes=tuple(
            sample_attributes(np.random.default_rng(s), own, reserved=split == BENCHMARK)
            for s in columns
        ),
        identity_ids=tuple(f"{name}-i{k:02d}" for k in range(identities)),
        attribute_ids=tuple(f"{name}-a{k:02d}" for k in range(attributes)),
        mixes=made,
    )


def _draw_mixes(rng: np.random.Generator, number: int, people: int, mixes: int) -> tuple[Mix, ...]:
    """Whom the last rows are made of; the regions go round over the rows of all grids."""
    regions = tuple(CODE_GROUPS)
    drawn = []
    for k in range(mixes):
        base, donor = (int(row) for row in rng.choice(people, 2, replace=False))
        region = regions[(number * mixes + k) % len(regions)]
        drawn.append(Mix(row=people + k, base=base, donor=donor, region=region))
    return tuple(drawn)


def render_grid(assets: Assets, spec: GridSpec, size: int, supersample: int) -> Grid:
    """Draw every cell of a grid; see `facegraft.data.grids.Grid` for shapes.

    Raises:
        CharacterError: size or supersample is out of range.
    """
    rows, columns = len(spec.identities), len(spec.attributes)
    images = np.zeros((rows, columns, 3, size, size), np.uint8)
    regions = np.zeros((rows, columns, size, size), np.uint8)
    landmarks = np.zeros((rows, columns, 5, 2), np.float32)
    anchors = np.zeros((rows, columns, len(assets.anchors) + STROKES, 3), np.float16)
    keys = np.empty((rows, columns), object)
    for i, identity in enumerate(spec.identities):
        head = neutral_head(assets, identity)
        for a, attributes in enumerate(spec.attributes):
            drawn = render_head(assets, head, identity, attributes, size, supersample=supersample)
            images[i, a] = drawn.image.transpose(2, 0, 1)
            regions[i, a] = drawn.regions
            landmarks[i, a] = drawn.landmarks
            anchors[i, a] = drawn.anchors
            keys[i, a] = image_key(spec.name, i, a)
    return Grid(
        name=spec.name,
        images=images,
        regions=regions,
        landmarks=landmarks,
        anchors=anchors,
        identity_ids=spec.identity_ids,
        attribute_ids=spec.attribute_ids,
        identity_code=np.stack([identity_code(assets, one) for one in spec.identities]),
        attribute_code=np.stack([attribute_code(one) for one in spec.attributes]),
        keys=keys,
        identity_groups=_bounds(IDENTITY_CODE_GROUPS(assets)),
        attribute_groups=_bounds(attribute_code_groups()),
        mixes=spec.mixes,
        anchor_set=assets.anchor_set,
        strokes=STROKES,
    )


def _bounds(groups: dict[str, slice]) -> dict[str, tuple[int, int]]:
    return {name: (part.start, part.stop) for name, part in groups.items()}
