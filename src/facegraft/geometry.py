"""Everything of a model that is fitted in closed form: mean face, exchange of shapes, outline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from facegraft.batches import NoReadings, grid_faces, readings_of
from facegraft.dataset import Grid, Person
from facegraft.decoder import Decoder
from facegraft.exchange_fit import Album, fit_exchange, fit_shapes
from facegraft.model import Model
from facegraft.outline_fit import Surroundings, fit_outline

SILENCE = 100.0
"""How much more than pairs say it counts that a person's own expression moves nothing."""


@torch.no_grad()
def fit_mean_face(model: Model, grids: Sequence[Grid], people: Sequence[Person]) -> None:
    """The mean face, and how one person's shapes differ; nothing where vectors are all there is."""
    if model.encoder.shapes is not None:
        regions = tuple(model.config.identity)
        fit_shapes(model.encoder.shapes, [_album(g, regions) for g in grids], _photographs(people))


@torch.no_grad()
def fit_geometry(model: Model, grids: Sequence[Grid], people: Sequence[Person], seed: int) -> None:
    """How landmarks and what lies about them move when shapes are exchanged.

    Args:
        model: its encoder is done with learning.
        people: imported ones, whose own expressions shall not be taken for their shape.
    """
    shapes, decoder = model.encoder.shapes, model.decoder
    if shapes is None or not isinstance(decoder, Decoder):
        return
    device, regions = model.device, tuple(model.config.identity)
    model.to("cpu")
    albums = [_album(grid, regions) for grid in grids]
    fit_exchange(decoder.exchange, shapes, albums, _photographs(people), seed, SILENCE)
    around = [_surroundings(model, grid) for grid in grids]
    fit_outline(decoder.outline, decoder.exchange, shapes, around, seed)
    model.to(device)


def _album(grid: Grid, regions: tuple[str, ...]) -> Album:
    if grid.readings is None:
        raise NoReadings(f"grid {grid.name} was not read; run the stage that reads landmarks")
    mixes = tuple(
        (mix.row, mix.base, mix.donor, regions.index(mix.region))
        for mix in grid.mixes
        if mix.region in regions
    )
    return Album(
        torch.from_numpy(np.asarray(grid.readings.landmarks)).float(),
        torch.from_numpy(np.asarray(grid.readings.expression)).float(),
        grid.people,
        mixes,
    )


def _photographs(people: Sequence[Person]) -> list[Album]:
    return [
        Album(
            torch.from_numpy(read.landmarks).float()[None],
            torch.from_numpy(read.expression).float()[None],
            (0,),
        )
        for read in readings_of(people)
        if len(read.landmarks) > 1
    ]


def _surroundings(model: Model, grid: Grid) -> Surroundings:
    rows, columns = grid.images.shape[:2]
    vectors = torch.stack(
        [
            model.encoder.vectors_alone(grid_faces(grid, [(i, a) for a in range(columns)]))
            for i in range(rows)
        ]
    )
    taken = torch.zeros(len(model.layout.contents), dtype=torch.bool)
    taken[list(model.layout.identity_dimensions)] = True
    assert grid.readings is not None
    return Surroundings(
        torch.from_numpy(np.asarray(grid.readings.landmarks)).float(),
        torch.from_numpy(np.asarray(grid.readings.expression)).float(),
        vectors * model.layout.vector**0.5,
        torch.from_numpy(np.asarray(grid.anchors, np.float32)),
        taken.repeat_interleave(model.layout.vector),
        grid.people,
    )
