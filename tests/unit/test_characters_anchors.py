"""Anchors follow the surface: where they lie, whether they show, what a mix does to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from facegraft.characters import (
    Assets,
    Attributes,
    CharacterError,
    Rendering,
    draw_split,
    load_assets,
    render,
    render_grid,
    sample_identity,
)
from facegraft.characters.contours import BROW_POINTS, BROW_STEPS, STROKES
from facegraft.characters.regions import CODE_GROUPS
from facegraft.data.grids import REGIONS


@pytest.fixture(scope="module")
def assets() -> Assets:
    return load_assets()


def test_an_anchor_moves_with_the_head_and_hides_behind_it(assets: Assets) -> None:
    identity = sample_identity(assets, np.random.default_rng(1))
    front = render(assets, identity, Attributes(), 64).anchors
    left, right = (render(assets, identity, Attributes(yaw=yaw), 64).anchors for yaw in (-40, 40))
    assert front.shape == (len(assets.anchors) + STROKES, 3)
    assert set(np.unique(front[:, 2])) == {0.0, 1.0}
    both = (left[:, 2] > 0) & (right[:, 2] > 0)
    assert 20 < both.sum() < front[:, 2].sum()
    # The nose's bridge and all that shows from both sides travels to where the face looks.
    assert (right[both, 0] > left[both, 0]).mean() > 0.8


def test_visible_anchors_of_the_face_lie_on_the_face(assets: Assets) -> None:
    drawn = render(assets, sample_identity(assets, np.random.default_rng(2)), Attributes(), 128)
    x, y, seen = drawn.anchors[drawn.anchors[:, 2] > 0].T
    pixel = (((np.stack([y, x]) + 1) / 2) * 128).astype(int).clip(0, 127)
    assert seen.all()
    assert (drawn.regions[tuple(pixel)] > 0).mean() > 0.97  # hardly one on the background


def test_a_mixed_row_takes_one_region_from_its_donor_and_the_rest_from_its_base(
    assets: Assets,
) -> None:
    specs = draw_split(assets, 3, "train", 2, 6, 2, 3)
    assert [[mix.row for mix in spec.mixes] for spec in specs] == [[3, 4, 5]] * 2
    assert {mix.region for spec in specs for mix in spec.mixes} == set(CODE_GROUPS)
    for spec in specs:
        for mix in spec.mixes:
            own, base, donor = (spec.identities[k].axes for k in (mix.row, mix.base, mix.donor))
            taken = [
                name.split("/")[0] in CODE_GROUPS[mix.region] for name in assets.identity_names
            ]
            assert mix.base != mix.donor
            assert np.array_equal(own, np.where(taken, donor, base))
    grid = render_grid(assets, specs[0], 32, 1)
    assert grid.mixes == specs[0].mixes
    assert grid.people == (0, 1, 2)
    assert grid.anchors.shape == (6, 2, len(assets.anchors) + STROKES, 3)
    assert (grid.anchor_set, grid.strokes) == (assets.anchor_set, STROKES)


def contours(drawn: Rendering) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the brows (2, 2, BROW_STEPS, 2), irises (2, 3, 2); in pixels."""
    places = (drawn.anchors[-STROKES:, :2] + 1) * len(drawn.image) / 2
    brows, irises = places[:BROW_POINTS], places[BROW_POINTS:]
    return brows.reshape(2, 2, BROW_STEPS, 2), irises.reshape(2, 3, 2)


def within(side: int, polygons: list[np.ndarray]) -> np.ndarray:
    """The pixels within polygons (N, 2): bool (side, side)."""
    canvas = Image.new("1", (side, side))
    for corners in polygons:
        ImageDraw.Draw(canvas).polygon([tuple(corner) for corner in corners], fill=1)
    return np.asarray(canvas)


def ellipse(iris: np.ndarray, size: float = 1.0) -> np.ndarray:
    """On `size` of the way from an iris's middle to its rim: (32, 2)."""
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    right, up = (iris[1:] - iris[0])[:, None]
    return np.asarray(
        iris[0] + size * (np.cos(angle)[:, None] * right + np.sin(angle)[:, None] * up)
    )


def grown(mask: np.ndarray) -> np.ndarray:
    """And three pixels about it."""
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(picture.filter(ImageFilter.MaxFilter(7))) > 0


@pytest.mark.parametrize("yaw", [-25.0, 0.0, 25.0])
def test_the_contours_hold_the_paint(assets: Assets, yaw: float) -> None:
    dark, white = [], []
    for seed in range(6):
        person = sample_identity(assets, np.random.default_rng(seed))
        attributes = Attributes(yaw=yaw, expression={"browInnerUp": 0.5, "eyeLookUpLeft": 0.5})
        drawn = render(assets, person, attributes, 256)
        edges, rims = contours(drawn)
        brows = within(256, [np.concatenate([low, high[::-1]]) for low, high in edges])
        irises = within(256, [ellipse(iris) for iris in rims])
        painted = drawn.regions == REGIONS.index("brows")
        assert (painted & grown(brows)).sum() > 0.98 * painted.sum()
        assert (brows & grown(painted)).sum() > 0.85 * brows.sum()  # hair and the nose cover some
        shown = irises & (drawn.regions == REGIONS.index("eyes"))
        assert shown.sum() > 0.3 * irises.sum()  # lids cover the rest
        dark.append(drawn.image[shown])
        white.append(drawn.image[(drawn.regions == REGIONS.index("eyes")) & ~irises])
    assert np.concatenate(dark).mean() < np.concatenate(white).mean()


def test_the_colour_within_an_iris_is_the_irises_own(assets: Assets) -> None:
    def colours(hue: float) -> np.ndarray:
        eyes = replace(sample_identity(assets, np.random.default_rng(5)), iris_hue=hue)
        drawn = render(assets, eyes, Attributes(expression={"eyeWideLeft": 1.0}), 128)
        places = np.concatenate([ellipse(iris, 0.7)[[0, 16]] for iris in contours(drawn)[1]])
        column, row = places.astype(int).T
        return drawn.image[row, column].astype(float)  # red, green, blue

    brown, blue = colours(-1.0), colours(1.0)
    assert ((blue - brown)[:, 2] > 25).all(), "every place"
    assert ((blue - brown)[:, 0] < 13).all()


def test_mixes_need_two_people(assets: Assets) -> None:
    with pytest.raises(CharacterError, match="fewer than 2"):
        draw_split(assets, 3, "train", 1, 4, 2, 3)
