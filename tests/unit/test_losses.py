"""M11: each formula of claim 10, computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from facegraft.method import losses
from facegraft.method.latents import Layout

LAYOUT = Layout(identity={"eyes": (16, 17)}, attribute={"rest": tuple(range(16))}, vector=2)


def latents(identity: list[float], attribute: float = 0.0) -> torch.Tensor:
    return torch.cat([torch.full((32,), attribute), torch.tensor(identity)])[None]


def test_identity_loss_is_one_minus_the_cosine_of_the_identity_latents() -> None:
    swap = latents([3.0, 0.0, 0.0, 4.0], attribute=9.0)
    source = latents([0.0, 0.0, 0.0, 2.0], attribute=-5.0)
    assert losses.identity_loss(LAYOUT, swap, source).item() == pytest.approx(1 - 4 / 5)


def test_attribute_loss_is_half_the_sum_of_squares_over_attribute_dimensions() -> None:
    swap, target = latents([1.0] * 4, attribute=1.0), latents([7.0] * 4, attribute=0.25)
    assert losses.attribute_loss(LAYOUT, swap, target).item() == pytest.approx(0.5 * 32 * 0.75**2)


def test_mse_divides_by_channels_height_and_width() -> None:
    image, reconstruction = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    reconstruction[0, 1, 0, 1] = 3.0
    assert losses.mse_loss(image, reconstruction).item() == pytest.approx(9 / (3 * 2 * 2))


def test_perceptual_loss_divides_by_the_size_of_all_eighteen_dimensions() -> None:
    seen, of_reconstruction = torch.zeros(1, 36), torch.zeros(1, 36)
    of_reconstruction[0, :2] = 3.0
    assert losses.perceptual_loss(seen, of_reconstruction).item() == pytest.approx(18 / 36)


def test_swap_loss_by_hand_on_a_flat_error() -> None:
    """Flat is tone and no detail: its level by tone, and three tenths of it by pixels."""
    swap, truth = torch.full((1, 3, 32, 32), 0.5), torch.zeros(1, 3, 32, 32)
    nothing_changed = torch.zeros(1, 1, 32, 32)
    assert losses.swap_loss(swap, truth, nothing_changed).item() == pytest.approx(0.5 + 0.3 * 0.5)


def test_swap_loss_by_hand_on_a_chequered_error() -> None:
    """A chequerboard is detail and, but for the picture's border, no tone."""
    truth = torch.zeros(1, 3, 128, 128)
    chequered = truth + (torch.arange(128) + torch.arange(128)[:, None]).remainder(2) * 2 - 1
    value = losses.swap_loss(0.5 * chequered, truth, torch.zeros(1, 1, 128, 128)).item()
    assert value == pytest.approx(0.5 + 0.3 * 0.5, rel=1e-2)


def test_swap_loss_weighs_a_changed_pixel_five_times_an_unchanged_one() -> None:
    truth, changed = torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 32)
    changed[..., :16, :] = 1.0
    inside, outside = truth.clone(), truth.clone()
    inside[..., 5:7, 5:7], outside[..., 25:27, 5:7] = 1.0, 1.0
    ratio = losses.swap_loss(inside, truth, changed) / losses.swap_loss(outside, truth, changed)
    assert ratio.item() == pytest.approx(5.0)


def test_contrast_loss_by_hand() -> None:
    z = torch.cat([latents([1.0, 0, 0, 0]), latents([1.0, 0, 0, 0]), latents([0, 1.0, 0, 0])])
    z = torch.cat([z, latents([0, 1.0, 0, 0])])
    value = losses.contrast_loss(LAYOUT, z, torch.tensor([4, 4, 9, 9]), temperature=0.5)
    assert value.item() == pytest.approx(math.log(1 + 2 * math.exp(-2)), rel=1e-5)


def test_contrast_loss_is_high_for_a_collapsed_identity() -> None:
    z = latents([1.0, 2.0, 3.0, 4.0]).repeat(4, 1)
    value = losses.contrast_loss(LAYOUT, z, torch.tensor([0, 0, 1, 1]))
    assert value.item() == pytest.approx(math.log(3))


def test_teacher_loss_weighs_groups_alike_however_many_parameters_they_have() -> None:
    known = torch.tensor([[3.0, 0.0, 0.0, 0.0], [3.0, 2.0, 0.0, 0.0]])
    value = losses.parameter_loss(torch.zeros(2, 4), known, [(0, 1), (1, 4)])
    assert value.item() == pytest.approx((9 + 2 / 3) / 2)


def test_consistency_loss_is_the_attribute_loss_within_an_attribute_set() -> None:
    z = torch.cat([latents([9.0] * 4, x) for x in (0.0, 5.0, 2.0, 5.5)])
    value = losses.consistency_loss(LAYOUT, z, torch.tensor([3, 8, 3, 8])).item()
    assert value == pytest.approx((0 + 0 + 0.5 * 32 * 2.0**2 + 0.5 * 32 * 0.5**2) / 4)


def test_feature_loss_weighs_maps_alike_however_much_they_vary() -> None:
    wanted = {8: torch.full((1, 2, 8, 8), 4.0), 4: torch.full((1, 3, 4, 4), -0.5)}
    drawn = {8: wanted[8] - 1.0, 4: wanted[4] + 1.0}
    assert losses.feature_loss(drawn, wanted).item() == pytest.approx((1 / 4 + 1 / 0.5) / 2)
    assert losses.feature_loss(wanted, wanted).item() == 0.0
