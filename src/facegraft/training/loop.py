"""Training of encoder and decoder. Yields metrics, logs nothing.

`train` is the loop; what a step draws and its losses follow. Which part learns when, at which rate,
is in `phases`; what changes in `state`.

Claim 9, [0127]-[0139]: encode sample pairs, weight, fuse, decode the swap; decode unfused latents
into reconstructions; four losses decide. The guards of ours: latents are normalised, the renderer's
parameters are regressed from them, z_id is contrasted, the true swap supervises the decoder, and
swaps and reconstructions are encoded by the EMA encoder, whose weights no loss can move.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

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
from facegraft.method.model import Model, faces_of_swap
from facegraft.training.phases import Phase, begin, phases, set_rate
from facegraft.training.state import TrainState, update_ema


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
        if not phase.start <= state.step < phase.stop:
            continue
        begin(phase, state, grids, params, people)
        batch_of = partial(draw_batch, phase, grids, people, params)
        for batch in prefetched(batch_of, phase.stop, state.step):
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
            done = state.step - phase.start
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
"""For the encoder losses and for the decoder losses; None where the phase does not take them."""


def draw_batch(
    phase: Phase, grids: Sequence[Grid], people: Sequence[Person], params: TrainParams, step: int
) -> Batch:
    """The random batch of one step: a pure function of its arguments, so resuming is exact."""
    return (
        draw_block(grids, people, params, step) if phase.trains_encoder else None,
        draw_swap_batch(grids, people, params, step) if phase.trains_decoder else None,
    )


def step_losses(
    state: TrainState, phase: Phase, batch: Batch, runtime: RuntimeParams = AUTO
) -> dict[str, Tensor]:
    """Every loss of one step by its name."""
    block, pairs = batch
    device, dtype = state.model.device, state.model.dtype
    values: dict[str, Tensor] = {}
    with autocast_for(runtime, device):
        if block is not None:
            values |= encoder_losses(state, as_model(block, device, dtype))
        if pairs is not None:
            known = as_model(pairs, device, dtype)
            values |= decoder_losses(state, known, trains_encoder=phase.trains_encoder)
    return values


def weighted(values: Mapping[str, Tensor], params: TrainParams) -> Tensor:
    """The total of the losses: a scalar."""
    weights = {**WEIGHTS, **params.weights.model_dump()}
    return torch.stack([weights[name] * value for name, value in values.items()]).sum()


def encoder_losses(state: TrainState, block: Block) -> dict[str, Tensor]:
    """Code regression from the vectors, contrastive loss on z_id, consistency of z_att.

    The codes are the renderer's, so the first and the last see rendered pictures alone.
    """
    layout, groups = state.model.layout.bare, state.heads.groups
    z = encoded(state.model.encoder, block.faces, contents=False)  # vectors alone
    rendered = len(block.identity_code)
    identity_code, attribute_code = state.heads(z[:rendered])
    return {
        "identity_parameter_loss": loss.parameter_loss(
            identity_code, block.identity_code, groups["identity"].values()
        ),
        "attribute_parameter_loss": loss.parameter_loss(
            attribute_code, block.attribute_code, groups["attribute"].values()
        ),
        "contrast_loss": loss.contrast_loss(layout, z, block.identity),
        "consistency_loss": loss.consistency_loss(layout, z[:rendered], block.attributes),
    }


def decoder_losses(state: TrainState, pairs: Pairs, *, trains_encoder: bool) -> dict[str, Tensor]:
    """The patent's four losses and two against the true swap.

    P swaps are decoded from fused latents and, in the same call, the first target is reconstructed
    from its unfused ones; the EMA encoder encodes what was decoded.

    Args:
        trains_encoder: let gradients into the encoder's latents.
    """
    model, layout, ema = state.model, state.model.layout, state.ema.encoder
    with torch.set_grad_enabled(trains_encoder):
        z_source, z_target = (encoded(model.encoder, x) for x in (pairs.source, pairs.target))
    weights = torch.stack([source_weights(layout, part and (part,)) for part in pairs.parts])
    fused = fuse(layout, z_source, z_target, weights)  # (P, L)
    first = pairs.target[:1]
    unfused = z_target[:1]
    decoded = decode_to_true_landmarks(model, torch.cat([fused, unfused]), pairs.true_swap, first)
    with torch.no_grad():
        # frozen encoder == EMA encoder, so its latents are reused; else encode with the EMA
        ema_target, ema_fused = z_target, fused
        if trains_encoder:
            ema_target = encoded(ema, pairs.target)
            ema_fused = fuse(layout, encoded(ema, pairs.source), ema_target, weights)
        wanted = ranks.shared(ema.features, pairs.true_swap.images).maps
    faces = faces_of_swap(decoded, Faces.joined([pairs.target, first]))
    count = len(fused)
    z, maps = ranks.shared(_latents_and_maps, faces.images, faces, ema)
    return {
        "identity_loss": loss.identity_loss(layout, z[:count], ema_fused),
        "attribute_loss": loss.attribute_loss(layout, z[:count], ema_target),
        "mse_loss": loss.mse_loss(first.images, decoded.image[count:]),
        "perceptual_loss": loss.perceptual_loss(ema_target[:1], z[count:]),
        "swap_loss": loss.swap_loss(decoded.image[:count], pairs.true_swap.images, pairs.changed),
        "feature_loss": loss.feature_loss({r: x[:count] for r, x in maps.items()}, wanted),
    }


def decode_to_true_landmarks(model: Model, z: Tensor, true_swap: Faces, first: Faces) -> Decoded:
    """Decode with known landmarks: the swaps' true ones, and the reconstructed first target's own.

    In use the landmarks are predicted; here an error of that would be taken for the decoder's. The
    shares are not pushed to 0 or 1 (`decoder.POWER` is 1).

    Args:
        z: (P + 1, L), P fused and one unfused. true_swap: P faces. first: the first target.
    """
    if not isinstance(model.decoder, Decoder):
        return Decoded(ranks.shared(model.decoder, z))
    decoder = model.decoder
    known = torch.cat([true_swap.landmarks, first.landmarks])

    def run(latents: Tensor, landmarks: Tensor) -> Decoded:
        with torch.no_grad():
            plan: Plan = decoder.plan(latents, landmarks)
        return decoder.blend(plan, power=1.0)

    return ranks.shared(run, z, known)


def encoded(encoder: Encoder, faces: Faces, *, contents: bool = True) -> Tensor:
    """The latents of faces, (B, L), or their vectors alone, (B, 18 D)."""
    run = encoder.forward if contents else encoder.vectors_alone
    return ranks.shared(lambda images, held: run(held), faces.images, faces)


def _latents_and_maps(
    images: Tensor, faces: Faces, encoder: Encoder
) -> tuple[Tensor, dict[int, Tensor]]:
    """The latents of faces, (B, L), and the feature maps of their images by resolution."""
    features = encoder.features(images)
    return encoder.project(features, faces), features.maps


def _images(batch: Batch) -> int:
    return sum(len(one.keys) for one in batch if one is not None)


def _describe_non_finite(step: int, values: dict[str, Tensor], batch: Batch) -> str:
    bad = ", ".join(f"{name}={value.item()}" for name, value in values.items())
    keys = ", ".join(key for one in batch if one is not None for key in one.keys)
    return f"step {step}: a loss is not finite ({bad}); images {keys}"
