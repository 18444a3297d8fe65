"""Grids: every split and grid has its own people and its own attribute sets."""

import numpy as np
import pytest

from facegraft.characters import (
    CharacterError,
    attribute_values,
    draw_split,
    identity_values,
    load_assets,
    render,
    render_grid,
)
from facegraft.characters.attributes import RESERVED_HAIR_STYLES
from facegraft.characters.expressions import RESERVED_SHAPES


@pytest.fixture(scope="module")
def assets():
    return load_assets()


def _fingerprints(specs):
    people = [tuple(identity_values(one).values()) for spec in specs for one in spec.identities]
    looks = [tuple(attribute_values(one).values()) for spec in specs for one in spec.attributes]
    return people, looks


def test_splits_and_grids_share_no_identity_and_no_attribute_set(assets):
    specs = [
        spec for split in ("train", "validation", "test", "benchmark") for spec in
        draw_split(assets, 7, split, 3, 4, 4)
    ]  # fmt: skip
    people, looks = _fingerprints(specs)
    assert len(set(people)) == len(people) == 48
    assert len(set(looks)) == len(looks) == 48
    ids = [one for spec in specs for one in spec.identity_ids + spec.attribute_ids]
    assert len(set(ids)) == len(ids)


def test_drawing_is_deterministic_and_stable_when_more_is_asked(assets):
    few = draw_split(assets, 7, "train", 1, 2, 2)
    many = draw_split(assets, 7, "train", 2, 3, 3)
    assert _fingerprints(few)[0] == _fingerprints(many)[0][:2]
    assert _fingerprints(few)[1] == _fingerprints(many)[1][:2]
    other = draw_split(assets, 8, "train", 1, 2, 2)
    assert not set(_fingerprints(few)[0]) & set(_fingerprints(other)[0])


@pytest.mark.parametrize("split", ["train", "validation", "test", "benchmark"])
def test_only_the_benchmark_draws_what_is_reserved(assets, split):
    looks = [one for spec in draw_split(assets, 7, split, 12, 2, 4) for one in spec.attributes]
    for one in looks:
        reserved = one.hair_style in RESERVED_HAIR_STYLES
        moves = any(one.expression.get(shape, 0) >= 0.5 for shape in RESERVED_SHAPES)
        assert reserved == moves == (split == "benchmark")
        assert split == "benchmark" or not set(one.expression) & set(RESERVED_SHAPES)


def test_an_unknown_split_is_refused(assets):
    with pytest.raises(CharacterError, match="unknown split 'dev'; choose from train"):
        draw_split(assets, 7, "dev", 1, 2, 2)


def test_a_grid_holds_the_rendered_cells(assets):
    (spec,) = draw_split(assets, 7, "test", 1, 2, 2)
    grid = render_grid(assets, spec, 32, 2)
    assert grid.images.shape == (2, 2, 3, 32, 32)
    assert grid.images.dtype == np.uint8
    assert grid.regions.shape == (2, 2, 32, 32)
    assert grid.landmarks.shape == (2, 2, 5, 2)
    assert grid.keys[1, 0] == "test-000/i01/a00"
    assert grid.identity_ids == ("test-000-i00", "test-000-i01")
    alone = render(assets, spec.identities[1], spec.attributes[0], 32)
    assert (grid.images[1, 0] == alone.image.transpose(2, 0, 1)).all()
    assert (grid.regions[1, 0] == alone.regions).all()
    assert not (grid.identity_code[0] == grid.identity_code[1]).all()
