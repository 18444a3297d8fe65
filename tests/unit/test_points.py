"""Surface points: read from a picture, moved by fused latents, spread over the swap."""

from __future__ import annotations

import pytest
import torch

from facegraft.losses import place_loss
from facegraft.points import PointMover, PointReader, PointsRead, colours_at, spread
from tests import tiny


def maps(images: torch.Tensor) -> dict[int, torch.Tensor]:
    """The picture itself at three resolutions, as a reader may look at it."""
    return {r: torch.nn.functional.adaptive_avg_pool2d(images, r) for r in (32, 16, 8)}


def dots(places: torch.Tensor, side: int = 32) -> torch.Tensor:
    """Pictures with one soft bright dot each at `places` (B, 2): (B, 1, side, side)."""
    ticks = (torch.arange(side) + 0.5) * 2 / side - 1
    away = (ticks[None, None, :] - places[:, 0, None, None]) ** 2 + (
        ticks[None, :, None] - places[:, 1, None, None]
    ) ** 2
    return torch.exp(-away / 0.02)[:, None]


def test_a_reader_begins_at_the_mean_places_and_mends_them_in_stages() -> None:
    reader = PointReader(5, {32: 4, 16: 4, 8: 4}, summary=7)
    mean = torch.rand(5, 2)
    reader.start_at(mean)
    read = reader({r: torch.rand(2, 4, r, r) for r in (32, 16, 8)}, torch.zeros(2, 7))
    assert [stage.shape for stage in read.stages] == [(2, 5, 2)] * 3
    torch.testing.assert_close(read.stages[0], mean.expand(2, 5, 2))
    assert read.places is read.stages[-1]
    assert len(read.look) == 2


def test_a_reader_learns_to_find_a_dot_by_looking_near_it() -> None:
    torch.manual_seed(0)
    reader = PointReader(1, {32: 1, 16: 1, 8: 1}, summary=1)
    optimizer = torch.optim.Adam(reader.parameters(), 5e-3)
    nothing = torch.zeros(64, 1)  # no summary: the first stage can only say the mean
    errors = []
    for _ in range(120):
        places = torch.rand(64, 2) * 0.3 - 0.15
        read = reader(maps(dots(places)), nothing)
        known, seen = places[:, None], torch.ones(64, 1)
        stages = [place_loss(stage, known, seen) for stage in read.stages]
        optimizer.zero_grad()
        sum(stages).backward()
        optimizer.step()
        errors.append([stage.item() for stage in stages])
    first, _, last = torch.tensor(errors[-20:]).mean(dim=0).tolist()
    assert last < 0.5 * first


def test_an_untrained_mover_hardly_moves_anything() -> None:
    torch.manual_seed(0)
    mover = PointMover(6, vectors=10).eval()
    moved = mover(torch.rand(3, 6, 2), torch.rand(3, 6, 3), torch.randn(3, 10))
    assert moved.shift.shape == (3, 6, 2)
    assert moved.tint.shape == (3, 6, 3)
    assert moved.sight.shape == (3, 6)
    assert moved.shift.abs().max() < 0.05


def test_a_field_takes_the_nearest_points_value_and_rests_far_from_all() -> None:
    places = torch.tensor([[[-0.5, -0.5], [0.5, 0.5], [0.5, -0.5]]])
    values = torch.tensor([[[1.0], [-2.0], [7.0]]])
    weights = torch.tensor([[1.0, 1.0, 0.0]])  # the third is not to be seen
    field = spread(places, values, weights, 32)
    assert field.shape == (1, 2, 32, 32)
    value, known = field[0]
    assert value[8, 8].item() == pytest.approx(1.0, abs=0.15)
    assert value[24, 24].item() == pytest.approx(-2.0, abs=0.3)
    assert value[8, 24].abs().item() < 1e-3  # row is y, column x
    assert value[0, 16].abs().item() < 1e-3
    assert known[8, 8] > 0.8
    assert known[0, 16] < 1e-3


def test_colours_are_the_pictures_softened_at_the_places() -> None:
    image = torch.zeros(1, 3, 32, 32)
    image[:, 0, :, 16:] = 1.0
    colours = colours_at(image, torch.tensor([[[-0.6, 0.0], [0.6, 0.0], [0.0, 0.0]]]))
    torch.testing.assert_close(colours[0], torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [0.5, 0, 0]]))


def test_points_are_kept_in_their_latent_and_no_use_of_them_moves_the_reading() -> None:
    model = tiny.state().model.eval()  # of nine points
    layout = model.layout
    assert layout.points == 16
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    features = model.encoder.features(image)
    z = model.encoder.project(image, features)
    kept = layout.split(z)[layout.points]
    assert kept.shape == (2, 2 * 9)
    assert features.points is not None
    assert model.encoder.points is not None
    weight = model.encoder.points.first.weight
    assert torch.autograd.grad(kept.sum(), weight, retain_graph=True, allow_unused=True) == (None,)
    read = torch.autograd.grad(features.points.stages[0].sum(), weight)[0]
    assert read.abs().max() > 0
    ratio = kept.detach() / features.points.places.detach().flatten(1)
    torch.testing.assert_close(ratio, ratio[:1, :1].expand_as(ratio))


def test_points_close_to_each_other_keep_their_own_values() -> None:
    places = torch.tensor([[[-0.02, 0.0], [0.02, 0.0], [0.6, 0.6]]])  # 2.6 of 128 pixels apart
    values = torch.tensor([[[1.0], [-1.0], [0.5]]])
    field = spread(places, values, torch.ones(1, 3), 128)[:, :1]
    read = colours_at(field, places, 1)[0, :, 0]
    torch.testing.assert_close(read, values[0, :, 0], atol=0.15, rtol=0)


def test_the_tint_of_a_turned_slope_has_the_colour_of_the_light() -> None:
    torch.manual_seed(0)
    mover = PointMover(5, vectors=4).eval()
    torch.nn.init.zeros_(mover.last.weight)
    seen = (torch.rand(2, 5, 2), torch.rand(2, 5, 3), torch.randn(2, 4))
    light = torch.tensor([0.5, -0.25, 1.0])
    torch.nn.init.zeros_(mover.lights[-1].weight)
    mover.lights[-1].bias.data.copy_(light.repeat(PointMover.LIGHTS))
    tint = mover(*seen).tint
    assert tint.abs().min() > 0
    torch.testing.assert_close(tint / light, (tint / light)[..., :1].expand(2, 5, 3))


def test_a_point_far_outside_is_kept_just_outside() -> None:
    stage = torch.tensor([[[7.0, -0.3], [-1.1, -9.0]]], requires_grad=True)
    read = PointsRead((stage,), torch.zeros(1, 4))
    assert read.kept.tolist() == [[[1.25, pytest.approx(-0.3)], [pytest.approx(-1.1), -1.25]]]
    assert not read.kept.requires_grad
