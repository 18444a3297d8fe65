"""Measures of single pictures on pictures whose measure is known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from facegraft.imaging.quality import brightness, clipped, sharpness
from tests import synthetic

FACE = synthetic.grid("test-000", size=64).images[0, 0]


def blurred(cell: np.ndarray, radius: float) -> np.ndarray:
    picture = Image.fromarray(np.ascontiguousarray(cell.transpose(1, 2, 0)))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius))).transpose(2, 0, 1)


def test_blur_lowers_the_sharpness_and_contrast_does_not() -> None:
    faces = [sharpness(blurred(FACE, radius)) for radius in (0.0, 1.0, 2.0, 4.0)]
    assert faces == sorted(faces, reverse=True)
    assert faces[0] > 3 * faces[2]
    pale = (FACE.astype(float) * 0.25 + 100).round().astype(np.uint8)
    assert sharpness(pale) == pytest.approx(sharpness(FACE), rel=0.1)


def test_exposure_is_that_of_the_middle() -> None:
    cell = np.full((3, 50, 50), 100, np.uint8)
    cell[:, :10] = 255  # the top fifth is not the middle
    assert brightness(cell) == pytest.approx(100, abs=0.01)
    assert clipped(cell) == 0
    cell[:, 10:25] = 2
    assert clipped(cell) == pytest.approx(0.5)
    cell[0, 10:25] = 90  # one channel that is not clipped clears the pixel
    assert clipped(cell) == 0


@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 2, 2), (1, 32, 32)])
def test_a_flat_picture_has_no_sharpness(shape: tuple[int, ...]) -> None:
    assert np.isnan(sharpness(np.full(shape, 77, np.uint8)))
