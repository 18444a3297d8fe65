"""What holds for every character that can be drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegraft.characters import (
    IDENTITY_REGIONS,
    attribute_code,
    identity_code,
    identity_values,
    load_assets,
    render,
    sample_attributes,
    sample_identity,
)
from facegraft.characters.attributes import COLOURS, RANGES
from facegraft.data.grids import FACE_REGIONS, REGIONS

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def assets():
    return load_assets()


@given(seed=SEEDS)
@settings(max_examples=100, deadline=None)
def test_sampled_attributes_keep_to_their_bounds(seed):
    attributes = sample_attributes(np.random.default_rng(seed))
    for name, (low, high) in RANGES.items():
        assert low <= getattr(attributes, name) <= high
    for name in COLOURS:
        assert all(0 <= part <= 1 for part in getattr(attributes, name))
    assert np.isfinite(attribute_code(attributes)).all()


@given(seed=SEEDS)
@settings(max_examples=50, deadline=None)
def test_sampled_identities_keep_to_their_bounds(assets, seed):
    identity = sample_identity(assets, np.random.default_rng(seed))
    assert all(abs(value) <= 1 for value in identity_values(identity).values())
    assert np.isfinite(identity_code(assets, identity)).all()


@given(
    seeds=st.tuples(SEEDS, SEEDS),
    regions=st.sets(st.sampled_from(IDENTITY_REGIONS)),
)
@settings(max_examples=50, deadline=None)
def test_mixing_is_undone_by_mixing_back(assets, seeds, regions):
    first, second = (sample_identity(assets, np.random.default_rng(seed)) for seed in seeds)
    rest = set(IDENTITY_REGIONS) - regions
    mixed = first.mix(second, regions)
    assert identity_values(mixed) == identity_values(second.mix(first, rest))
    assert identity_values(mixed.mix(first, regions)) == identity_values(first)


@given(
    seed=SEEDS, size=st.sampled_from([16, 33, 64]), framing=st.sampled_from(["crop", "portrait"])
)
@settings(max_examples=15, deadline=None)
def test_any_character_can_be_drawn(assets, seed, size, framing):
    rng = np.random.default_rng(seed)
    drawn = render(
        assets, sample_identity(assets, rng), sample_attributes(rng), size, framing=framing
    )
    assert drawn.image.shape == (size, size, 3)
    assert int(drawn.regions.max()) < len(REGIONS)
    assert np.isfinite(drawn.landmarks).all()
    assert np.isin(drawn.regions, FACE_REGIONS).any()
    assert drawn.image.std() > 3
