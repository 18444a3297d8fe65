"""Pose from landmarks: signs, mirror, scale and what is unknown."""

from __future__ import annotations

import numpy as np
import pytest

from facegraft.imaging.head_pose import pose_of
from tests.synthetic import LANDMARKS_64

FRONT = LANDMARKS_64.astype(float)
MOUTH_ON_TOP = FRONT - np.array([[0, 0]] * 3 + [[0, 40]] * 2)


def test_a_frontal_face_looks_ahead() -> None:
    yaw, pitch, roll = pose_of(FRONT[None])[0]
    assert yaw == pytest.approx(0, abs=1)
    assert abs(pitch) < 6
    assert roll == pytest.approx(0, abs=1e-5)


def test_the_nose_gives_the_direction() -> None:
    right, down = FRONT.copy(), FRONT.copy()
    right[2, 0] += 5
    down[2, 1] += 5
    assert pose_of(right[None])[0, 0] > 20
    assert pose_of(down[None])[0, 1] > pose_of(FRONT[None])[0, 1] + 4
    mirrored = right[[1, 0, 2, 4, 3]] * (-1, 1) + (64, 0)
    assert pose_of(mirrored[None])[0, 0] == pytest.approx(-pose_of(right[None])[0, 0], abs=1e-4)


def test_roll_is_read_and_changes_neither_yaw_nor_pitch() -> None:
    angle = np.radians(10)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = (FRONT - 32) @ turn * 1.7 + 40
    np.testing.assert_allclose(pose_of(turned[None])[0, :2], pose_of(FRONT[None])[0, :2], atol=1e-3)
    assert pose_of(turned[None])[0, 2] == pytest.approx(10, abs=1e-3)


@pytest.mark.parametrize("bad", [np.full((5, 2), np.nan), np.zeros((5, 2)), MOUTH_ON_TOP])
def test_what_is_no_face_has_no_pose(bad: np.ndarray) -> None:
    assert np.isnan(pose_of(bad[None])).all()
