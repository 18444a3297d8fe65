"""The phases of training: which part learns in which steps, what it starts from, at which rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from facegraft.core.config import TrainParams
from facegraft.data.grids import Grid, Person
from facegraft.training.geometry import fit_geometry, fit_mean_face
from facegraft.training.state import TrainState


@dataclass(frozen=True)
class Phase:
    """Steps start to stop - 1; each phase warms up and anneals by itself.

    Attributes:
        trains_encoder: by the encoder losses on rendered and imported pictures; where the decoder
            is trained too, by its losses as well.
        trains_decoder: by the decoder losses on pairs whose true swap is known.
    """

    start: int
    stop: int
    trains_encoder: bool
    trains_decoder: bool


def phases(params: TrainParams) -> tuple[Phase, ...]:
    """First the encoder alone, then the decoder with the encoder frozen.

    With `vector_only` the encoder goes on in the second phase: all that the decoder gets to see of
    a picture are the vectors, so both have to learn what these hold.
    """
    taught = min(params.teach_steps, params.steps)
    return (
        Phase(0, taught, trains_encoder=True, trains_decoder=False),
        Phase(taught, params.steps, trains_encoder=params.vector_only, trains_decoder=True),
    )


def phase_of(step: int, params: TrainParams) -> Phase:
    """The phase that a step belongs to."""
    return next(phase for phase in phases(params) if step < phase.stop)


def begin(
    phase: Phase,
    state: TrainState,
    grids: Sequence[Grid],
    params: TrainParams,
    people: Sequence[Person],
) -> None:
    """Freeze what a phase does not train and, before its first step, fit what it starts from.

    Before the encoder's phase the mean face is fitted in closed form; before the decoder's the EMA
    encoder becomes the encoder and, if an encoder was trained, the geometry is fitted to it. Where
    training is resumed amid a phase, all that came back with the state.
    """
    model, ema = state.model.train(), state.ema
    model.requires_grad_(True)
    if params.freeze_convolutions and params.init != "scratch":
        model.encoder.freeze_convolutions()
    fresh = state.step == phase.start
    if phase.trains_encoder and not phase.trains_decoder:
        model.decoder.requires_grad_(False)
        if fresh:
            fit_mean_face((model, ema), grids, people)
    elif not phase.trains_encoder:
        model.encoder.eval().requires_grad_(False)
        if fresh:  # from now on encoder == EMA encoder
            model.encoder.load_state_dict(ema.encoder.state_dict())
        if fresh and phase.start:  # an encoder phase came before
            fit_geometry(model, grids, people, params.seed)
            ema.decoder.load_state_dict(model.decoder.state_dict())


def set_rate(state: TrainState, phase: Phase, params: TrainParams) -> float:
    """Give the optimiser this step's learning rate, and return it."""
    rate = scheduled_rate(state.step - phase.start, phase.stop - phase.start, params)
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    return rate


def scheduled_rate(step: int, steps: int, params: TrainParams) -> float:
    """Linear warm-up, then a cosine to a hundredth of the learning rate after `steps`."""
    if step < params.warmup_steps:
        return params.learning_rate * (step + 1) / params.warmup_steps
    done = (step - params.warmup_steps) / max(steps - params.warmup_steps, 1)
    return params.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
