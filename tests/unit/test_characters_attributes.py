"""Attributes: every parameter is named and bounded."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from facegraft.characters import (
    EXPRESSION_NAMES,
    EXPRESSIONS,
    Attributes,
    CharacterError,
    attribute_code,
    attribute_values,
    load_assets,
    sample_attributes,
)
from facegraft.characters.attributes import (
    CHOICES,
    COLOURS,
    COMMON_HAIR_STYLES,
    RANGES,
    RESERVED_HAIR_STYLES,
)
from facegraft.characters.expressions import COMMON_SHAPES, RESERVED_SHAPES
from facegraft.characters.hairstyles import HAIR_STYLES


@pytest.mark.parametrize("name", RANGES)
def test_a_scalar_beyond_its_range_is_refused(name):
    low, high = RANGES[name]
    for value in (low - 0.01, high + 0.01, float("nan")):
        with pytest.raises(CharacterError, match=f"attribute {name} is"):
            Attributes(**{name: value})
    assert getattr(Attributes(**{name: high}), name) == high


@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_word_is_refused(name):
    with pytest.raises(CharacterError, match=f"attribute {name} is 'nonsense'; choose from"):
        Attributes(**{name: "nonsense"})


@pytest.mark.parametrize("name", COLOURS)
def test_a_colour_out_of_range_is_refused(name):
    with pytest.raises(CharacterError, match=f"attribute {name}"):
        Attributes(**{name: (0.5, 1.2, 0.5)})


def test_expressions_are_checked():
    with pytest.raises(CharacterError, match="unknown expression 'grin'"):
        Attributes(expression={"grin": 0.5})
    with pytest.raises(CharacterError, match=r"jawOpen is 1\.5"):
        Attributes(expression={"jawOpen": 1.5})


def test_the_expression_cannot_be_changed_in_place():
    with pytest.raises(TypeError):
        Attributes(expression={"jawOpen": 0.5}).expression["jawOpen"] = 0.0


def test_attributes_survive_pickling():
    attributes = sample_attributes(np.random.default_rng(3))
    assert attribute_values(pickle.loads(pickle.dumps(attributes))) == attribute_values(attributes)


def test_expression_names_are_those_of_the_assets():
    assert tuple(load_assets().expression_names) == EXPRESSION_NAMES
    assert len(EXPRESSION_NAMES) == 52
    assert all(set(blend) <= set(EXPRESSION_NAMES) for blend in EXPRESSIONS.values())


def test_there_are_a_dozen_hair_styles_with_bald():
    assert len(HAIR_STYLES) >= 12
    assert HAIR_STYLES["bald"] is None


def test_sampling_shows_every_word_and_any_pose_most_often_near_frontal():
    rng = np.random.default_rng(0)
    sampled = [sample_attributes(rng) for _ in range(2000)]
    for name, near in (("yaw", 20), ("pitch", 8), ("roll", 8)):
        values = np.abs([getattr(one, name) for one in sampled])
        assert values.max() > 0.7 * RANGES[name][1]
        assert (values < near).mean() > 0.8
    for name, words in CHOICES.items():
        kept_back = RESERVED_HAIR_STYLES if name == "hair_style" else ()
        assert {getattr(one, name) for one in sampled} == set(words) - set(kept_back)
    shown = {shape for one in sampled for shape in one.expression}
    assert shown == set(EXPRESSION_NAMES) - set(RESERVED_SHAPES)


def test_a_reserved_set_has_a_reserved_hair_style_and_clearly_a_reserved_movement():
    rng = np.random.default_rng(0)
    sampled = [sample_attributes(rng, reserved=True) for _ in range(400)]
    assert {one.hair_style for one in sampled} == set(RESERVED_HAIR_STYLES)
    strongest = [max(one.expression.get(k, 0) for k in RESERVED_SHAPES) for one in sampled]
    assert min(strongest) >= 0.5
    assert {s for one in sampled for s in one.expression} > set(RESERVED_SHAPES)


def test_what_is_reserved_leaves_the_rest_rich():
    assert "bald" not in RESERVED_HAIR_STYLES
    assert len(COMMON_HAIR_STYLES) >= 12
    assert len(COMMON_SHAPES) >= 40
    for blend in EXPRESSIONS.values():
        assert not blend or set(blend) - set(RESERVED_SHAPES)


def test_values_have_the_same_names_for_all():
    rng = np.random.default_rng(1)
    rows = [attribute_values(sample_attributes(rng)) for _ in range(5)]
    assert all(list(row) == list(rows[0]) for row in rows)
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    assert sum(name.startswith("expression.") for name in rows[0]) == 52


def test_the_code_tells_every_parameter():
    base = Attributes()
    code = attribute_code(base)
    assert code.dtype == np.float32
    for name, (low, high) in RANGES.items():
        value = low if getattr(base, name) != low else high
        assert (attribute_code(replace(base, **{name: value})) != code).sum() == 1
    for name, words in CHOICES.items():
        word = next(word for word in words if word != getattr(base, name))
        assert (attribute_code(replace(base, **{name: word})) != code).sum() == 2
    for name in COLOURS:
        assert (attribute_code(replace(base, **{name: (0.01, 0.02, 0.03)})) != code).sum() == 3


def test_the_code_is_about_unit_scale():
    rng = np.random.default_rng(2)
    codes = np.stack([attribute_code(sample_attributes(rng)) for _ in range(100)])
    assert np.abs(codes).max() <= 2
    assert 0.3 < codes.std() < 1.5
