"""PSNR, SSIM and GMSD against figures computed another way."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve, gaussian_filter

from facegraft.core.seal import SealBroken
from facegraft.evaluation.metrics import gmsd, psnr, ssim
from facegraft.method.calibration import (
    Calibration,
    Separation,
    Uncalibrated,
    area_under_curve,
)


def test_psnr_by_hand() -> None:
    image, truth = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.2)
    assert psnr(image, truth).item() == pytest.approx(10 * math.log10(4 / 0.04))


def test_psnr_of_a_region_reads_only_the_region() -> None:
    truth, region = torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)
    region[..., :2] = 1.0
    image = truth.clone()
    image[..., 2:] = 1.0
    assert psnr(image, truth, region).item() == math.inf
    assert psnr(image, truth, 1 - region).item() == pytest.approx(10 * math.log10(4))
    assert math.isnan(psnr(image, truth, torch.zeros_like(region)).item())


def test_ssim_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (24, 24))
    y = 0.7 * x + 0.3 * rng.uniform(-1, 1, (24, 24))

    def blur(a: np.ndarray) -> np.ndarray:
        return gaussian_filter(a, 1.5, truncate=5 / 1.5)[5:-5, 5:-5]

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = 0.02**2, 0.06**2
    expected = (
        (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    ).mean()
    image, truth = (torch.from_numpy(a)[None, None].repeat(1, 3, 1, 1) for a in (x, y))
    assert ssim(image, truth).item() == pytest.approx(expected, abs=1e-6)
    assert ssim(image, image).item() == pytest.approx(1.0)


def test_gmsd_agrees_with_scipy() -> None:
    rng = np.random.default_rng(1)
    x, y = (gaussian_filter(rng.uniform(0, 255, (24, 24)), 1) for _ in range(2))
    across = np.array([[1, 0, -1]] * 3) / 3

    def gradient(a: np.ndarray) -> np.ndarray:
        parts = (convolve(a, kernel)[1:-1, 1:-1] for kernel in (across, across.T))
        return np.hypot(*parts)

    one, other = gradient(x), gradient(y)
    expected = ((2 * one * other + 170) / (one**2 + other**2 + 170)).std()
    image, truth = (torch.from_numpy(a / 127.5 - 1)[None, None].repeat(1, 3, 1, 1) for a in (x, y))
    assert gmsd(image, truth).item() == pytest.approx(expected, abs=1e-6)


def test_gmsd_sees_blur_and_no_brightness_and_only_the_region() -> None:
    rng = np.random.default_rng(2)
    truth = torch.from_numpy(rng.uniform(-0.8, 0.8, (1, 3, 32, 32)))
    blurred = torch.from_numpy(gaussian_filter(truth.numpy(), (0, 0, 1, 1)))
    left = torch.zeros(1, 1, 32, 32)
    left[..., :14] = 1.0
    half = blurred.clone()
    half[..., :15] = truth[..., :15]
    assert gmsd(truth + 0.1, truth).item() == pytest.approx(0.0, abs=1e-9)
    assert gmsd(blurred, truth).item() > 0.05
    assert gmsd(half, truth, left).item() == pytest.approx(0.0, abs=1e-9)
    assert math.isnan(gmsd(half, truth, torch.zeros_like(left)).item())


def test_area_under_curve_by_hand() -> None:
    assert area_under_curve(np.array([0.1, 0.2]), np.array([0.3, 0.4])) == 1.0
    assert area_under_curve(np.array([0.5]), np.array([0.5])) == 0.5
    assert area_under_curve(np.array([0.1, 0.4]), np.array([0.2, 0.3])) == 0.5


def calibration(same: float, different: float) -> Calibration:
    good = Separation(same=0.1, different=0.3, auc=0.99)
    return Calibration(
        identity_loss=Separation(same=same, different=different, auc=0.8),
        attribute_loss=good,
        pairs=20,
    )


def test_thresholds_stand_where_equals_are() -> None:
    thresholds = calibration(0.2, 0.4).thresholds()
    assert thresholds.identity_loss == 0.2
    assert thresholds.attribute_loss == 0.1


@pytest.mark.parametrize(("same", "different"), [(0.4, 0.3), (0.3, 0.3), (math.nan, 0.3)])
def test_an_overlap_refuses(same: float, different: float) -> None:
    with pytest.raises(Uncalibrated, match="identity_loss cannot tell same from different"):
        calibration(same, different).thresholds()


def test_a_sealed_calibration_is_that_of_its_model_and_as_it_was_measured() -> None:
    measured = calibration(1 / 3, 0.7)
    stored = json.loads(json.dumps(measured.sealed("a")))
    assert Calibration.unsealed(stored, "a") == measured
    eased = {**stored["identity_loss"], "same": 0.69}
    for changed in (
        {**stored, "identity_loss": eased},
        {**stored, "model_sha256": "b"},
        {**stored, "pairs": 21},
        {**stored, "more": 1},
        {name: value for name, value in stored.items() if name != "sha256"},
        {},
    ):
        for model in ("a", "b"):
            with pytest.raises(SealBroken, match="changed after it was measured"):
                Calibration.unsealed(changed, model)
    with pytest.raises(SealBroken, match="another model's"):
        Calibration.unsealed(stored, "b")
