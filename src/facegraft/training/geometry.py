"""Everything of a model that is fitted in closed form: mean face, exchange of shapes, outline."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from facegraft.data.batches import NoReadings, as_model, grid_faces, readings_of
from facegraft.data.grids import Grid, Person
from facegraft.method.decoder import Decoder
from facegraft.method.model import Model
from facegraft.training.exchange_fit import ReadingGrid, fit_exchange, fit_shapes
from facegraft.training.outline_fit import Surroundings, fit_outline

SILENCE = 100.0
"""Weight of the ridge penalty that keeps landmarks still for shape differences explained by one
person's expression, over the pair regression's."""


@torch.no_grad()
def fit_mean_face(models: Sequence[Model], grids: Sequence[Grid], people: Sequence[Person]) -> None:
    """The mean face, and how one person's shapes differ, the same in each of the models.

    Nothing where vectors are all there is.
    """
    known = [model.encoder.shapes for model in models if model.encoder.shapes is not None]
    if not known:
        return
    fitted, regions = copy.deepcopy(known[0]).cpu(), tuple(models[0].config.identity)
    dtype = models[0].dtype
    fit_shapes(
        fitted, [_reading_grid(grid, regions, dtype) for grid in grids], _photographs(people, dtype)
    )
    for shapes in known:
        shapes.load_state_dict(fitted.state_dict())


@torch.no_grad()
def fit_geometry(model: Model, grids: Sequence[Grid], people: Sequence[Person], seed: int) -> None:
    """How landmarks and what lies about them move when shapes are exchanged.

    Args:
        model: its encoder is done with learning.
        people: imported ones, whose own expressions shall not be taken for their shape.
    """
    fitted = copy.deepcopy(model).cpu()
    shapes, decoder = fitted.encoder.shapes, fitted.decoder
    if shapes is None or not isinstance(decoder, Decoder):
        return
    regions, dtype = tuple(model.config.identity), model.dtype
    readings = [_reading_grid(grid, regions, dtype) for grid in grids]
    fit_exchange(decoder.exchange, shapes, readings, _photographs(people, dtype), seed, SILENCE)
    around = [_surroundings(fitted, grid) for grid in grids]
    fit_outline(decoder.outline, decoder.exchange, shapes, around, seed)
    model.decoder.load_state_dict(decoder.state_dict())


def _reading_grid(grid: Grid, regions: tuple[str, ...], dtype: torch.dtype) -> ReadingGrid:
    if grid.readings is None:
        raise NoReadings(f"grid {grid.name} was not read; run the stage that reads landmarks")
    mixes = tuple((mix, regions.index(mix.region)) for mix in grid.mixes if mix.region in regions)
    return ReadingGrid(
        torch.from_numpy(np.asarray(grid.readings.landmarks)).to(dtype),
        torch.from_numpy(np.asarray(grid.readings.expression)).to(dtype),
        grid.people,
        mixes,
    )


def _photographs(people: Sequence[Person], dtype: torch.dtype) -> list[ReadingGrid]:
    return [
        ReadingGrid(
            torch.from_numpy(read.landmarks).to(dtype)[None],
            torch.from_numpy(read.expression).to(dtype)[None],
            (0,),
        )
        for read in readings_of(people)
        if len(read.landmarks) > 1
    ]


def _surroundings(model: Model, grid: Grid) -> Surroundings:
    rows, columns = grid.images.shape[:2]
    device, dtype = model.device, model.dtype
    faces = [grid_faces(grid, [(i, a) for a in range(columns)]) for i in range(rows)]
    vectors = torch.stack(
        [model.encoder.vectors_alone(as_model(row, device, dtype)) for row in faces]
    )
    taken = torch.zeros(len(model.layout.content_shapes), dtype=torch.bool)
    taken[list(model.layout.identity_dimensions)] = True
    assert grid.readings is not None
    return Surroundings(
        torch.from_numpy(np.asarray(grid.readings.landmarks)).to(dtype),
        torch.from_numpy(np.asarray(grid.readings.expression)).to(dtype),
        vectors * model.layout.vector**0.5,
        torch.from_numpy(np.asarray(grid.anchors, np.float32)).to(dtype),
        taken.repeat_interleave(model.layout.vector),
        grid.people,
    )
