"""Alignment: the fit is exact where it can be, and the way back returns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegraft.imaging.alignment import (
    AlignmentError,
    Similarity,
    align,
    fit_similarity,
    paste,
    soft_border,
    warp,
)

POINTS = np.array([[20.0, 24], [44, 25], [32, 36], [23, 46], [41, 45]])


def similarity(scale: float, degrees: float, x: float, y: float) -> Similarity:
    angle = np.deg2rad(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Similarity(scale, rotation, np.array([x, y]))


def smooth(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width) * 2 * np.pi
    planes = [np.sin(rows), np.cos(columns), np.sin(rows + columns)]
    return np.rint(127 + 100 * np.stack(planes, axis=2)).astype(np.uint8)


transforms = st.builds(
    similarity,
    st.floats(0.05, 20),
    st.floats(-180, 180),
    st.floats(-500, 500),
    st.floats(-500, 500),
)


@given(transforms)
def test_fit_recovers_the_transform(truth: Similarity) -> None:
    fitted = fit_similarity(POINTS, truth.apply(POINTS))
    np.testing.assert_allclose(fitted.matrix(), truth.matrix(), atol=1e-6)
    assert np.linalg.det(fitted.rotation) == pytest.approx(1)


@given(transforms)
def test_inverse_returns_every_point(transform: Similarity) -> None:
    back = transform.inverse().apply(transform.apply(POINTS))
    np.testing.assert_allclose(back, POINTS, atol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_fit_is_the_least_squares_optimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = POINTS + rng.normal(0, 3, POINTS.shape)
    fitted = fit_similarity(POINTS, target)

    def cost(candidate: Similarity) -> float:
        return float(((candidate.apply(POINTS) - target) ** 2).sum())

    for _ in range(8):
        turn = similarity(1 + rng.normal(0, 0.02), rng.normal(0, 1), 0, 0)
        other = Similarity(
            fitted.scale * turn.scale,
            fitted.rotation @ turn.rotation,
            fitted.shift + rng.normal(0, 0.3, 2),
        )
        assert cost(fitted) <= cost(other) + 1e-9


def test_fit_never_mirrors() -> None:
    mirrored = POINTS * [-1, 1]
    assert np.linalg.det(fit_similarity(POINTS, mirrored).rotation) == pytest.approx(1)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (np.ones((5, 2)), POINTS),
        (POINTS, np.ones((5, 2))),
        (POINTS * np.nan, POINTS),
        (POINTS[:1], POINTS[:1]),
        (POINTS, POINTS[:4]),
    ],
)
def test_points_without_a_transform_are_refused(source: np.ndarray, target: np.ndarray) -> None:
    with pytest.raises(AlignmentError):
        fit_similarity(source, target)


def test_identity_is_exact() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    crop, transform = align(image, POINTS, POINTS, 64)
    np.testing.assert_array_equal(crop, image)
    np.testing.assert_array_equal(
        paste(255 - crop, transform, image, np.ones((64, 64))), 255 - image
    )


def test_whole_pixel_shift_is_an_exact_cut_and_an_exact_return() -> None:
    image = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)
    crop, transform = align(image, POINTS + np.array([30, 7]), POINTS, 64)
    np.testing.assert_array_equal(crop, image[7:71, 30:94])
    expected = image.copy()
    expected[7:71, 30:94] = 9
    pasted = paste(np.full_like(crop, 9), transform, image, np.ones((64, 64)))
    np.testing.assert_array_equal(pasted, expected)


def test_quarter_turn_is_exact() -> None:
    image = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    quarter = Similarity(1.0, np.array([[0.0, -1.0], [1.0, 0.0]]), np.array([64.0, 0.0]))
    np.testing.assert_array_equal(warp(image, quarter, (64, 64)), np.rot90(image, -1))


def test_landmarks_land_on_the_canonical_points() -> None:
    """A dot drawn at a landmark appears at the canonical place, whatever the scale."""
    truth = similarity(6.0, 20, 80, 40)
    landmarks = truth.apply(POINTS)
    image = np.zeros((500, 500, 3), np.uint8)
    rows, columns = np.mgrid[0:500, 0:500] + 0.5
    x, y = landmarks[2]
    image[(columns - x) ** 2 + (rows - y) ** 2 < 12**2] = 255
    crop, _ = align(image, landmarks, POINTS, 64)
    weight = crop[..., 0].astype(float)
    centre = [
        (weight * (np.arange(64) + 0.5)).sum() / weight.sum(),
        (weight * (np.arange(64) + 0.5)[:, None]).sum() / weight.sum(),
    ]
    np.testing.assert_allclose(centre, POINTS[2], atol=0.1)


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.7, 5.6])
def test_an_unchanged_crop_returns_the_smooth_picture(scale: float) -> None:
    image = smooth(520, 520)
    landmarks = similarity(scale, 14, 100, 30).apply(POINTS)
    crop, transform = align(image, landmarks, POINTS, 64)
    error = np.abs(paste(crop, transform, image).astype(int) - image)
    assert error.max() <= 3
    assert error.mean() < 0.2


@pytest.mark.parametrize("scale", [0.5, 1.3, 5.0])
def test_pixels_outside_the_mask_keep_every_bit(scale: float) -> None:
    image = np.random.default_rng(3).integers(0, 256, (400, 400, 3), np.uint8)
    transform = fit_similarity(similarity(scale, -30, 150, 120).apply(POINTS), POINTS)
    mask = np.zeros((64, 64))
    mask[20:40, 20:40] = 1
    pasted = paste(np.zeros((64, 64, 3), np.uint8), transform, image, mask)
    rows, columns = np.mgrid[0:400, 0:400] + 0.5
    at = transform.apply(np.stack([columns, rows], axis=-1))
    far = ((at < 19 - 0.01) | (at > 41 + 0.01)).any(axis=-1)
    inside = ((at > 21.01) & (at < 38.99)).all(axis=-1)
    np.testing.assert_array_equal(pasted[far], image[far])
    assert inside.any()
    assert (pasted[inside] == 0).all()


def test_a_crop_beyond_the_picture_repeats_its_border() -> None:
    image = np.full((40, 40, 3), 77, np.uint8)
    crop, _ = align(image, POINTS - 25, POINTS, 64)
    assert (crop == 77).all()


def test_strong_reduction_does_not_alias() -> None:
    stripes = np.zeros((640, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    crop, _ = align(stripes, POINTS * 10, POINTS, 64)
    assert np.abs(crop.astype(int) - 127).max() <= 2


def test_soft_border_falls_to_the_edge_without_steps() -> None:
    mask = soft_border(64)
    assert mask[32, 32] == 1
    assert mask[0].max() < 0.05
    assert np.abs(np.diff(mask, axis=0)).max() < 0.25
    np.testing.assert_array_equal(mask, mask[::-1])
    np.testing.assert_array_equal(mask, mask.T)


def test_a_picture_wider_than_opencv_takes_is_cut_all_the_same() -> None:
    image = np.zeros((20, 40_000, 3), np.uint8)
    image[:, 39_000:39_064] = np.arange(64, dtype=np.uint8)[:, None]
    crop = warp(image, Similarity(1.0, np.eye(2), np.array([-39_000.0, 0])), (20, 64))
    np.testing.assert_array_equal(crop, image[:, 39_000:39_064])
    beside = warp(image, Similarity(1.0, np.eye(2), np.array([-50_000.0, 0])), (20, 64))
    np.testing.assert_array_equal(beside, 0)


def test_the_crop_is_what_an_ideal_camera_would_see() -> None:
    """A wave's own average over each pixel of the crop; Pillow's bicubic errs by twice that."""
    frequency = 2 * np.pi * 0.07

    def averaged(edges: np.ndarray) -> np.ndarray:
        return np.diff(-np.cos(frequency * edges)) / np.diff(edges) / frequency

    wave = 127 + 100 * averaged(np.arange(401.0))
    image = np.rint(np.broadcast_to(wave[None, :, None], (400, 400, 3))).astype(np.uint8)
    for scale, error in ((2.0, 3.5), (0.8, 3.0), (0.45, 6.0), (0.3, 6.0)):
        transform = similarity(scale, 0, 40 - 200 * scale, 40 - 200 * scale)
        seen = 127 + 100 * averaged((np.arange(81) - transform.shift[0]) / scale)
        difference = warp(image, transform, (80, 80))[40, :, 0] - seen
        assert np.abs(difference).max() < error, scale
