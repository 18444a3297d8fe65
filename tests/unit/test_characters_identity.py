"""Identity: regions, bounds and the code that summarises it."""

import numpy as np
import pytest

from facegraft.characters import (
    IDENTITY_CODE_GROUPS,
    IDENTITY_REGIONS,
    CharacterError,
    Identity,
    identity_code,
    identity_values,
    load_assets,
    neutral_head,
    sample_identity,
)
from tests.synthetic import displacement


@pytest.fixture(scope="module")
def assets():
    return load_assets()


@pytest.fixture(scope="module")
def pair(assets):
    return tuple(sample_identity(assets, np.random.default_rng(seed)) for seed in (1, 2))


def _support(assets, region):
    """Vertices that some axis of the region can move."""
    moved = np.zeros(len(assets.rest), bool)
    for item, name in enumerate(assets.identity_names):
        if name.startswith(f"{region}/"):
            for morphs in (assets.up, assets.down):
                moved |= np.abs(displacement(morphs, item, len(moved))).max(axis=1) > 0
    return moved


@pytest.mark.parametrize("region", IDENTITY_REGIONS)
def test_mix_moves_only_the_vertices_of_its_region(assets, pair, region):
    first, second = pair
    before = neutral_head(assets, first).neutral.numpy()
    after = neutral_head(assets, first.mix(second, [region])).neutral.numpy()
    moved = np.abs(after - before).max(axis=1) > 1e-5
    support = _support(assets, region)
    assert moved.any()
    assert not (moved & ~support).any()


def test_local_regions_leave_most_of_the_head_alone(assets):
    for region in ("eyes", "brows", "nose", "mouth", "ears"):
        assert _support(assets, region).mean() < 0.45


def test_mixing_every_region_gives_the_other(pair):
    first, second = pair
    mixed = first.mix(second, IDENTITY_REGIONS)
    assert identity_values(mixed) == identity_values(second)


def test_mixing_nothing_gives_the_same(pair):
    assert identity_values(pair[0].mix(pair[1], [])) == identity_values(pair[0])


def test_paint_belongs_to_its_region(pair):
    first, second = pair
    eyes = first.mix(second, ["eyes"])
    assert (eyes.iris_hue, eyes.brow_arch) == (second.iris_hue, first.brow_arch)


def test_an_unknown_region_is_refused(pair):
    with pytest.raises(CharacterError, match="unknown region 'chins'; choose from face_shape"):
        pair[0].mix(pair[1], ["chins"])


def test_parameters_out_of_bounds_are_refused(pair):
    first = pair[0]
    with pytest.raises(CharacterError, match=r"\[-1, 1\]"):
        Identity(first.names, first.axes * 0 + 1.5)
    with pytest.raises(CharacterError, match=r"\[-1, 1\]"):
        Identity(first.names, first.axes, iris_hue=float("nan"))
    with pytest.raises(CharacterError, match="axes"):
        Identity(first.names, first.axes[:-1])


def test_an_identity_cannot_be_changed_in_place(pair):
    with pytest.raises(ValueError, match="read-only"):
        pair[0].axes[0] = 0.0


def test_sampling_is_a_function_of_the_generator(assets):
    first, again = (sample_identity(assets, np.random.default_rng(7)) for _ in range(2))
    assert identity_values(first) == identity_values(again)


def test_groups_cover_the_code_without_overlap(assets, pair):
    groups = IDENTITY_CODE_GROUPS(assets)
    assert list(groups) == ["face_shape", "eyes", "brows", "nose", "mouth"]
    covered = np.concatenate([np.arange(part.start, part.stop) for part in groups.values()])
    assert covered.tolist() == list(range(len(identity_code(assets, pair[0]))))


@pytest.mark.parametrize("region", ["eyes", "brows", "nose", "mouth", "face_shape"])
def test_mixing_a_region_changes_only_its_part_of_the_code(assets, pair, region):
    first, second = pair
    code, goal = identity_code(assets, first), identity_code(assets, second)
    mixed = identity_code(assets, first.mix(second, [region]))
    for group, part in IDENTITY_CODE_GROUPS(assets).items():
        if group == "face_shape" and region == "face_shape":
            assert not np.allclose(mixed[part], code[part])  # the ears stay behind
        else:
            assert (mixed[part] == (goal if group == region else code)[part]).all()


def test_the_code_has_about_unit_variance_with_larger_changes_first(assets):
    rng = np.random.default_rng(0)
    codes = np.stack([identity_code(assets, sample_identity(assets, rng)) for _ in range(200)])
    for part in IDENTITY_CODE_GROUPS(assets).values():
        assert 0.5 < codes[:, part].var(axis=0).mean() < 3.0
    shape = codes[:, IDENTITY_CODE_GROUPS(assets)["nose"]].std(axis=0)
    assert shape[:3].min() > shape[-3:].max()


def test_the_code_of_the_mean_head_is_zero(assets):
    mean = Identity(assets.identity_names, np.zeros(len(assets.identity_names), np.float32))
    assert (identity_code(assets, mean) == 0).all()


def test_values_are_named_and_complete(assets, pair):
    values = identity_values(pair[0])
    assert set(assets.identity_names) < set(values)
    assert len(values) == len(assets.identity_names) + 6
    assert all(isinstance(value, float) and abs(value) <= 1 for value in values.values())
