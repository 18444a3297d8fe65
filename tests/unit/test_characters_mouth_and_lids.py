"""What lies behind what around the eyes and in the mouth, over many faces."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from facegraft.characters import (
    Attributes,
    camera,
    load_assets,
    neutral_head,
    render,
    render_head,
    sample_identity,
)
from facegraft.characters.deform import pose
from facegraft.characters.expressions import EXPRESSIONS
from facegraft.characters.normals import find_fans, vertex_normals
from facegraft.characters.sculpt import MATERIALS
from facegraft.characters.surface import Surface
from facegraft.characters.visibility import see
from facegraft.data.grids import FACE_REGIONS, REGIONS
from tests.synthetic import displacement

LABEL = {name: value for value, name in enumerate(REGIONS)}
BLINK = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}


@pytest.fixture(scope="module")
def assets():
    return load_assets()


@pytest.fixture(scope="module")
def people(assets):
    return [sample_identity(assets, np.random.default_rng(seed)) for seed in range(100, 140)]


def _vertices(assets, material):
    chosen = assets.material.numpy() == MATERIALS.index(material)
    return np.unique(assets.triangles.numpy()[chosen])


def test_a_closed_lid_rests_on_the_lower_lid_whoever_it_is(assets, people):
    gaps = []
    for person in people[:12]:
        head = neutral_head(assets, person)
        drawn = render_head(assets, head, person, Attributes(expression=BLINK), 96)
        opened = render_head(assets, head, person, Attributes(), 96)
        gaps.append(
            (drawn.regions == LABEL["eyes"]).sum() / (opened.regions == LABEL["eyes"]).sum()
        )
    assert max(gaps) < 0.08


def test_lashes_move_as_the_lid_that_carries_them(assets):
    lash = _vertices(assets, "lash")
    closed = assets.expression_names.index("eyeBlinkLeft")
    blink = displacement(assets.expressions, closed, len(assets.rest))
    skin = np.unique(assets.triangles.numpy()[assets.material.numpy() == 0])
    moved = {tuple(row) for row in np.round(blink[skin], 6).tolist()}
    assert all(tuple(row) in moved for row in np.round(blink[lash], 6).tolist())
    assert np.abs(blink[lash]).max() > 0.05


def _samples(assets, person, attributes, material):
    """Row and column of the samples (192 x 192) that show a material, (N, 2); landmarks alike."""
    posed = pose(assets, neutral_head(assets, person), attributes)
    view = camera.frame("crop", 192, posed.turned)
    seen = see(assets, attributes, view, posed).fragments
    shown = assets.material[seen.triangle] == MATERIALS.index(material)
    landmarks = view.project(posed.landmarks)[0]
    return np.stack(np.divmod(seen.pixel[shown].numpy(), 192), axis=1), landmarks


def test_no_tooth_shows_below_a_short_chin(assets, people):
    short = {"face_shape/chin_height": -1.0, "mouth/mouth_trans_up": -1.0}
    for person in people[2:22]:
        axes = person.axes.copy()
        for name, value in short.items():
            axes[person.names.index(name)] = value
        teeth, landmarks = _samples(assets, replace(person, axes=axes), Attributes(), "teeth")
        lowest = landmarks[3:, 1].max() + 8
        assert (teeth[:, 0] < lowest).all()


def test_closed_lips_show_no_tooth_whoever_it_is(assets, people):
    for person in people[:12]:
        for name in ("neutral", "angry", "smirk"):
            look = Attributes(expression=EXPRESSIONS[name])
            assert len(_samples(assets, person, look, "teeth")[0]) == 0, name


def test_no_tooth_sticks_out_of_a_short_chin_seen_from_the_side(assets, people):
    short = {"face_shape/chin_height": -1.0, "mouth/mouth_trans_up": -1.0}
    for person in people[2:12]:
        axes = person.axes.copy()
        for name, value in short.items():
            axes[person.names.index(name)] = value
        look = Attributes(yaw=30.0, expression=EXPRESSIONS["sad"])
        teeth, landmarks = _samples(assets, replace(person, axes=axes), look, "teeth")
        assert (teeth[:, 0] < landmarks[3:, 1].max() + 8).all()


def test_the_tongue_comes_out_between_closed_lips(assets, people):
    out = Attributes(expression={"tongueOut": 1.0})
    for person in people[:6]:
        assert len(_samples(assets, person, out, "tongue")[0]) > 40
        assert len(_samples(assets, person, Attributes(), "tongue")[0]) == 0


def test_depth_is_that_of_the_surface_not_of_its_order(assets, people):
    wide = render(assets, people[0], Attributes(expression={"jawOpen": 0.8}), 96)
    face = np.isfinite(wide.depth) & np.isin(wide.regions, FACE_REGIONS)
    mouth = face & (wide.regions == LABEL["mouth"])
    # Camera at 12, the face at 1 to 1.7, the back of the mouth not before 0.5.
    assert wide.depth[face].min() > 10.0
    assert wide.depth[mouth].max() < 11.6


def test_the_rotation_turns_the_nose(assets, people):
    drawn = render(assets, people[0], Attributes(yaw=30.0), 48)
    forward = drawn.rotation @ np.array([0, 0, 1.0])
    assert forward == pytest.approx([np.sin(np.pi / 6), 0, np.cos(np.pi / 6)], abs=1e-6)


def test_normals_are_the_sums_over_the_triangles_that_meet():
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.normal(size=(9, 3)).astype(np.float32))
    triangles = torch.from_numpy(np.array([rng.permutation(8)[:3] for _ in range(20)]))
    found = vertex_normals(find_fans(triangles, 9), points).numpy()
    expected = np.zeros((9, 3))
    for a, b, c in triangles.tolist():
        face = np.cross(points[b] - points[a], points[c] - points[a])
        expected[[a, b, c]] += face
    length = np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(found, expected / np.maximum(length, 1e-12), atol=1e-5)
    assert (found[8] == 0).all()


def test_a_surface_names_every_pixel_that_a_layer_may_cover(assets):
    rng = np.random.default_rng(1)
    table = torch.from_numpy(rng.normal(size=(14, 30)).astype(np.float32))
    corners = [torch.from_numpy(rng.integers(0, 30, 50).astype(np.int32)) for _ in range(3)]
    triangle = torch.from_numpy(rng.integers(0, 50, 400))
    weight = torch.from_numpy(rng.dirichlet([1, 1, 1], 400).T.astype(np.float32).copy())
    surface = Surface(table, corners, triangle, weight)
    above = np.flatnonzero(surface.column("lips").numpy() > 0.5)
    named = surface.above("lips", 0.5).numpy()
    assert set(above) <= set(named)
    assert len(named) < 400
