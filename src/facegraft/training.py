"""Training of encoder and decoder: the whole loop on one screen. Yields metrics, logs nothing.

Claim 9, [0127]-[0139]: encode sample pairs, weight, fuse, decode the swap; decode unfused latents
into reconstructions; four losses decide. The guards of ours: latents are normalised, the renderer's
parameters are read back from them, z_id is contrasted, the true swap supervises the decoder, and
swaps and reconstructions are read by the EMA encoder, whose weights no loss can move.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facegraft import losses as loss
from facegraft import ranks
from facegraft.album_batches import with_people
from facegraft.batches import Batch, draw_batch, drawn_ahead
from facegraft.config import TrainParams
from facegraft.dataset import Grid, Person
from facegraft.device import autocast_for
from facegraft.encoder import Encoder
from facegraft.errors import FacegraftError
from facegraft.latents import fuse, source_weights
from facegraft.model import Model, ModelConfig
from facegraft.moves import MoveReader, Moves, move_losses, moves_of_batch
from facegraft.points import PointsRead
from facegraft.teachers import Teachers


class NonFiniteLoss(FacegraftError):
    """A loss became NaN or infinite; the message names step, losses and image keys."""


WIDTH = 256
"""Inputs of a linear layer up to which it learns at the full rate."""


@dataclass(frozen=True)
class StepMetrics:
    """What a step reports; `losses` maps each loss's name to its unweighted value."""

    step: int
    losses: dict[str, float]
    learning_rate: float
    gradient_norm: float
    images_per_second: float


@dataclass
class TrainState:
    """Everything that training changes; `checkpoint` stores and restores it bit for bit."""

    model: Model
    ema: Model
    teachers: Teachers
    optimizer: torch.optim.Optimizer
    step: int


def init_state(
    params: TrainParams,
    config: ModelConfig,
    grid: Grid,
    device: torch.device | None = None,
) -> TrainState:
    """A fresh state, a pure function of params.seed; `grid` tells the codes' groups.

    It is drawn on the CPU, so that it is the same on any device.
    """
    torch.manual_seed(params.seed)
    model = Model(config)
    teachers = Teachers(model.layout, grid.identity_groups, grid.attribute_groups)
    if model.encoder.points is not None:
        anchors = grid.anchors[..., :2].astype(np.float64).mean(axis=(0, 1))
        model.encoder.points.start_at(torch.from_numpy(anchors))
    for part in (model, teachers):
        part.to(device or "cpu")
    ranks.normalise_together(model)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, teachers),
        lr=params.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=params.weight_decay,
        foreach=True,
    )
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    return TrainState(model=model, ema=ema, teachers=teachers, optimizer=optimizer, step=0)


def parameter_groups(*modules: nn.Module) -> list[dict[str, Any]]:
    """Parameters by the scale of their learning rate.

    Adam moves every weight alike, so a wide linear layer's output moves with its width: such a
    layer learns at WIDTH / its inputs of the rate (maximal update, Yang & Hu 2021).
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for module in modules:
        for part in module.modules():
            inputs = part.in_features if isinstance(part, nn.Linear) else 1
            for parameter in part.parameters(recurse=False):
                scale = min(1.0, WIDTH / inputs) if parameter.ndim > 1 else 1.0
                groups.setdefault(scale, []).append(parameter)
    return [{"params": members, "scale": scale} for scale, members in sorted(groups.items())]


def train(
    state: TrainState, grids: Sequence[Grid], params: TrainParams, people: Sequence[Person] = ()
) -> Iterator[StepMetrics]:
    """Train from `state.step` to `params.steps`, yielding after every step.

    Args:
        people: imported pictures that join every step, see `album_batches`.

    Raises:
        NonFiniteLoss: before the optimiser's step, so `state` still holds finite weights.
    """
    trained = [*state.model.parameters(), *state.teachers.parameters()]
    device = state.model.device
    autocast = autocast_for(params, device)

    def draw(step: int) -> Batch | None:
        if phase_of(step, state.model, params).moves_alone:
            return None
        return with_people(draw_batch(grids, params, step), people, params, step)

    batches, reader = drawn_ahead(draw, params, state.step), MoveReader(state.model, grids, params)
    state.model.train()
    while state.step < params.steps:
        started = time.perf_counter()
        phase = phase_of(state.step, state.model, params)
        if phase.frozen:
            freeze_encoder(state)
        learning_rate = phase.learning_rate
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate * group["scale"]
        batch = next(batches) or reader.draw(state.step)
        with autocast:
            values = step_losses(state, batch.to(device, state.model.dtype), params)
        total = torch.stack([getattr(params.weights, k) * v for k, v in values.items()]).sum()
        if not torch.isfinite(total):
            raise NonFiniteLoss(_describe_non_finite(state.step, values, batch.keys))
        state.optimizer.zero_grad(set_to_none=True)
        total.backward()
        ranks.combine_gradients(state.model, state.teachers)
        norm = nn.utils.clip_grad_norm_(trained, params.clip_norm)
        state.optimizer.step()
        follow(state.ema, state.model, min(params.ema_decay, (1 + state.step) / (10 + state.step)))
        state.step += 1
        yield StepMetrics(
            step=state.step,
            losses={name: value.item() for name, value in values.items()},
            learning_rate=learning_rate,
            gradient_norm=norm.item(),
            images_per_second=len(batch.keys) / (time.perf_counter() - started),
        )


def step_losses(state: TrainState, batch: Batch | Moves, params: TrainParams) -> dict[str, Tensor]:
    """Every loss of one step by its name, see `Phase`."""
    model = state.model
    if isinstance(batch, Moves):
        return move_losses(model.decoder, batch)
    phase = phase_of(state.step, model, params)
    values: dict[str, Tensor] = {}
    with torch.set_grad_enabled(not phase.frozen):
        z, points = ranks.shared(_encode, model.encoder, batch.images)  # (N + J, L)
    if not phase.frozen:
        values |= encoder_losses(state, batch, z, points)
    if points is not None:
        values |= move_losses(model.decoder, moves_of_batch(model, batch, z, points.kept))
    if not phase.decodes:
        return values
    seen = z  # a frozen encoder is the averaged one
    if not phase.frozen:
        with torch.no_grad():
            seen = ranks.shared(state.ema.encoder, batch.images)  # (N + J, L)
    return values | swap_losses(state, batch, z, seen)


def encoder_losses(
    state: TrainState, batch: Batch, z: Tensor, points: PointsRead | None
) -> dict[str, Tensor]:
    """What the latents (N + J, L) say of what is known, and whether those agree that should."""
    layout, groups = state.model.layout, state.teachers.groups
    identity_read, attribute_read = state.teachers(z[: batch.rendered])
    values = {
        "identity_teacher_loss": loss.teacher_loss(
            identity_read, batch.identity_code, groups["identity"].values()
        ),
        "attribute_teacher_loss": loss.teacher_loss(
            attribute_read, batch.attribute_code, groups["attribute"].values()
        ),
        "contrast_loss": loss.contrast_loss(layout, z, batch.identity),
        "consistency_loss": loss.attribute_loss(layout, z[batch.true_swap], z[batch.target]),
    }
    return values if points is None else values | {"anchor_loss": read_loss(batch, points)}


def swap_losses(state: TrainState, batch: Batch, z: Tensor, seen: Tensor) -> dict[str, Tensor]:
    """What the decoder makes of the latents (N + J, L): every pair's swap, and reconstructions.

    Args:
        seen: (N + J, L), the latents as the averaged encoder reads them; they take no gradient.
    """
    model, layout = state.model, state.model.layout
    source = torch.cat([batch.source, batch.foreign_source])
    target = torch.cat([batch.target, batch.foreign_target])
    parts = (*batch.transplant, *[None] * len(batch.foreign_source))
    weights = torch.stack([source_weights(layout, part and (part,)) for part in parts])
    fused = fuse(layout, z[source], z[target], weights)  # (P + F, L)
    decoded = ranks.shared(model.decoder, torch.cat([fused, z[batch.reconstructed]]))
    wanted = fuse(layout, seen[source], seen[target], weights)  # (P + F, L)
    z_drawn, maps = ranks.shared(_read, state.ema.encoder, decoded.image)  # (P + F + R, L)
    swaps, pairs = len(source), len(batch.source)
    true_swaps = batch.images[batch.true_swap]
    with torch.no_grad():
        true_maps = ranks.shared(_read, state.ema.encoder, true_swaps)[1]
    known = torch.cat([batch.foreign_target[batch.foreign_same], batch.reconstructed])
    rest = torch.arange(swaps, len(z_drawn), device=z.device)
    again = torch.cat([pairs + batch.foreign_same, rest])  # what shall look like `known`
    values = {
        "identity_loss": loss.identity_loss(layout, z_drawn[:swaps], wanted),
        "attribute_loss": loss.attribute_loss(layout, z_drawn[:swaps], seen[target]),
        "mse_loss": loss.mse_loss(batch.images[known], decoded.image[again]),
        "perceptual_loss": loss.perceptual_loss(seen[known], z_drawn[again]),
        "swap_loss": loss.swap_loss(
            decoded.image[:pairs], true_swaps, batch.changed * (1.0 + batch.features)
        ),
        "feature_loss": loss.feature_loss({r: x[:pairs] for r, x in maps.items()}, true_maps),
        "mask_loss": loss.mask_loss(decoded.mask_logits[:pairs], batch.changed),
    }
    if decoded.flow is not None:
        surface = batch.anchors[:, : batch.anchors.shape[1] - model.config.strokes]
        truth, before = surface[batch.true_swap], surface[batch.target]
        values["flow_loss"] = loss.flow_loss(decoded.flow[:pairs], truth, before, batch.still)
    return values


def read_loss(batch: Batch, read: PointsRead) -> Tensor:
    """Whether surface points are read rightly, by every stage of the reader."""
    places, seen = batch.anchors[..., :2], batch.anchors[..., 2]
    stages = [loss.place_loss(stage[: batch.rendered], places, seen) for stage in read.stages]
    return torch.stack(stages).mean()


def _encode(encoder: Encoder, images: Tensor) -> tuple[Tensor, PointsRead | None]:
    """The latents of (N, 3, S, S), and where its surface points are read."""
    features = encoder.features(images)
    return encoder.project(images, features), features.points


def _read(encoder: Encoder, images: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
    """The latents of (N, 3, S, S), and the maps that they are made of."""
    features = encoder.features(images)
    return encoder.project(images, features), features.maps


@dataclass(frozen=True)
class Phase:
    """What a step teaches.

    First, for `teach_steps`, encoder and mover, nothing being decoded; then all. Where
    `freeze_encoder` asks for it the encoder stays as it is after that, `move_steps` teach the
    mover alone, by pairs of whole grids, and the rest what decodes; each part anneals by itself.
    """

    frozen: bool
    moves_alone: bool
    decodes: bool
    learning_rate: float


def phase_of(step: int, model: Model, params: TrainParams) -> Phase:
    """What `step` teaches a model; one that moves no points has no steps of the mover alone."""
    if not params.freeze_encoder:
        rate = scheduled_rate(step, params.steps, params)
        return Phase(False, False, step >= params.teach_steps, rate)
    taught = params.teach_steps
    moved = taught + (params.move_steps if model.decoder.mover is not None else 0)
    starts = (0, taught, moved, params.steps)
    part = sum(step >= start for start in starts[1:3])
    first, last = starts[part : part + 2]
    rate = scheduled_rate(step - first, last - first, params)
    return Phase(part > 0, part == 1, part == 2, rate)


def freeze_encoder(state: TrainState) -> None:
    """The averaged encoder is the encoder from now on; nothing moves it any more."""
    encoder = state.model.encoder
    if encoder.training:
        encoder.load_state_dict(state.ema.encoder.state_dict())
        encoder.eval().requires_grad_(False)


def scheduled_rate(step: int, steps: int, params: TrainParams) -> float:
    """Linear warm-up, then a cosine to a hundredth of the learning rate after `steps`."""
    if step < params.warmup_steps:
        return params.learning_rate * (step + 1) / params.warmup_steps
    done = (step - params.warmup_steps) / max(steps - params.warmup_steps, 1)
    return params.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


@torch.no_grad()
def follow(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights and statistics a step towards the trained ones."""
    for averaged, current in zip(
        ema.state_dict().values(), model.state_dict().values(), strict=True
    ):
        if averaged.is_floating_point():
            averaged.lerp_(current, 1.0 - decay)
        else:
            averaged.copy_(current)


def _describe_non_finite(step: int, values: dict[str, Tensor], keys: Sequence[str]) -> str:
    bad = ", ".join(f"{name}={value.item()}" for name, value in values.items())
    return f"step {step}: a loss is not finite ({bad}); images {', '.join(keys)}"
