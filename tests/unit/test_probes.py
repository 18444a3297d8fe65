"""Probes and their units: a code read back, colour by the book, a fit that learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from facegraft.characters import Attributes, attribute_code, sample_attributes
from facegraft.core.progress import silent
from facegraft.data.grids import Grid
from facegraft.evaluation.attribute_probes import attribute_errors, fit_probes
from facegraft.evaluation.attribute_targets import LENGTH, READINGS, size, truth, visible
from facegraft.evaluation.benchmark import draw_heldout_pairs, pair_images
from facegraft.imaging.images import planes_to_tensor
from tests import synthetic


def looks(*attributes: Attributes, name: str = "benchmark-000") -> Grid:
    """Drawn faces whose columns bear real attribute codes; the ground is the skin's colour."""
    drawn = synthetic.grid(name, rows=3, columns=len(attributes), size=64)
    images = drawn.images.copy()
    for a, one in enumerate(attributes):
        images[:, a, :, :12] = (255 * np.array(one.skin))[:, None, None].astype(np.uint8)
    codes = np.stack([attribute_code(one) for one in attributes])
    return replace(drawn, images=images, attribute_code=codes)


def test_readings_are_the_attributes_in_units_that_a_person_knows() -> None:
    one = Attributes(
        expression={"jawOpen": 0.75}, yaw=-30, pitch=10, roll=5, hair=(1, 1, 1), skin=(1, 0, 0)
    )
    read = truth(looks(one))[0]
    assert read[READINGS["pose"]] == pytest.approx([-30, 10, 5], abs=1e-4)
    assert read[READINGS["expression"]].max() == pytest.approx(0.75)
    assert read[READINGS["hair_colour"]] == pytest.approx([100, 0, 0], abs=0.1)
    assert read[READINGS["skin_tone"]] == pytest.approx([53.24, 80.09, 67.2], abs=0.1)
    assert max(part.stop for part in READINGS.values()) == LENGTH


def test_hair_below_headwear_is_not_judged() -> None:
    seen = visible(looks(Attributes(), Attributes(headwear="hood")))
    assert seen[0].all()
    assert not seen[1, READINGS["hair_colour"]].any()
    assert seen[1, READINGS["pose"]].all()


def test_the_size_of_a_difference() -> None:
    assert size("pose", np.array([3.0, -6.0, 0.0])) == 3.0
    assert size("skin_tone", np.array([3.0, -4.0, 0.0])) == 5.0


def test_probes_learn_what_the_picture_shows() -> None:
    rng = np.random.default_rng(0)
    grids = [
        looks(*(sample_attributes(rng) for _ in range(8)), name=f"benchmark-{k:03d}")
        for k in range(7)
    ]
    probes, (held_out, part) = fit_probes(grids[1:], silent), (grids[0], READINGS["skin_tone"])
    images = planes_to_tensor(held_out.images.reshape(-1, 3, 64, 64))
    points = held_out.landmarks.reshape(-1, 5, 2)
    read = probes(images, points)
    known = np.tile(truth(held_out)[:, part], (3, 1))
    guess = np.mean([truth(grid)[:, part].mean(axis=0) for grid in grids[1:]], axis=0)
    assert np.abs(read[:, part].numpy() - known).mean() < 0.5 * np.abs(guess - known).mean()
    assert torch.equal(fit_probes(grids[1:], silent)(images, points), read)
    larger = torch.nn.functional.interpolate(images, scale_factor=2, mode="nearest")
    assert probes(larger, 2 * points)[:, part].numpy() == pytest.approx(
        read[:, part].numpy(), abs=1e-2
    )


def test_hidden_hair_is_not_learnt_from() -> None:
    rng = np.random.default_rng(4)
    bare = [replace(sample_attributes(rng), headwear="none") for _ in range(6)]
    hidden = [replace(one, headwear="hood", hair=(1.0, 0.0, 1.0)) for one in bare]
    only = fit_probes([looks(*bare)], silent)
    both = fit_probes([looks(*bare), looks(*hidden)], silent)
    assert torch.allclose(only.weights["hair_colour"], both.weights["hair_colour"], atol=1e-3)


def test_attribute_errors_of_every_row() -> None:
    rng = np.random.default_rng(3)
    grids = [looks(*(sample_attributes(rng) for _ in range(3)))]
    grid, probes = grids[0], fit_probes(grids, silent)
    pair = draw_heldout_pairs(grids, 1, seed=0)[0]
    images = pair_images(grids, pair)
    rows = {
        "model": images.true_swap.images,
        "true_swap": images.true_swap.images,
        "copy_target": images.target.images,
        "copy_source": -images.target.images,
    }
    found = dict(attribute_errors(probes, grids)(pair, images, rows))
    for metric in ("pose_error", "expression_error", "skin_tone_error"):
        assert found[f"model/{metric}"] == found[f"true_swap/{metric}"]
    assert found["copy_target/background_error"] == 0.0
    assert found["copy_source/background_error"] > 10
    read = probes(images.target.images, grid.landmarks[[pair.j], [pair.b]])[0].numpy()
    off = np.abs(read - truth(grid)[pair.b])[READINGS["pose"]].mean()
    assert found["copy_target/pose_error"] == pytest.approx(float(off))
