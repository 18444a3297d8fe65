"""The probes' features: gradients know a direction, alignment undoes a turn, colours are Lab."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facegraft.evaluation.face_features import (
    BINS,
    PLACES,
    SIDE,
    aligned,
    colour_features,
    shape_features,
    small,
)
from facegraft.imaging.colours import to_lab


@pytest.mark.parametrize(
    ("colour", "lab"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.2)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((0.02, 0.02, 0.02), (1.40, 0, 0)),
    ],
)
def test_lab_is_that_of_the_book(colour: tuple[float, ...], lab: tuple[float, ...]) -> None:
    assert to_lab(torch.tensor(colour, dtype=torch.float32)).tolist() == pytest.approx(lab, abs=0.2)


def test_stripes_vote_for_their_direction() -> None:
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    upright, level = (torch.sin(0.8 * axis.float()).expand(1, 3, -1, -1) for axis in (x, y))
    for stripes, bins in ((upright, {0}), (level, {BINS // 2, BINS // 2 + 1})):
        cells = shape_features(stripes)[0, : BINS * 64].view(BINS, 64)
        assert int(cells.sum(dim=1).argmax()) in bins


def test_features_do_not_know_the_strength_of_the_light_much() -> None:
    face = torch.from_numpy(np.random.default_rng(0).uniform(-0.9, 0.9, (1, 3, SIDE, SIDE))).float()
    bright, dim = shape_features(face), shape_features(face * 0.5)
    assert (bright - dim).abs().mean() < 0.05 * bright.abs().mean()


def test_an_aligned_face_has_its_landmarks_in_place() -> None:
    image = torch.full((1, 3, 128, 128), -1.0)
    points = 20 + 70 * PLACES @ np.array([[0.9, 0.3], [-0.3, 0.9]]) + np.array([30, 0])
    for x, y in points:
        image[0, :, int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2] = 1.0
    face = aligned(image, points[None])[0].mean(dim=0)
    for x, y in PLACES * SIDE:
        assert face[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].max() > 0.3


def test_colours_and_small_keep_a_plain_picture_plain() -> None:
    red = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 128, 128)
    read = colour_features(small(red)).view(3, -1)
    assert read.std(dim=1).max() < 1e-3
    assert read.mean(dim=1).tolist() == pytest.approx([53.24, 80.09, 67.2], abs=0.1)
