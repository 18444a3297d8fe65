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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from facegraft.core import ranks
from facegraft.core.config import RuntimeParams, TrainParams
from facegraft.core.device import autocast_for
from facegraft.core.errors import FacegraftError
from facegraft.data.batches import Block, Pairs, as_model, draw_block, draw_swap_batch, prefetched
from facegraft.data.faces import Faces
from facegraft.data.grids import Grid, Person
from facegraft.method import losses as loss
from facegraft.method.decoder import Decoded, Decoder, Plan
from facegraft.method.encoder import Encoder
from facegraft.method.latents import fuse, source_weights
from facegraft.method.model import Model, ModelConfig, drawn_faces
from facegraft.training.geometry import fit_geometry, fit_mean_face
from facegraft.training.parameter_heads import ParameterHeads


class NonFiniteLoss(FacegraftError):
    """A loss became NaN or infinite; the message names step, losses and image keys."""


WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "swap_loss": 1.0,
        "feature_loss": 0.45,
        "identity_parameter_loss": 1.0,
        "attribute_parameter_loss": 1.0,
        "contrast_loss": 0.1,
        "consistency_loss": 0.03,
    }
)
"""Weights in the total of the losses that are not the patent's; its four are `train.weights`."""

AUTO = RuntimeParams()

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

    @property
    def text(self) -> str:
        """The step in a few words, for a progress bar."""
        shown = ("swap_loss", "identity_loss", "attribute_loss", "identity_parameter_loss")
        return " ".join(f"{k}={self.losses[k]:.3f}" for k in shown if k in self.losses)


@dataclass
class TrainState:
    """Everything that training changes; `checkpoint` stores and restores it bit for bit."""

    model: Model
    ema: Model
    heads: ParameterHeads
    optimizer: torch.optim.Optimizer
    step: int


@dataclass(frozen=True)
class Phase:
    """Steps that are taught alike; each phase warms up and anneals by itself.

    Attributes:
        reads: the encoder learns, from what the renderer knows of pictures.
        draws: the decoder learns, from true swaps.
    """

    first: int
    last: int
    reads: bool
    draws: bool


def phases(params: TrainParams) -> tuple[Phase, ...]:
    """First the encoder reads, then the decoder draws; plain vectors have to learn both at once."""
    taught = min(params.teach_steps, params.steps)
    return (
        Phase(0, taught, reads=True, draws=False),
        Phase(taught, params.steps, reads=params.vector_only, draws=True),
    )


def phase_of(step: int, params: TrainParams) -> Phase:
    """The phase that a step belongs to."""
    return next(phase for phase in phases(params) if step < phase.last)


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
    heads = ParameterHeads(model.layout.bare, grid.identity_groups, grid.attribute_groups)
    for part in (model, heads):
        part.to(device or "cpu")
    ranks.normalise_together(model)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, heads),
        lr=params.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=params.weight_decay,
        foreach=True,
    )
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    return TrainState(model=model, ema=ema, heads=heads, optimizer=optimizer, step=0)


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
    state: TrainState,
    grids: Sequence[Grid],
    params: TrainParams,
    people: Sequence[Person] = (),
    runtime: RuntimeParams = AUTO,
) -> Iterator[StepMetrics]:
    """Train from `state.step` to `params.steps`, yielding after every step.

    Args:
        people: imported pictures that join every step, see `batches`.
        runtime: says how finely the losses are computed; where is where `state` lies.

    Raises:
        NonFiniteLoss: before the optimiser's step, so `state` still holds finite weights.
    """
    trained = [*state.model.parameters(), *state.heads.parameters()]
    for phase in phases(params):
        if not phase.first <= state.step < phase.last:
            continue
        begin(phase, state, grids, params, people)
        drawing = partial(draw, phase, grids, people, params)
        batches = prefetched(drawing, phase.last, state.step)
        for batch in batches:
            started = time.perf_counter()
            learning_rate = set_rate(state, phase, params)
            values = step_losses(state, phase, batch, runtime)
            total = weighted(values, params)
            if not torch.isfinite(total):
                raise NonFiniteLoss(_describe_non_finite(state.step, values, batch))
            state.optimizer.zero_grad(set_to_none=True)
            total.backward()
            ranks.combine_gradients(state.model, state.heads)
            norm = nn.utils.clip_grad_norm_(trained, params.clip_norm)
            state.optimizer.step()
            done = state.step - phase.first
            update_ema(state.ema, state.model, min(params.ema_decay, (1 + done) / (10 + done)))
            state.step += 1
            yield StepMetrics(
                step=state.step,
                losses={name: value.item() for name, value in values.items()},
                learning_rate=learning_rate,
                gradient_norm=norm.item(),
                images_per_second=_images(batch) / (time.perf_counter() - started),
            )


Batch = tuple[Block | None, Pairs | None]


def draw(
    phase: Phase, grids: Sequence[Grid], people: Sequence[Person], params: TrainParams, step: int
) -> Batch:
    """What a step of a phase sees."""
    return (
        draw_block(grids, people, params, step) if phase.reads else None,
        draw_swap_batch(grids, people, params, step) if phase.draws else None,
    )


def begin(
    phase: Phase,
    state: TrainState,
    grids: Sequence[Grid],
    params: TrainParams,
    people: Sequence[Person],
) -> None:
    """What learns in a phase and, before its first step, what is settled for it.

    Where training is resumed amid a phase, all that was settled came back with the state.
    """
    model, ema = state.model.train(), state.ema
    model.requires_grad_(True)
    if params.freeze_convolutions and params.init != "scratch":
        model.encoder.freeze_convolutions()
    fresh = state.step == phase.first
    if phase.reads and not phase.draws:
        model.decoder.requires_grad_(False)
        if fresh:
            fit_mean_face((model, ema), grids, people)
    elif not phase.reads:
        model.encoder.eval().requires_grad_(False)
        if fresh:  # the averaged encoder is the encoder from now on
            model.encoder.load_state_dict(ema.encoder.state_dict())
        if fresh and phase.first:  # it was taught anew
            fit_geometry(model, grids, people, params.seed)
            ema.decoder.load_state_dict(model.decoder.state_dict())


def set_rate(state: TrainState, phase: Phase, params: TrainParams) -> float:
    """Give the optimiser this step's learning rate, and return it."""
    rate = scheduled_rate(state.step - phase.first, phase.last - phase.first, params)
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    return rate


def step_losses(
    state: TrainState, phase: Phase, batch: Batch, runtime: RuntimeParams = AUTO
) -> dict[str, Tensor]:
    """Every loss of one step by its name."""
    block, pairs = batch
    device, dtype = state.model.device, state.model.dtype
    values: dict[str, Tensor] = {}
    with autocast_for(runtime, device):
        if block is not None:
            values |= read_losses(state, as_model(block, device, dtype))
        if pairs is not None:
            values |= draw_losses(state, as_model(pairs, device, dtype), learns=phase.reads)
    return values


def weighted(values: Mapping[str, Tensor], params: TrainParams) -> Tensor:
    """The total of the losses: a scalar."""
    weights = {**WEIGHTS, **params.weights.model_dump()}
    return torch.stack([weights[name] * value for name, value in values.items()]).sum()


def read_losses(state: TrainState, block: Block) -> dict[str, Tensor]:
    """What the latents say of what is known, and whether those agree that should."""
    layout, groups = state.model.layout.bare, state.heads.groups
    z = encoded(state.model.encoder, block.faces, contents=False)  # vectors alone
    rendered = len(block.identity_code)
    identity_read, attribute_read = state.heads(z[:rendered])
    return {
        "identity_parameter_loss": loss.parameter_loss(
            identity_read, block.identity_code, groups["identity"].values()
        ),
        "attribute_parameter_loss": loss.parameter_loss(
            attribute_read, block.attribute_code, groups["attribute"].values()
        ),
        "contrast_loss": loss.contrast_loss(layout, z, block.identity),
        "consistency_loss": loss.consistency_loss(layout, z[:rendered], block.attributes),
    }


def draw_losses(state: TrainState, pairs: Pairs, *, learns: bool) -> dict[str, Tensor]:
    """What the decoder makes of pairs: every swap, and a reconstruction of the first target.

    Args:
        learns: the encoder takes gradients, too.
    """
    model, layout, ema = state.model, state.model.layout, state.ema.encoder
    with torch.set_grad_enabled(learns):
        z_source, z_target = (encoded(model.encoder, x) for x in (pairs.source, pairs.target))
    weights = torch.stack([source_weights(layout, part and (part,)) for part in pairs.parts])
    fused = fuse(layout, z_source, z_target, weights)  # (P, L)
    first = pairs.target[:1]
    decoded = drawn(model, torch.cat([fused, z_target[:1]]), pairs.true_swap, first)
    with torch.no_grad():
        kept, seen = z_target, fused  # an encoder that stays is the averaged one
        if learns:
            kept = encoded(ema, pairs.target)
            seen = fuse(layout, encoded(ema, pairs.source), kept, weights)
        wanted = ranks.shared(ema.features, pairs.true_swap.images).maps
    faces = drawn_faces(decoded, Faces.joined([pairs.target, first]))
    count = len(fused)
    z, maps = ranks.shared(_read, faces.images, faces, ema)
    return {
        "identity_loss": loss.identity_loss(layout, z[:count], seen),
        "attribute_loss": loss.attribute_loss(layout, z[:count], kept),
        "mse_loss": loss.mse_loss(first.images, decoded.image[count:]),
        "perceptual_loss": loss.perceptual_loss(kept[:1], z[count:]),
        "swap_loss": loss.swap_loss(decoded.image[:count], pairs.true_swap.images, pairs.changed),
        "feature_loss": loss.feature_loss({r: x[:count] for r, x in maps.items()}, wanted),
    }


def drawn(model: Model, z: Tensor, true_swap: Faces, unfused: Faces) -> Decoded:
    """Swaps as they are learnt: to the true swap's landmarks, shares not yet decided."""
    if not isinstance(model.decoder, Decoder):
        return Decoded(ranks.shared(model.decoder, z))
    decoder = model.decoder
    asked = torch.cat([true_swap.landmarks, unfused.landmarks])

    def run(latents: Tensor, landmarks: Tensor) -> Decoded:
        with torch.no_grad():
            plan: Plan = decoder.plan(latents, landmarks)
        return decoder.draw(plan, power=1.0)

    return ranks.shared(run, z, asked)


def encoded(encoder: Encoder, faces: Faces, *, contents: bool = True) -> Tensor:
    """The latents of faces, (B, L), or their vectors alone, (B, 18 D)."""
    run = encoder.forward if contents else encoder.vectors_alone
    return ranks.shared(lambda images, held: run(held), faces.images, faces)


def _read(images: Tensor, faces: Faces, encoder: Encoder) -> tuple[Tensor, dict[int, Tensor]]:
    """The latents of faces, and the maps that they are made of."""
    features = encoder.features(images)
    return encoder.project(features, faces), features.maps


def scheduled_rate(step: int, steps: int, params: TrainParams) -> float:
    """Linear warm-up, then a cosine to a hundredth of the learning rate after `steps`."""
    if step < params.warmup_steps:
        return params.learning_rate * (step + 1) / params.warmup_steps
    done = (step - params.warmup_steps) / max(steps - params.warmup_steps, 1)
    return params.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights and statistics a step towards the trained ones."""
    for averaged, current in zip(
        ema.state_dict().values(), model.state_dict().values(), strict=True
    ):
        if averaged.is_floating_point():
            averaged.lerp_(current, 1.0 - decay)
        else:
            averaged.copy_(current)


def _images(batch: Batch) -> int:
    return sum(len(one.keys) for one in batch if one is not None)


def _describe_non_finite(step: int, values: dict[str, Tensor], batch: Batch) -> str:
    bad = ", ".join(f"{name}={value.item()}" for name, value in values.items())
    keys = ", ".join(key for one in batch if one is not None for key in one.keys)
    return f"step {step}: a loss is not finite ({bad}); images {keys}"
