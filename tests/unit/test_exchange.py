"""The exchange of shapes: silent where nothing differs, linear, local, blind to expression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from facegraft.data.grids import Mix
from facegraft.method.exchange import SHAPE_AXES, Exchange
from facegraft.method.landmarks import EXPRESSIONS, FACE, NUM_LANDMARKS, SEEDS, memberships
from facegraft.method.shapes import Shapes
from facegraft.training.exchange_fit import ReadingGrid, fit_exchange, fit_shapes
from tests.synthetic import readings

REGIONS = (FACE, "eyes", "brows", "nose", "mouth")
BASE = torch.from_numpy(readings(np.random.default_rng(0), 1, 1).landmarks[0, 0])


def directions() -> torch.Tensor:
    """Three ways in which each region of a face may differ, (R, 3, 478, 3)."""
    generator = torch.Generator().manual_seed(7)
    share = torch.from_numpy(memberships(REGIONS))  # (478, R)
    waves = torch.randn(len(REGIONS), 3, 3, 3, generator=generator) * 2
    ways = torch.randn(len(REGIONS), 3, 1, 3, generator=generator) * 0.03
    return torch.sin(BASE @ waves).sum(dim=3, keepdim=True) * ways * share.T[:, None, :, None]


DIRECTIONS = directions()


def reading_grid(seed: int, *, rows: int = 8, columns: int = 5, mixes: bool = False) -> ReadingGrid:
    """People who differ by `DIRECTIONS`, turned and placed anew in each column."""
    rng = np.random.default_rng(seed)
    code = torch.from_numpy(rng.normal(size=(rows, len(REGIONS), 3))).float()
    mixed: list[tuple[Mix, int]] = []
    if mixes:
        people = code.clone()
        for k in range(4 * len(REGIONS)):
            region, base, donor = k % len(REGIONS), k % rows, (k + 3) % rows
            own = people[base : base + 1].clone()
            own[0, region] = people[donor, region]
            mixed.append((Mix(len(code), base, donor, REGIONS[region]), region))
            code = torch.cat([code, own])
    landmarks = torch.stack([placed(bent(code), rng) for _ in range(columns)], dim=1)
    expression = torch.from_numpy(rng.uniform(0, 0.4, (1, columns, EXPRESSIONS))).float()
    return ReadingGrid(
        landmarks,
        expression.expand(len(code), -1, -1),
        tuple(range(rows)),
        tuple(mixed),
    )


def bent(code: torch.Tensor) -> torch.Tensor:
    """(I, R, 3) -> (I, 478, 3)."""
    return BASE + torch.einsum("irk,rkld->ild", code, DIRECTIONS)


def placed(faces: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """All faces under one turn, size and place."""
    yaw, size, shift = rng.uniform(-0.4, 0.4), rng.uniform(0.8, 1.1), rng.normal(size=3) * 0.05
    cosine, sine = np.cos(yaw), np.sin(yaw)
    turn = torch.tensor([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]], dtype=torch.float32)
    return size * faces @ turn.T + torch.from_numpy(shift).float()


Fit = tuple[Exchange, Shapes]


def fitted(photographs: Sequence[ReadingGrid] = ()) -> Fit:
    """To three small grids of people, and `photographs` to be silent about."""
    grids = [reading_grid(seed, rows=20, mixes=True) for seed in (1, 2, 3)]
    shapes, exchange = Shapes(), Exchange(REGIONS)
    fit_shapes(shapes, grids)
    fit_exchange(exchange, shapes, grids, photographs, seed=0, silence=100.0)
    return exchange, shapes


@pytest.fixture(scope="module")
def fit() -> Fit:
    return fitted()


def swapped(
    exchange: Exchange,
    shapes: Shapes,
    held: ReadingGrid,
    rows: tuple[int, int],
    taken: torch.Tensor,
) -> torch.Tensor:
    """Row 0 of two onto row 1, under the grid's first and second columns: (478, 3)."""
    (i, j), (a, b) = rows, (0, 1)
    faces, expressions = held.landmarks[[i, j], [a, b]], held.expression[[i, j], [a, b]]
    neutral = shapes(faces, expressions)
    difference = (neutral[:1] - neutral[1:]) * (taken @ exchange.membership.T)[..., None]
    return exchange(difference, faces[1:], expressions[1:], taken, shapes.mean)[0]


def filled() -> Exchange:
    """With buffers of noise."""
    torch.manual_seed(0)
    exchange = Exchange(REGIONS)
    for name in ("axes", "expression_axes", "expression_mean", "weight"):
        getattr(exchange, name).normal_(std=0.05)
    return exchange


def test_it_is_silent_where_the_shapes_do_not_differ() -> None:
    exchange, faces = filled(), reading_grid(3).landmarks[:, 0]
    moods, taken = torch.rand(len(faces), EXPRESSIONS), torch.ones(len(faces), len(REGIONS))
    moved = exchange(torch.zeros_like(faces), faces, moods, taken, BASE)
    assert torch.equal(moved, faces)
    assert not torch.allclose(exchange(torch.ones_like(faces), faces, moods, taken, BASE), faces)


def test_twice_the_difference_moves_twice_as_far() -> None:
    exchange, faces = filled(), reading_grid(3).landmarks[:, 0]
    moods, taken = torch.rand(len(faces), EXPRESSIONS), torch.ones(len(faces), len(REGIONS))
    difference = 0.1 * torch.randn(faces.shape)
    once, twice = (exchange(k * difference, faces, moods, taken, BASE) - faces for k in (1.0, 2.0))
    torch.testing.assert_close(twice, 2 * once, atol=1e-4, rtol=1e-3)


def test_regions_that_are_not_taken_do_not_move() -> None:
    exchange, faces = filled(), reading_grid(3).landmarks[:1, 0]
    expressions = torch.rand(1, EXPRESSIONS)
    share = torch.from_numpy(memberships(REGIONS))
    difference = torch.randn(faces.shape)
    for k, region in enumerate(REGIONS):
        taken = torch.eye(len(REGIONS))[k : k + 1]
        moved = exchange(difference, faces, expressions, taken, BASE)[0]
        still = share[:, k] < 1e-9
        assert still.sum() > 20, region
        torch.testing.assert_close(moved[still], faces[0, still], atol=1e-6, rtol=0)
        own = share[:, k] > 0.99
        assert (moved[own] - faces[0, own]).abs().amax(dim=1).min() > 1e-4, region


def test_motion_follows_the_heads_turn_size_and_place() -> None:
    """Of a regression that hears neither turn nor mood."""
    exchange = filled()
    exchange.weight[SHAPE_AXES:] = 0
    face, expressions, taken = BASE[None], torch.zeros(1, EXPRESSIONS), torch.ones(1, len(REGIONS))
    difference = torch.randn(face.shape)
    moved = exchange(difference, face, expressions, taken, BASE)
    both = torch.cat([face, moved])
    there = placed(both, np.random.default_rng(5))
    again = exchange(difference, there[:1], expressions, taken, BASE)
    torch.testing.assert_close(again, there[1:], atol=1e-4, rtol=1e-3)


def miss(moved: torch.Tensor, truth: torch.Tensor) -> float:
    """Mean distance of two faces' landmarks, (478, 3) each."""
    return torch.linalg.vector_norm(moved - truth, dim=1).mean().item()


def test_the_fit_recovers_how_rendered_people_differ(fit: Fit) -> None:
    unseen, whole = reading_grid(9), torch.ones(1, len(REGIONS))
    for rows in ((0, 1), (2, 5), (7, 3)):
        moved = swapped(*fit, unseen, rows, whole)
        truth, copied = unseen.landmarks[rows[0], 1], unseen.landmarks[rows[1], 1]
        assert miss(moved, truth) < 0.3 * miss(copied, truth)


def test_the_fit_learns_from_composites_what_one_region_does(fit: Fit) -> None:
    unseen = reading_grid(9, mixes=True)
    for k, region in enumerate(REGIONS):
        taken = torch.eye(len(REGIONS))[k : k + 1]
        mixes = [mix for mix, region in unseen.mixes if region == k]
        off = copied = 0.0
        for mix in mixes:
            row, base, donor = mix.row, mix.base, mix.donor
            truth = unseen.landmarks[row, 1]
            off += miss(swapped(*fit, unseen, (donor, base), taken), truth)
            copied += miss(unseen.landmarks[base, 1], truth)
        assert off < 0.6 * copied, region


def test_a_face_that_differs_as_nobody_did_before_is_not_thrown_about() -> None:
    """A small grid shows fewer ways to differ, and fewer expressions, than there are axes."""
    grids, shapes, exchange = [reading_grid(1, rows=6, columns=3)], Shapes(), Exchange(REGIONS)
    fit_shapes(shapes, grids)
    fit_exchange(exchange, shapes, grids)
    expressions, taken = torch.rand(1, EXPRESSIONS), torch.ones(1, len(REGIONS))
    difference = 0.01 * torch.randn(1, NUM_LANDMARKS, 3)
    moved = exchange(difference, shapes.mean[None], expressions, taken, shapes.mean)
    assert miss(moved[0], shapes.mean) < 0.1


def photographs(direction: torch.Tensor) -> tuple[ReadingGrid, ...]:
    """People whose first coefficient, and nothing else, moves them that way."""
    grids = []
    for seed in range(4):
        rng = np.random.default_rng((11, seed))
        person = bent(torch.from_numpy(rng.normal(size=(1, len(REGIONS), 3))).float())
        expression = torch.full((1, 10, EXPRESSIONS), 0.2)
        expression[0, :, 0] = torch.linspace(0, 1, 10)
        shown = person + expression[0, :, :1, None] * direction
        landmarks = torch.cat([placed(shown[k : k + 1], rng) for k in range(10)])
        grids.append(ReadingGrid(landmarks[None], expression, (0,)))
    return tuple(grids)


def test_what_expression_does_to_photographs_moves_nothing(fit: Fit) -> None:
    """In rendered people the mouth's shape says who it is; in photographs it is a smile."""
    smile, other = (2 * DIRECTIONS[REGIONS.index(one), 0] for one in ("mouth", "nose"))
    expressions, taken = torch.full((1, EXPRESSIONS), 0.2), torch.ones(1, len(REGIONS))

    def motion(known: Fit, difference: torch.Tensor) -> float:
        exchange, shapes = known
        moved = exchange(difference[None], shapes.mean[None], expressions, taken, shapes.mean)
        return miss(moved[0], shapes.mean)

    blind = fitted(photographs(smile))
    silenced, kept = (motion(blind, one) / motion(fit, one) for one in (smile, other))
    assert silenced < 0.7
    assert kept > 1.2 * silenced


def test_shapes_lose_what_turn_and_expression_say_of_them() -> None:
    smile = 2 * DIRECTIONS[REGIONS.index("mouth"), 0]
    shapes = Shapes()
    grids = photographs(smile)
    fit_shapes(shapes, [reading_grid(1)], grids * 20)
    one = grids[0]
    neutral = shapes(one.landmarks[0], one.expression[0])
    left = (neutral - neutral.mean(dim=0)).norm()
    raw = one.expression[0, :, :1, None] * smile
    assert left < 0.5 * (raw - raw.mean(dim=0)).norm()
    assert neutral.shape == (10, NUM_LANDMARKS, 3)
    assert SEEDS.keys() == set(REGIONS) - {FACE}
