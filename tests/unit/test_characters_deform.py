"""From identity and attributes to a posed mesh."""

from dataclasses import replace

import numpy as np
import pytest

from facegraft.characters import Attributes, load_assets, neutral_head, sample_identity
from facegraft.characters.deform import COSTUME_SWELL, PHILTRUM, pose
from facegraft.characters.expressions import EXPRESSIONS
from facegraft.characters.glasses import BARS, RIM, TEMPLE, VERTICES


@pytest.fixture(scope="module")
def assets():
    return load_assets()


@pytest.fixture(scope="module")
def head(assets):
    return neutral_head(assets, sample_identity(assets, np.random.default_rng(0)))


def _body(assets, head, **changes):
    posed = pose(assets, head, Attributes(hair_style="bald", **changes))
    return posed.vertices[: len(assets.rest)].numpy()


def test_cloth_stands_off_the_skin_so_nothing_pokes_through(assets, head):
    bare = _body(assets, head, costume_style="vneck")
    dressed = _body(assets, head, costume_style="turtleneck")
    outwards = ((dressed - bare) * assets.rest_normals.numpy()).sum(axis=1)
    x, y, z = assets.rest.T
    neck = (y > 5.8) & (y < 5.95) & (x.abs() < 0.2) & (z > 0.5)
    assert int(neck.sum()) > 5
    assert np.allclose(outwards[neck.numpy()], COSTUME_SWELL, atol=1e-4)
    assert (outwards > -1e-6).all()


def test_a_beard_swells_the_jaw_and_leaves_the_lips(assets, head):
    shaven, bearded = (_body(assets, head, facial_hair=style) for style in ("none", "full"))
    moved = np.linalg.norm(bearded - shaven, axis=1)
    lips = assets.surface[: len(moved), 3].numpy() > 0.9
    assert 0.02 < moved.max() < 0.1
    assert moved[lips].max() < 0.005


def test_turning_the_head_leaves_the_shoulders(assets, head):
    straight, turned = _body(assets, head), _body(assets, head, yaw=40.0)
    moved = np.linalg.norm(turned - straight, axis=1)
    still = assets.head_weight.numpy() == 0
    assert moved[still].max() < 1e-6
    assert moved[assets.head_weight.numpy() == 1].max() > 0.5


def test_rotation_keeps_the_shape_of_the_head(assets, head):
    rigid = assets.head_weight.numpy() == 1
    straight = _body(assets, head)[rigid].astype(np.float64)
    turned = _body(assets, head, yaw=30.0, pitch=-10.0, roll=8.0)[rigid].astype(np.float64)
    pairs = np.random.default_rng(1).integers(0, int(rigid.sum()), (2, 500))
    before = np.linalg.norm(straight[pairs[0]] - straight[pairs[1]], axis=1)
    after = np.linalg.norm(turned[pairs[0]] - turned[pairs[1]], axis=1)
    assert np.allclose(before, after, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in EXPRESSIONS if name != "neutral"])
def test_expressions_move_the_face_and_not_the_skull(assets, head, name):
    plain = _body(assets, head)
    moved = np.linalg.norm(_body(assets, head, expression=EXPRESSIONS[name]) - plain, axis=1)
    crown = assets.rest[:, 1].numpy() > 8.2
    assert moved.max() > 0.02
    assert moved[crown].max() < 0.01


def test_normals_are_unit_and_point_outwards(assets, head):
    posed = pose(assets, head, Attributes(hair_style="bald"))
    normals = posed.normals[: len(assets.rest)].numpy()
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)
    nose = int(assets.landmark_vertices[2])
    assert normals[nose, 2] > 0.5


def test_a_mouth_leaves_room_below_the_nose(assets):
    person = sample_identity(assets, np.random.default_rng(0))
    axes = person.axes.copy()
    high = {"mouth/mouth_trans_up": 1.0, "nose/nose_base_up": -1.0, "nose/nose_scale_vert": 1.0}
    for name, value in high.items():
        axes[person.names.index(name)] = value
    shaped = neutral_head(assets, replace(person, axes=axes)).neutral
    nose, lip = shaped[assets.philtrum, 1].tolist()
    assert nose - lip == pytest.approx(PHILTRUM, abs=1e-4)


@pytest.mark.parametrize("breadth", [-1.0, 0.0, 1.0])
def test_temples_run_outside_the_skin(assets, breadth):
    person = sample_identity(assets, np.random.default_rng(4))
    axes = person.axes.copy()
    axes[person.names.index("face_shape/head_scale_horiz")] = breadth
    broad = neutral_head(assets, replace(person, axes=axes))
    posed = pose(assets, broad, Attributes(glasses="round", hair_style="bald")).vertices.numpy()
    first = len(posed) - VERTICES + 2 * RIM + 4 * BARS[0]
    for side, start in ((-1, first), (1, first + 4 * TEMPLE)):
        bar = posed[start : start + 4 * TEMPLE].reshape(TEMPLE, 4, 3).mean(axis=1)
        skin = posed[assets.side_vertices.numpy()]
        for x, y, z in bar[1:]:
            beside = (np.abs(skin[:, 1:] - (y, z)) < 0.06).all(axis=1)
            assert (side * skin[beside, 0] < side * x).all()
