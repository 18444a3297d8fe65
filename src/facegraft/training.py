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
from facegraft.latents import Layout, fuse, source_weights
from facegraft.model import Model, ModelConfig
from facegraft.paint import by_kind, by_stroke, paint_colours
from facegraft.points import PointsRead, colours_at
from facegraft.strokes import STROKES
from facegraft.teachers import Teachers
from facegraft.texture import Ink


class NonFiniteLoss(RuntimeError):
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
        anchors = grid.anchors[..., :2].astype(np.float32).mean(axis=(0, 1))
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

    def draw(step: int) -> Batch:
        return with_people(draw_batch(grids, params, step), people, params, step)

    batches = drawn_ahead(draw, params, state.step)
    state.model.train()
    while state.step < params.steps:
        started = time.perf_counter()
        learning_rate = scheduled_rate(state.step, params)
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate * group["scale"]
        batch = next(batches).to(device)
        with autocast:
            values = step_losses(state, batch, params)
        total = torch.stack([getattr(params.weights, k) * v for k, v in values.items()]).sum()
        if not torch.isfinite(total):
            raise NonFiniteLoss(_describe_non_finite(state.step, values, batch))
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
            images_per_second=len(batch.images) / (time.perf_counter() - started),
        )


def step_losses(state: TrainState, batch: Batch, params: TrainParams) -> dict[str, Tensor]:
    """Every loss of one step by its name; the encoder's alone while `teach_steps` last."""
    model, layout = state.model, state.model.layout
    z, points = ranks.shared(_encode, model.encoder, batch.images)  # (N + J, L)
    identity_read, attribute_read = state.teachers(z[: batch.rendered])
    values = {
        "identity_teacher_loss": loss.teacher_loss(
            identity_read, batch.identity_code, state.teachers.groups["identity"].values()
        ),
        "attribute_teacher_loss": loss.teacher_loss(
            attribute_read, batch.attribute_code, state.teachers.groups["attribute"].values()
        ),
        "contrast_loss": loss.contrast_loss(layout, z, batch.identity),
        "consistency_loss": loss.attribute_loss(layout, z[batch.true_swap], z[batch.target]),
    }
    if points is not None:
        values |= point_losses(model, batch, z, points)
    return values if state.step < params.teach_steps else values | swap_losses(state, batch, z)


def swap_losses(state: TrainState, batch: Batch, z: Tensor) -> dict[str, Tensor]:
    """What the decoder makes of the latents (N + J, L): every pair's swap, and reconstructions."""
    model, layout = state.model, state.model.layout
    source = torch.cat([batch.source, batch.foreign_source])
    target = torch.cat([batch.target, batch.foreign_target])
    parts = (*batch.transplant, *[None] * len(batch.foreign_source))
    weights = torch.stack([source_weights(layout, part and (part,)) for part in parts])
    fused = fuse(layout, z[source], z[target], weights)  # (P + F, L)
    decoded = ranks.shared(model.decoder, torch.cat([fused, z[batch.reconstructed]]))
    with torch.no_grad():
        seen = ranks.shared(state.ema.encoder, batch.images)  # (N + J, L)
        wanted = fuse(layout, seen[source], seen[target], weights)  # (P + F, L)
    z_drawn = ranks.shared(state.ema.encoder, decoded.image)  # (P + F + R, L)
    swaps, pairs = len(source), len(batch.source)
    known = torch.cat([batch.foreign_target[batch.foreign_same], batch.reconstructed])
    rest = torch.arange(swaps, len(z_drawn), device=z.device)
    again = torch.cat([pairs + batch.foreign_same, rest])  # what shall look like `known`
    values = {
        "identity_loss": loss.identity_loss(layout, z_drawn[:swaps], wanted),
        "attribute_loss": loss.attribute_loss(layout, z_drawn[:swaps], seen[target]),
        "mse_loss": loss.mse_loss(batch.images[known], decoded.image[again]),
        "perceptual_loss": loss.perceptual_loss(seen[known], z_drawn[again]),
        "swap_loss": loss.swap_loss(
            decoded.image[:pairs],
            batch.images[batch.true_swap],
            batch.changed * (1.0 + batch.features),
        ),
        "mask_loss": loss.mask_loss(decoded.mask_logits[:pairs], batch.changed),
    }
    if decoded.flow is not None:
        surface = batch.anchors[:, : batch.anchors.shape[1] - model.config.strokes]
        truth, before = surface[batch.true_swap], surface[batch.target]
        values["flow_loss"] = loss.flow_loss(decoded.flow[:pairs], truth, before, batch.still)
    return values


def point_losses(model: Model, batch: Batch, z: Tensor, read: PointsRead) -> dict[str, Tensor]:
    """Whether surface points are read rightly, and moved rightly by the pairs of the batch."""
    places, seen = batch.anchors[..., :2], batch.anchors[..., 2]
    stages = [loss.place_loss(stage[: batch.rendered], places, seen) for stage in read.stages]
    values = {"anchor_loss": torch.stack(stages).mean()}
    if model.decoder.mover is None:
        return values
    swap, target, vectors = batch.moved_swap, batch.moved_target, model.decoder.vectors(z)
    taken = taken_elements(model.layout, batch.moved_part).to(z.device)  # (M, V)
    fused = torch.where(taken, vectors[batch.moved_source], vectors[target])
    at = read.places.detach()
    colours = colours_at(batch.images, at)
    moved = ranks.shared(model.decoder.mover, at[target], colours[target], fused)
    known = colours_at(batch.images[: batch.rendered], places)
    both = seen[swap] * seen[target]
    if model.decoder.ink is not None:
        values["paint_loss"] = paint_loss(model.decoder.ink, batch, fused, at)
    return values | {
        "shift_loss": loss.place_loss(moved.shift, places[swap] - places[target], seen[swap]),
        "tint_loss": loss.tint_loss(moved.tint, known[swap], known[target], both),
        "sight_loss": loss.sight_loss(moved.sight, seen[swap]),
    }


def paint_loss(ink: Ink, batch: Batch, fused: Tensor, at: Tensor) -> Tensor:
    """Whether the change of brows' and irises' colours is known, by the pairs of the batch.

    Args:
        fused: (M, V), the vector latents of each. at: (N + J, K, 2), the points as they are read.
    """
    swap, target = batch.moved_swap, batch.moved_target
    outlines = batch.anchors[:, -STROKES:]
    seen = outlines[..., 2]
    known = paint_colours(batch.images[: batch.rendered], outlines[..., :2])
    read = by_kind(paint_colours(batch.images[target], at[target, -STROKES:]))
    change = by_stroke(ranks.shared(ink.recoloured, fused, read))
    return loss.tint_loss(change, known[swap], known[target], seen[swap] * seen[target])


def taken_elements(layout: Layout, parts: Sequence[str | None]) -> Tensor:
    """Which elements of the vector latents a swap takes from the source: bool (P, V)."""
    dimensions = list(layout.vector_dimensions)
    sizes = torch.tensor([layout.sizes[k] for k in dimensions])
    rows = {part: source_weights(layout, part and (part,))[dimensions] for part in set(parts)}
    return torch.stack([rows[part] for part in parts]).repeat_interleave(sizes, dim=1) > 0


def _encode(encoder: Encoder, images: Tensor) -> tuple[Tensor, PointsRead | None]:
    """The latents of (N, 3, S, S), and where its surface points are read."""
    features = encoder.features(images)
    return encoder.project(images, features), features.points


def scheduled_rate(step: int, params: TrainParams) -> float:
    """Linear warm-up, then a cosine to a hundredth of the learning rate."""
    if step < params.warmup_steps:
        return params.learning_rate * (step + 1) / params.warmup_steps
    done = (step - params.warmup_steps) / max(params.steps - params.warmup_steps, 1)
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


def _describe_non_finite(step: int, values: dict[str, Tensor], batch: Batch) -> str:
    bad = ", ".join(f"{name}={value.item()}" for name, value in values.items())
    return f"step {step}: a loss is not finite ({bad}); images {', '.join(batch.keys)}"
