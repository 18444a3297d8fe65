"""Dense warps: the mesh drawn, motion splatted, pictures read through fields."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facegraft.method.landmarks import SURFACE, face_mesh, mirrored_landmarks
from facegraft.method.warp import (
    FIELD,
    along,
    facing,
    pixel_centres,
    polygon_mask,
    raster,
    resized,
    sampled,
    softened,
    splat,
    splatted_motion,
    tone,
    warped,
    window_mean,
)
from tests.synthetic import readings

SIDE = 64


def face(yaw: float = 0.0) -> torch.Tensor:
    """(1, 478, 3), turned about the upright axis."""
    upright = torch.from_numpy(readings(np.random.default_rng(0), 1, 1).landmarks[0])
    cosine, sine = np.cos(yaw), np.sin(yaw)
    turn = torch.tensor([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]], dtype=torch.float32)
    return upright @ turn.T


def behind(landmarks: torch.Tensor) -> torch.Tensor:
    """With all triangles turned away."""
    return landmarks * torch.tensor([-1.0, 1.0, 1.0])


def test_what_landmarks_carry_is_spread_over_the_mesh() -> None:
    both = torch.cat([face(), face(0.4)])
    drawn = raster(both, SIDE)
    assert 0.2 < drawn.inside.float().mean() < 0.8
    sums = drawn.weights.sum(dim=3)
    torch.testing.assert_close(sums, drawn.inside.float())
    # Their own places, spread, are the pixels' places.
    places = drawn.spread(both[..., :2]).permute(0, 2, 3, 1)
    miss = (places - pixel_centres(SIDE)).abs().amax(dim=3)
    assert miss[drawn.inside].mean() < 0.4 / SIDE  # triangles are drawn to all pixels they touch
    assert (miss[drawn.inside] > 2 / SIDE).float().mean() < 0.02
    assert not places[~drawn.inside].any()
    assert drawn.spread(torch.ones(2, len(both[0]), 5)).shape == (2, 5, SIDE, SIDE)


def test_near_triangles_hide_far_ones_and_those_that_face_away_are_left_out() -> None:
    turned = face(0.9)
    drawn = raster(turned, SIDE)
    mesh = torch.from_numpy(face_mesh().corners)
    known = turned[0]
    first, second, third = (known[mesh[:, k]] for k in range(3))
    one, other = (second - first)[:, :2], (third - first)[:, :2]
    area = one[:, 0] * other[:, 1] - other[:, 0] * one[:, 1]
    row, column = torch.nonzero(drawn.inside[0]).T
    here = pixel_centres(SIDE)[row, column][:, None] - first[:, :2]  # (P, T, 2)
    u = (here[..., 0] * other[:, 1] - other[:, 0] * here[..., 1]) / area
    v = (one[:, 0] * here[..., 1] - here[..., 0] * one[:, 1]) / area
    covers = (u > 0.05) & (v > 0.05) & (u + v < 0.95) & (area < 0)
    depth = known[mesh, 2].mean(dim=1)
    assert (covers.sum(dim=1) > 1).sum() > 10  # the nose hides a cheek
    nearest = torch.where(covers, depth, torch.inf).min(dim=1).values
    shown = known[drawn.corners[0, row, column], 2].mean(dim=1)
    assert (shown <= nearest + 1e-5).all()
    # Seen from behind nothing is left but folds of the lips and lids.
    assert raster(behind(face()), SIDE).inside.sum() < 0.02 * raster(face(), SIDE).inside.sum()


def test_landmarks_that_face_the_viewer_are_told_from_those_that_do_not() -> None:
    mirror = torch.from_numpy(mirrored_landmarks())
    frontal, turned = facing(face())[0], facing(face(0.9))[0]
    assert frontal[[4, 9, 152 - 1, 13]].min() > 0.9
    assert (facing(behind(face())) > 0).sum() < 20
    hidden = turned[:SURFACE] == 0
    assert 40 < hidden.sum() < SURFACE / 2
    assert turned[mirror[:SURFACE][hidden]].mean() > 0.9


def test_a_splatted_point_carries_its_values_as_far_as_it_reaches() -> None:
    at = pixel_centres(FIELD)[20, 40]
    values = torch.tensor([[[2.0, -3.0]]])
    field = splat(at.view(1, 1, 2), values, torch.ones(1, 1), sigma=0.05, ridge=0.1)
    assert field.shape == (1, 3, FIELD, FIELD)
    torch.testing.assert_close(field[0, :, 20, 40], torch.tensor([2.0, -3.0, 1.0]) / 1.1)
    assert field[0, :, 50, 10].abs().max() < 1e-6
    assert field[0, 2].argmax() == 20 * FIELD + 40
    assert not splat(at.view(1, 1, 2), values, torch.zeros(1, 1), 0.05, 0.1).any()


def test_points_that_move_alike_make_a_field_that_moves_alike() -> None:
    ticks = torch.linspace(-1, 1, 21)
    places = torch.cartesian_prod(ticks, ticks)[None]
    motion = torch.tensor([0.1, -0.05]).expand_as(places)
    field, known = splatted_motion(places, motion, torch.ones(places.shape[:2]))
    inner = field[0, :, 8:-8, 8:-8]
    torch.testing.assert_close(inner[0], torch.full_like(inner[0], 0.1), rtol=0.05, atol=0)
    torch.testing.assert_close(inner[1], torch.full_like(inner[1], -0.05), rtol=0.05, atol=0)
    assert known.shape == (1, 1, FIELD, FIELD)
    assert known[..., 8:-8, 8:-8].min() > 0.95
    assert known.max() < 1
    still, _ = splatted_motion(places, torch.zeros_like(motion), torch.ones(places.shape[:2]))
    assert not still.any()
    # Two points close by keep their own motion, where a coarse field would mix them.
    apart = torch.tensor([[[-0.15, 0.0], [0.15, 0.0]]])
    opposite = torch.tensor([[[0.2, 0.0], [-0.2, 0.0]]])
    mixed, _ = splatted_motion(apart, opposite, torch.ones(1, 2))
    left, right = (int((x + 1) / 2 * FIELD) for x in (-0.15, 0.15))
    assert mixed[0, 0, FIELD // 2, left] > 0.15
    assert mixed[0, 0, FIELD // 2, right] < -0.15


@pytest.mark.parametrize("side", [32, 127])
def test_a_picture_read_where_it_lies_is_itself(side: int) -> None:
    image = torch.rand(2, 3, side, side) * 2 - 1
    still = torch.zeros(2, 2, side, side)
    torch.testing.assert_close(warped(image, still), image, atol=1e-5, rtol=0)
    still[:, 0] = 2 / side  # each pixel from its right neighbour, the border repeated
    expected = torch.cat([image[..., 1:], image[..., -1:]], dim=3)
    torch.testing.assert_close(warped(image, still), expected, atol=1e-4, rtol=0)


def test_tone_is_what_is_left_without_detail() -> None:
    for side in (32, 128):
        flat = torch.full((1, 3, side, side), 0.3)
        torch.testing.assert_close(tone(flat), flat)
        ramp = (pixel_centres(side)[..., 0] + pixel_centres(side)[..., 1])[None, None]
        inner = slice(side // 6, -side // 6)
        torch.testing.assert_close(
            tone(ramp)[..., inner, inner], ramp[..., inner, inner], atol=1e-5, rtol=0
        )
    board = torch.from_numpy(np.indices((128, 128)).sum(axis=0) % 2).float()[None, None]
    assert tone(board).std() < 0.01 * board.std()
    spot = torch.zeros(1, 1, 128, 128)
    spot[..., 64, 64] = 1
    assert tone(spot).nonzero()[:, 2:].sub(64).abs().max() == 8  # two boxes of nine
    torch.testing.assert_close(tone(spot).sum(), torch.tensor(1.0))


@pytest.mark.parametrize("side", [40, 512])
def test_a_mean_over_a_window_is_what_pooling_makes(side: int) -> None:
    image = torch.rand(2, 3, side, side + 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for reach in (1, 9):
        expected = F.avg_pool2d(image, reach, 1)
        torch.testing.assert_close(window_mean(image, reach), expected, rtol=0, atol=2e-5)
    flat = window_mean(torch.ones(1, 1, side, side), 9)
    assert torch.equal(flat, torch.ones_like(flat)), "a mask's inside stays 1, to the bit"


def test_splatting_is_the_weighted_mean_by_gaussians() -> None:
    draw = torch.Generator().manual_seed(1)
    places = torch.rand(1, 30, 2, generator=draw, dtype=torch.float64) * 2 - 1
    values = torch.rand(1, 30, 3, generator=draw, dtype=torch.float64)
    weights = torch.rand(1, 30, generator=draw, dtype=torch.float64)
    apart = (pixel_centres(FIELD, torch.float64)[:, :, None] - places[0]).square().sum(dim=3)
    near = torch.exp(-0.5 * apart / 0.05**2) * weights[0]
    expected = torch.einsum("yxk,kc->cyx", near, values[0]) / (near.sum(dim=2) + 0.1)
    field = splat(places, values, weights, 0.05, 0.1)
    torch.testing.assert_close(field[0, :3], expected, rtol=0, atol=1e-12)


def test_a_softened_mask_fades_within_itself() -> None:
    mask = ((pixel_centres(128) - 0.1).square().sum(dim=2) < 0.3).float()[None, None]
    soft = softened(mask, 9)
    assert not soft[mask == 0].any()
    assert soft[0, 0, 70, 70] == 1
    assert ((soft > 0.05) & (soft < 0.95)).float().mean() > 0.03
    whole = torch.ones(1, 1, 64, 64)
    assert torch.equal(softened(whole, 9), whole)  # the picture's edge is none of its own
    half = softened(mask[..., ::2, ::2], 9)
    torch.testing.assert_close(half, soft[..., ::2, ::2], atol=0.35, rtol=0)


def test_the_inside_of_a_polygon_is_covered_and_its_edge_is_soft() -> None:
    square = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    away = square + 5
    masks = polygon_mask(torch.stack([square, 0.5 * square, away]), SIDE)
    assert masks.shape == (3, 1, SIDE, SIDE)
    assert masks.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0.25, 0.0625, 0], rel=0.06)
    assert masks[0, 0, 18:46, 18:46].min() == 1
    assert not masks[0, 0, :15].any()
    slanted = polygon_mask(square[None] @ torch.tensor([[0.8, 0.6], [-0.6, 0.8]]), SIDE)
    assert ((slanted > 0.1) & (slanted < 0.9)).sum() > SIDE


def test_fields_change_their_size_and_keep_their_values() -> None:
    ramp = pixel_centres(32).permute(2, 0, 1)[None]
    assert resized(ramp, 32) is ramp
    for mode in ("bilinear", "bicubic"):
        larger = resized(ramp, 96, mode)[..., 8:-8, 8:-8]
        expected = pixel_centres(96).permute(2, 0, 1)[None, :, 8:-8, 8:-8]
        torch.testing.assert_close(larger, expected, atol=4e-3, rtol=0)


def test_a_ring_that_moves_as_one_moves_what_lies_between_its_landmarks_as_much() -> None:
    """Landmarks far apart left a scalloped field, which showed along the hairline."""
    angles = torch.arange(12) * 2 * torch.pi / 12
    ring = 0.7 * torch.stack([angles.cos(), angles.sin()], dim=1)[None]
    carried = torch.cat([ring, torch.full((1, 12, 2), 0.1), torch.ones(1, 12, 1)], dim=2)

    def least(parts: int) -> float:
        places, motion, weights = along(carried, range(12), parts).split((2, 2, 1), dim=2)
        field, _ = splatted_motion(places, motion, weights[..., 0])
        fine = torch.linspace(0, 2 * torch.pi, 200)
        on_ring = 0.7 * torch.stack([fine.cos(), fine.sin()], dim=1)[None, None]
        return float(sampled(field, on_ring).amin())

    assert along(carried, range(12), 4).shape == (1, 12 * 4, 5)
    assert least(4) > 0.93 * 0.1
    assert least(1) < 0.8 * 0.1
