"""Painted outlines: what they cover, and what the decoder makes of it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from facegraft.batches import draw_batch
from facegraft.dataset import Grid
from facegraft.decoder import Decoder
from facegraft.model import ModelConfig
from facegraft.paint import within_paint
from facegraft.points import Moved
from facegraft.strokes import BROW_POINTS, IRIS_POINTS, STROKES, coverage
from facegraft.texture import Ink, bend
from facegraft.training import TrainState, init_state, step_losses
from facegraft.tuning import _fine_parameters
from tests import tiny
from tests.painted import outlines, painted_faces


def area(channel: torch.Tensor) -> float:
    """Of the picture's 2 x 2."""
    return channel.mean().item() * 4


def test_coverage_is_the_area_within_the_outlines() -> None:
    assert outlines().shape == (1, STROKES, 2) == (1, BROW_POINTS + IRIS_POINTS, 2)
    brows, irises = coverage(outlines(), 256)[0]
    assert area(brows) == pytest.approx(2 * (0.4 * 0.1 + np.pi * 0.05**2), rel=0.05)
    assert area(irises) == pytest.approx(2 * np.pi * 0.1**2, rel=0.05)
    assert brows[int(0.65 * 128), int(1.4 * 128)] > 0.9  # the middle of the right brow
    assert irises[128, int(0.6 * 128)] > 0.9  # the middle of the left iris
    assert irises[128, 128] < 0.01


def test_an_iris_that_looks_aside_is_an_ellipse() -> None:
    aside = outlines()
    aside[:, -2] = aside[:, -3] + torch.tensor([0.05, 0.0])  # half as wide
    _, irises = coverage(aside, 256)[0]
    assert area(irises[:, 128:]) / 2 == pytest.approx(np.pi * 0.1 * 0.05, rel=0.06)


@pytest.mark.parametrize(("side", "rel"), [(64, 0.2), (128, 0.1), (512, 0.05)])
def test_coverage_says_the_same_at_any_size_but_for_soft_edges(side: int, rel: float) -> None:
    brows, irises = coverage(outlines(), side)[0]
    assert area(brows) == pytest.approx(2 * (0.4 * 0.1 + np.pi * 0.05**2), rel=rel)
    assert area(irises) == pytest.approx(2 * np.pi * 0.1**2, rel=rel)


@pytest.mark.parametrize("by", [(0.0, 0.0), (-0.7, 0.5), (0.9, -0.9), (5.0, 0.0)])
def test_what_others_in_the_batch_show_changes_nothing(by: tuple[float, float]) -> None:
    """Also half or wholly outside of the picture."""
    away = outlines() + torch.tensor(by)
    together = coverage(torch.cat([outlines(), away, 0.3 * outlines()]), 64)
    for k, one in enumerate((outlines(), away, 0.3 * outlines())):
        torch.testing.assert_close(together[k : k + 1], coverage(one, 64), atol=2e-3, rtol=0)
    assert (together[1].max() > 0.5) == (by[0] < 1)


def test_places_that_are_no_numbers_do_not_stop_the_drawing() -> None:
    """A training that went wrong says so by its losses, with step and images."""
    for bad in (math.nan, math.inf):
        broken = outlines()
        broken[0, 3] = bad
        assert coverage(torch.cat([broken, outlines()]), 32).shape == (2, 2, 32, 32)


def test_outlines_in_one_point_cover_nothing_and_pass_finite_gradients() -> None:
    points = torch.zeros(1, STROKES, 2, requires_grad=True)
    covered = coverage(points, 32)
    covered.sum().backward()
    assert torch.isfinite(covered).all()
    assert torch.isfinite(points.grad).all()
    assert covered.mean() < 0.02


def test_outlines_are_drawn_towards_what_they_shall_cover() -> None:
    wanted = coverage(outlines(), 64)
    points = (outlines() + torch.tensor([0.02, 0.03])).requires_grad_()
    before = (coverage(points, 64) - wanted).square().mean().item()
    optimizer = torch.optim.Adam([points], 1e-3)
    for _ in range(40):
        loss = (coverage(points, 64) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3 * before


def test_ink_changes_nothing_where_there_is_no_paint() -> None:
    torch.manual_seed(0)
    ink = Ink(4, 5)
    before = coverage(outlines(), 64)
    image, x, colours = torch.rand(1, 3, 64, 64), torch.rand(1, 4, 32, 32), torch.rand(1, 2, 3)
    change = ink(x, colours, -colours, image, before, torch.zeros_like(before))
    assert change.shape == image.shape
    assert change[..., :8, :].abs().max() < 0.01 * change.abs().max()  # the forehead
    assert change[..., 56:, :].abs().max() < 0.01 * change.abs().max()  # the chin
    assert change.abs().max() > 1e-3


def test_ink_lays_each_kinds_change_of_colour_over_where_it_comes_to_lie() -> None:
    ink = Ink(4, 5)
    torch.nn.init.zeros_(ink.last.weight)  # adds nothing, and half shows everywhere
    paint = coverage(outlines(), 64)
    image, x = torch.rand(1, 3, 64, 64), torch.rand(1, 4, 32, 32)
    change = torch.tensor([[[0.2, 0.0, -0.2], [0.0, 0.6, 0.0]]])  # brows, irises
    laid = ink(x, torch.zeros(1, 2, 3), change, image, torch.zeros_like(paint), paint)
    expected = 0.5 * sum(paint[:, k, None] * change[:, k, :, None, None] for k in range(2))
    torch.testing.assert_close(laid, expected)
    assert laid[:, 1].max() > 0.25  # an iris
    assert laid[:, 0].max() > 0.08  # a brow


def test_ink_hears_the_change_from_the_latents_and_from_what_the_target_shows() -> None:
    ink = Ink(4, 5)
    colours = torch.rand(3, 2, 3)
    assert not ink.recoloured(torch.rand(3, 5), colours).any()  # untaught it changes nothing
    with torch.no_grad():
        ink.change.weight[:, 5:] = -torch.eye(6)
    torch.testing.assert_close(ink.recoloured(torch.rand(3, 5), colours), -colours)


def test_ink_draws_in_the_eye_about_an_iris_but_not_beside_a_brow() -> None:
    paint = coverage(outlines(), 128)
    where = Ink(4, 5)._where(paint)[0, 0] > 0.5
    brow, iris = (channel > 0.5 for channel in paint[0])
    grown = [
        np.asarray(Image.fromarray(kind.numpy()).convert("L").filter(ImageFilter.MaxFilter(side)))
        for kind, side in ((brow, 3), (iris, 13))
    ]
    np.testing.assert_array_equal(where.numpy(), np.maximum(*grown) > 0)


def test_places_within_the_paint_are_within_it() -> None:
    places = within_paint(outlines())[0]
    at = ((places + 1) * 128).long()
    brows, irises = coverage(outlines(), 256)[0]
    assert (brows[at[:BROW_POINTS, 1], at[:BROW_POINTS, 0]] > 0.9).all()
    assert (irises[at[BROW_POINTS:, 1], at[BROW_POINTS:, 0]] > 0.9).all()
    middles = outlines()[0, BROW_POINTS::3].repeat_interleave(3, dim=0)
    away = torch.linalg.vector_norm(places[BROW_POINTS:] - middles, dim=1)
    torch.testing.assert_close(away, torch.full((IRIS_POINTS,), 0.07))


def painted_state() -> tuple[TrainState, Grid]:
    """A fresh state that draws paint."""
    section, grid = tiny.train_params(teach_steps=0), painted_faces()
    return init_state(section, ModelConfig.from_params(section, [grid]), grid), grid


def test_a_model_with_strokes_trains_its_ink_and_bends_by_the_surface_alone() -> None:
    state, grid = painted_state()
    assert state.model.config.strokes == STROKES
    batch = draw_batch([grid], tiny.train_params(), step=0)
    values = step_losses(state, batch, tiny.train_params(teach_steps=0))
    sum(values.values()).backward()
    ink = state.model.decoder.ink
    assert ink is not None
    assert all(parameter.grad.abs().sum() > 0 for parameter in ink.parameters())


def test_the_field_is_made_of_surface_points_and_moves_the_way_they_say() -> None:
    state, _ = painted_state()
    decoder: Decoder = state.model.decoder
    surface = state.model.config.surface_points - STROKES
    places = torch.zeros(1, surface + STROKES, 2)
    shift, tint = torch.zeros_like(places), torch.zeros(1, surface + STROKES, 3)
    shift[:, :surface, 0], tint[:, :surface, 1] = 0.1, 0.2
    shift[:, surface:], tint[:, surface:] = 9.0, 9.0  # the outlines' own do not count
    seen = torch.full(places.shape[:2], 20.0)
    field = decoder._field(places, Moved(shift, tint, seen))
    at = field.shape[-1] // 2
    assert field[0, 0, at, at].item() == pytest.approx(-0.1, rel=0.05)  # it comes from the left
    assert field[0, 3, at, at].item() == pytest.approx(0.2, rel=0.05)


def test_paint_is_where_the_outlines_are_and_where_they_go() -> None:
    state, _ = painted_state()
    decoder: Decoder = state.model.decoder
    surface = state.model.config.surface_points - STROKES
    places = torch.cat([torch.full((1, surface, 2), 9.0), outlines()], dim=1)
    shift = torch.zeros_like(places)
    shift[:, surface:, 0], shift[:, :surface] = 0.25, 5.0
    moved = Moved(shift, torch.zeros(1, len(shift[0]), 3), torch.zeros(places.shape[:2]))
    before, after = decoder._painted(places, moved)
    torch.testing.assert_close(before, coverage(outlines(), 32))
    torch.testing.assert_close(after[..., 4:], before[..., :-4])  # a quarter of 16 pixels


def test_ink_sees_the_paint_where_the_flow_brings_it() -> None:
    state, grid = painted_state()
    model = state.model.eval()
    torch.nn.init.normal_(model.decoder.to_flow.weight, std=0.3)
    seen: list[tuple[torch.Tensor, ...]] = []
    assert model.decoder.ink is not None
    model.decoder.ink.register_forward_pre_hook(lambda _, given: seen.append(given))
    batch = draw_batch([grid], tiny.train_params(), step=0)
    with torch.no_grad():
        z = model.encoder(batch.images)
        decoded = model.decoder(z)
        texture = model.decoder._texture(z)
        places, moved = model.decoder._moved(z, texture)
        before, after = model.decoder._painted(places, moved)
    assert decoded.flow.abs().max() > 0.05
    torch.testing.assert_close(seen[0][4], bend(before, decoded.flow))
    torch.testing.assert_close(seen[0][5], after)


def test_the_outlines_teach_their_places_but_no_flow() -> None:
    state, grid = painted_state()
    state.model.eval()
    section = tiny.train_params(teach_steps=0)
    batch = draw_batch([grid], section, step=0)
    elsewhere = batch.anchors.clone()
    elsewhere[:, -STROKES:, :2] += 0.3 * torch.rand(len(elsewhere), STROKES, 2)
    one, other = (
        step_losses(state, replace(batch, anchors=anchors), section)
        for anchors in (batch.anchors, elsewhere)
    )
    assert torch.equal(one["flow_loss"], other["flow_loss"])
    assert not torch.equal(one["anchor_loss"], other["anchor_loss"])


def test_tuning_may_draw_with_the_ink() -> None:
    decoder = painted_state()[0].model.decoder
    fine = {id(parameter) for parameter in _fine_parameters(decoder)}
    assert decoder.ink is not None
    assert {id(parameter) for parameter in decoder.ink.parameters()} <= fine
