"""What follows the face: which points lie about it, where they are and how they move."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facegraft.method.exchange import MODULATIONS, SHAPE_AXES, Exchange
from facegraft.method.landmarks import OVAL, canonical
from facegraft.method.outline import OUTER_LANDMARKS, Outline, motion_features, own_features
from facegraft.method.shapes import Shapes
from facegraft.training import outline_fit
from facegraft.training.exchange_fit import fit_exchange, fit_shapes
from facegraft.training.outline_fit import MARGIN, Surroundings, fit_outline, outer_landmarks
from tests.unit.test_exchange import DIRECTIONS, REGIONS, reading_grid

VECTORS = 6


def surroundings(seed: int, points: int = 40) -> Surroundings:
    """Anchors on three circles about the face; the outermost moves with the shape."""
    held = reading_grid(seed)
    rows, columns = held.landmarks.shape[:2]
    rng = np.random.default_rng(seed)
    vectors = torch.from_numpy(rng.normal(size=(rows, 1, VECTORS))).float()
    vectors = vectors.expand(-1, columns, -1)
    angle = torch.linspace(0, 2 * np.pi, points + 1)[:-1]
    circle = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
    sizes = torch.tensor([0.2, 1.3, 1.6]).repeat_interleave(points)
    ring = circle.repeat(3, 1) * sizes[:, None]
    middle = held.landmarks[..., :2].mean(dim=2, keepdim=True)
    mean = reading_grid(0).landmarks[0, 0]
    shape, scale, _ = canonical(held.landmarks.flatten(0, 1), mean)
    way = DIRECTIONS[0, 0]
    wide = ((shape - mean) * way).sum(dim=(1, 2)) / way.square().sum()
    widening = 1 + 0.1 * wide.view(rows, columns, 1, 1) * (sizes[:, None] > 1.5)
    places = middle + ring * widening / scale.view(rows, columns, 1, 1)
    seen = torch.ones(rows, columns, 3 * points, 1)
    seen[..., -1, :] = 0
    anchors = torch.cat([places, seen], dim=3)
    identity = torch.arange(VECTORS) < 3
    return Surroundings(held.landmarks, held.expression, vectors, anchors, identity, held.people)


def geometry() -> tuple[Exchange, Shapes]:
    grids = [reading_grid(1), reading_grid(2)]
    shapes, exchange = Shapes(), Exchange(REGIONS)
    fit_shapes(shapes, grids)
    fit_exchange(exchange, shapes, grids)
    return exchange, shapes


def test_the_points_about_the_face_lie_beyond_its_outline_and_are_few() -> None:
    exchange, shapes = geometry()
    grid = surroundings(1)
    chosen = outer_landmarks([grid], shapes)
    assert chosen.tolist() == list(range(40, 120))  # none of the inner circle
    oval = (shapes.mean[list(OVAL), :2] - shapes.mean[:, :2].mean(0)) * MARGIN
    assert torch.linalg.vector_norm(oval, dim=1).max() < 1.3
    many = outer_landmarks([surroundings(1, points=400)], shapes)
    assert OUTER_LANDMARKS / 2 < len(many) <= OUTER_LANDMARKS
    assert exchange.weight.any()


def test_without_anchors_nothing_is_placed_or_moved() -> None:
    exchange, shapes = geometry()
    outline = Outline(VECTORS)
    for buffer in outline.buffers():
        buffer.normal_()
    grid = surroundings(1)
    bare = Surroundings(
        grid.landmarks, grid.expression, grid.vectors, grid.anchors[:, :, :0], grid.identity,
        grid.people,
    )  # fmt: skip
    fit_outline(outline, exchange, shapes, [bare])
    assert not any(buffer.any() for buffer in outline.buffers())


def test_the_fit_places_and_moves_the_points_about_a_face(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outline_fit, "RIDGE", 1.0)  # for two small grids
    exchange, shapes = geometry()
    outline = Outline(VECTORS)
    fit_outline(outline, exchange, shapes, [surroundings(seed) for seed in range(1, 7)])
    known_grid, (i, a), (j, b) = surroundings(2), (0, 0), (1, 1)
    landmarks, expression = known_grid.landmarks[j, b][None], known_grid.expression[j, b][None]
    own = shapes(landmarks, expression)
    source = shapes(known_grid.landmarks[i, a][None], known_grid.expression[i, a][None])
    fused = torch.where(known_grid.identity, known_grid.vectors[i, a], known_grid.vectors[j, b])[
        None
    ]
    said = exchange.modulation(canonical(landmarks, shapes.mean)[2], expression)
    heard = exchange.features(source - own, canonical(landmarks, shapes.mean)[2], expression)
    told = own_features(said, (own - shapes.mean).flatten(1) @ exchange.axes, fused)
    assert told.shape == (1, 1 + MODULATIONS + SHAPE_AXES + VECTORS)
    moved = motion_features(heard, fused)
    outer = outline(told, moved, landmarks, shapes.mean, torch.ones(1))
    known, truth = (known_grid.anchors[k, b, 40:, :2] for k in (j, i))
    assert (outer.places[0, :80] - known).abs().mean() < 0.1
    # The widest circle alone moves: with the shapes' difference.
    expected = truth - known
    assert expected[40:].abs().mean() > 0.02
    miss = (outer.motion[0, :80] - expected).abs().mean()
    assert miss < 0.6 * expected.abs().mean()
    assert outer.seen[0, :79].min() > 0.9
    assert outer.seen[0, 79] < 0.1  # the last one never shows
    assert not outer.seen[0, 80:].any()  # points that the data lacks
    # Where the face's shape is not exchanged they are still.
    still = outline(told, moved, landmarks, shapes.mean, torch.zeros(1))
    assert not still.motion.any()
    assert torch.equal(still.places, outer.places)
