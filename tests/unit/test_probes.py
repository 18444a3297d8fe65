"""Probes and their units: a code read back, a mirror, colour by the book, training that learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from facegraft.benchmark import draw_pairs, pair_images
from facegraft.characters import Attributes, attribute_code, sample_attributes
from facegraft.dataset import Grid
from facegraft.images import to_tensor
from facegraft.probes import attribute_errors, train_probes
from facegraft.readings import LENGTH, READINGS, mirrored, size, truth, visible
from facegraft.stages.progress import silent
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


def test_a_mirror_swaps_the_sides() -> None:
    one = Attributes(yaw=20, pitch=5, roll=-7, light_azimuth=40, expression={"jawLeft": 1.0})
    other = Attributes(yaw=-20, pitch=5, roll=7, light_azimuth=-40, expression={"jawRight": 1.0})
    read = truth(looks(one, other))
    assert mirrored(read[0]) == pytest.approx(read[1], abs=1e-5)
    assert mirrored(mirrored(read[0])) == pytest.approx(read[0])


def test_the_size_of_a_difference() -> None:
    assert size("pose", np.array([3.0, -6.0, 0.0])) == 3.0
    assert size("skin_tone", np.array([3.0, -4.0, 0.0])) == 5.0


def test_probes_learn_what_the_picture_shows_and_are_fixed_by_the_seed() -> None:
    rng = np.random.default_rng(0)
    grids = [
        looks(*(sample_attributes(rng) for _ in range(8)), name=f"benchmark-{k:03d}")
        for k in range(6)
    ]
    probes = train_probes(grids, 40, 1, silent)
    images = to_tensor(grids[0].images.reshape(-1, 3, 64, 64))
    read = probes(images)[:, READINGS["skin_tone"]].numpy()
    known = np.tile(truth(grids[0])[:, READINGS["skin_tone"]], (3, 1))
    guess = probes.mean[READINGS["skin_tone"]].numpy()
    assert np.abs(read - known).mean() < 0.6 * np.abs(guess - known).mean()
    before = torch.get_rng_state()
    one, other = (train_probes(grids[:1], 1, 7, silent)(images) for _ in range(2))
    assert torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


def test_attribute_errors_of_every_row() -> None:
    rng = np.random.default_rng(3)
    grids = [looks(*(sample_attributes(rng) for _ in range(3)))]
    probes = train_probes(grids, 1, 0, silent)
    pair = draw_pairs(grids, 1, seed=0)[0]
    images = pair_images(grids, pair)
    rows = {"model": images.target, "copy_target": images.target, "copy_source": -images.target}
    found = dict(attribute_errors(probes, grids)(pair, images, rows))
    assert found["model/pose_error"] == found["copy_target/pose_error"]
    assert found["copy_target/background_error"] == 0.0
    assert found["copy_source/background_error"] > 10
    read = probes(images.target)[0, READINGS["pose"]].numpy()
    off = np.abs(read - truth(grids[0])[pair.b, READINGS["pose"]]).mean()
    assert found["model/pose_error"] == pytest.approx(float(off))
