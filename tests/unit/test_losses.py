"""M11: each formula of claim 10, computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from facegraft import losses
from facegraft.latents import Layout

LAYOUT = Layout(
    identity={"eyes": (16, 17)}, attribute={"rest": tuple(range(16))}, shapes=((2,),) * 18
)


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
    swap, truth = torch.full((1, 3, 4, 4), 0.5), torch.zeros(1, 3, 4, 4)
    nothing_changed = torch.zeros(1, 1, 4, 4)
    assert losses.swap_loss(swap, truth, nothing_changed).item() == pytest.approx(0.5)


def test_swap_loss_weighs_a_changed_pixel_five_times_an_unchanged_one() -> None:
    truth, changed = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    changed[..., :4, :] = 1.0
    inside, outside = truth.clone(), truth.clone()
    inside[..., 1:3, 1:3], outside[..., 5:7, 1:3] = 1.0, 1.0
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


def test_mask_loss_of_an_undecided_mask_is_log_two() -> None:
    value = losses.mask_loss(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    assert value.item() == pytest.approx(math.log(2))


def test_teacher_loss_weighs_groups_alike_however_many_parameters_they_have() -> None:
    known = torch.tensor([[3.0, 0.0, 0.0, 0.0], [3.0, 2.0, 0.0, 0.0]])
    value = losses.teacher_loss(torch.zeros(2, 4), known, [(0, 1), (1, 4)])
    assert value.item() == pytest.approx((9 + 2 / 3) / 2)


def test_flow_loss_is_the_distance_to_the_known_place_where_it_shows() -> None:
    flow = torch.zeros(1, 2, 8, 8)
    swap = torch.tensor([[[0.0, 0.0, 1.0], [0.5, 0.5, 0.0]]])
    target = torch.tensor([[[0.3, 0.4, 1.0], [-0.5, 0.5, 1.0]]])
    still = torch.zeros(1, 1, 8, 8)
    away = (
        math.sqrt(0.25 + losses.FLOW_EPSILON**2) - losses.FLOW_EPSILON
    )  # the hidden point does not count
    assert losses.flow_loss(flow, swap, target, still).item() == pytest.approx(away, abs=1e-6)
    right = torch.tensor([0.3, 0.4])[None, :, None, None].expand(1, 2, 8, 8)
    assert losses.flow_loss(right, swap, target, still).item() == pytest.approx(0.0, abs=1e-6)
    still[..., 0] = 1.0  # nothing moves here, yet the flow does: 0.3 + 0.4, weighed by 0.2
    assert losses.flow_loss(right, swap, target, still).item() == pytest.approx(0.14, abs=1e-6)


def test_place_loss_is_a_mean_distance_where_hidden_points_count_a_tenth() -> None:
    read = torch.zeros(1, 2, 2)
    anchors = torch.tensor([[[0.3, 0.4, 1.0], [3.0, 4.0, 0.0]]])
    expected = (0.5 * 1.1 + 5.0 * 0.1) / 1.2
    assert losses.place_loss(read, anchors[..., :2], anchors[..., 2]).item() == pytest.approx(
        expected, abs=1e-4
    )


def test_tint_loss_counts_points_that_both_pictures_show() -> None:
    swap, target = torch.full((1, 2, 3), 0.5), torch.zeros(1, 2, 3)
    tint = torch.tensor([[[0.5, 0.5, 0.2], [9.0, 9.0, 9.0]]])
    seen = torch.tensor([[1.0, 0.0]])
    assert losses.tint_loss(tint, swap, target, seen).item() == pytest.approx(0.1)
    assert losses.tint_loss(tint, swap, target, torch.zeros(1, 2)).item() == 0.0


def test_sight_loss_is_the_cross_entropy_of_what_is_shown() -> None:
    logits = torch.tensor([[0.0, 100.0]])
    assert losses.sight_loss(logits, torch.tensor([[1.0, 1.0]])).item() == pytest.approx(
        math.log(2) / 2
    )
    assert losses.sight_loss(logits, torch.tensor([[1.0, 0.0]])).item() > 49


def test_feature_loss_weighs_maps_alike_however_much_they_vary() -> None:
    wanted = {8: torch.full((1, 2, 8, 8), 4.0), 4: torch.full((1, 3, 4, 4), -0.5)}
    drawn = {8: wanted[8] - 1.0, 4: wanted[4] + 1.0}
    assert losses.feature_loss(drawn, wanted).item() == pytest.approx((1 / 4 + 1 / 0.5) / 2)
    assert losses.feature_loss(wanted, wanted).item() == 0.0
