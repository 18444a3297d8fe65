"""Per-pair fine-tuning: the decoder is trained on one pair until both losses pass.

Claims 6 and 7, [0116]-[0124]: on a failed verdict both losses go back into the trained decoder,
the same fused latents are decoded again, until both pass.

Fine-tuning only against L_id and L_att overfits the encoder that computes them, therefore:
(1) the encoder is frozen; (2) of the decoder only the tail is tuned; (3) the encoder sees jittered
copies; (4) an L1 term holds the image near the first one; (5) for a verdict the landmarks are read
from the image, not those that it was decoded to.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from facegraft.core.config import SwapParams
from facegraft.data.faces import Faces
from facegraft.method.calibration import Thresholds
from facegraft.method.decoder import Decoded, Decoder, Strength
from facegraft.method.losses import attribute_loss_per_pair, identity_loss_per_pair
from facegraft.method.model import Model, faces_of_swap

Read = Callable[[Tensor], Faces | None]
"""The landmark reader: an image (1, 3, S, S) -> its face, or None where it finds none."""


UNET_TAIL = 12
"""First layer of the U-Net's up-path; the 12 before are its down-path and bottleneck."""

LITERAL_TAIL = 6
"""First layer of the literal decoder at 16 px; the 6 before work on 4 and 8 px."""


@dataclass(frozen=True)
class CheckedLosses:
    """Both losses of one image at a step of the fine-tuning; NaN where no face was read in it."""

    step: int
    identity_loss: float
    attribute_loss: float

    def excess(self, thresholds: Thresholds) -> float:
        """The larger ratio of a loss to its threshold, infinite for NaN; below 1 passes."""
        ratios = (
            self.identity_loss / thresholds.identity_loss,
            self.attribute_loss / thresholds.attribute_loss,
        )
        return max(ratios) if all(r == r for r in ratios) else float("inf")


def passes_verdict(losses: CheckedLosses, thresholds: Thresholds) -> bool:
    """The verdict: both losses are strictly below their thresholds; NaN fails."""
    return (
        losses.identity_loss < thresholds.identity_loss
        and losses.attribute_loss < thresholds.attribute_loss
    )


@dataclass(frozen=True)
class Tuned:
    """What came of a pair; everything lies on the CPU.

    Attributes:
        passed: False means that the budget ran out; `decoded` is then the best there was.
        first: the swap before tuning. decoded: the one to save.
        trace: the losses at step 0 and at every check; those of `decoded` come last.
    """

    passed: bool
    first: Decoded
    decoded: Decoded
    trace: tuple[CheckedLosses, ...]

    @property
    def best(self) -> CheckedLosses:
        """The losses of `decoded`."""
        return self.trace[-1]


def tune(
    model: Model,
    source: Faces,
    target: Faces,
    fused: Tensor,
    thresholds: Thresholds,
    params: SwapParams,
    read: Read,
) -> Tuned:
    """Decode, check, and fine-tune a copy of the decoder until the pair passes.

    Args:
        source, target: one face each.
        fused: (1, L); its z_id is what the swap is to have, the source's where all is transplanted.
        thresholds: calibrated, see `Calibration.thresholds`.
        read: the landmark reader, for verdicts. Where it finds no face both losses are NaN.

    Returns:
        `Tuned`; on an exhausted budget the image with the least excess over the thresholds, whose
        losses close the trace.
    """
    torch.manual_seed(params.seed)
    pair = _Pair(model, target, fused, model.encoder(target))
    decoder = copy.deepcopy(model.decoder)
    decode = _decoding(decoder, fused, source, params)
    with torch.no_grad():
        first = decode()
        trace = [check_losses(pair, first, 0, read)]
    best, kept = trace[0], first
    optimizer = torch.optim.Adam(_tuned_parameters(decoder), lr=params.learning_rate)
    while not passes_verdict(best, thresholds) and trace[-1].step < params.budget_steps:
        step = min(trace[-1].step + params.check_every, params.budget_steps)
        for _ in range(step - trace[-1].step):
            _finetune_step(pair, decode(), first, thresholds, params, optimizer)
        with torch.no_grad():
            decoded = decode()
            trace.append(check_losses(pair, decoded, step, read))
        if trace[-1].excess(thresholds) < best.excess(thresholds):
            best, kept = trace[-1], decoded
    if trace[-1] != best:
        trace.append(best)
    return Tuned(passes_verdict(best, thresholds), _on_cpu(first), _on_cpu(kept), tuple(trace))


@dataclass(frozen=True)
class _Pair:
    """What the decoded image of one pair is compared with; latents are (1, L)."""

    model: Model
    target: Faces
    fused: Tensor
    z_target: Tensor

    def losses(self, faces: Faces) -> tuple[Tensor, Tensor]:
        """L_id to the fused latents and L_att to the target's, of B faces: (B,) each."""
        z, layout = self.model.encoder(faces), self.model.layout
        return (
            identity_loss_per_pair(layout, z, self.fused),
            attribute_loss_per_pair(layout, z, self.z_target),
        )


def check_losses(pair: _Pair, decoded: Decoded, step: int, read: Read) -> CheckedLosses:
    """Both losses with the landmarks that are read from the image; NaN where no face is found."""
    faces = read(decoded.image)
    if faces is None:
        return CheckedLosses(step, float("nan"), float("nan"))
    identity, attribute = pair.losses(faces)
    return CheckedLosses(step, identity.item(), attribute.item())


def _finetune_step(
    pair: _Pair,
    decoded: Decoded,
    first: Decoded,
    thresholds: Thresholds,
    params: SwapParams,
    optimizer: torch.optim.Optimizer,
) -> None:
    """One step down both losses, each over its threshold, and the L1 distance to the first image.

    The landmarks are the requested ones: the reader is not differentiable.
    """
    identity, attribute = pair.losses(_jittered(faces_of_swap(decoded, pair.target)))
    loss = identity.mean() / thresholds.identity_loss + attribute.mean() / thresholds.attribute_loss
    loss = loss + params.anchor_weight * (decoded.image - first.image).abs().mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def _decoding(
    decoder: nn.Module, fused: Tensor, source: Faces, params: SwapParams
) -> Callable[[], Decoded]:
    """A function that decodes the pair with the decoder's present weights.

    The geometry (`Decoder.plan`) has no weights that are tuned, so it is computed once.
    """
    if not isinstance(decoder, Decoder):
        return lambda: Decoded(decoder(fused))
    strength = Strength(params.detail, params.shape)
    with torch.no_grad():
        plan = decoder.with_pixels(decoder.plan(fused, strength=strength), source)
    return lambda: decoder.blend(plan, strength=strength)


def _tuned_parameters(decoder: nn.Module) -> list[Tensor]:
    """The decoder's tail: the U-Net's up-path and heads, or the literal decoder's from 16 px up.

    The layers before it stay frozen, so that the face cannot collapse.
    """
    decoder.requires_grad_(False)
    if isinstance(decoder, Decoder):
        unet = decoder.unet
        modules = [*unet.layers[UNET_TAIL:], unet.share, unet.tone]
    else:
        modules = [*decoder.get_submodule("layers").children()][LITERAL_TAIL:]
        modules += [decoder.get_submodule("fine"), decoder.get_submodule("paint")]
    return [p.requires_grad_() for module in modules for p in module.parameters()]


def _jittered(faces: Faces, copies: int = 4) -> Faces:
    """One face and copies shifted by up to 2 px with a little contrast: `copies` faces."""
    views, landmarks = [faces.images], [faces.landmarks]
    unit = 2.0 / faces.images.shape[-1]
    for _ in range(copies - 1):
        down, right = torch.randint(-2, 3, (2,)).tolist()
        contrast = 1.0 + 0.1 * (2 * torch.rand(1).item() - 1)
        views.append(torch.roll(faces.images, (down, right), dims=(2, 3)) * contrast)
        shift = torch.tensor([right * unit, down * unit, 0.0], device=faces.landmarks.device)
        landmarks.append(faces.landmarks + shift)
    return Faces(torch.cat(views), torch.cat(landmarks), faces.expression.repeat(copies, 1))


def _on_cpu(decoded: Decoded) -> Decoded:
    def moved(held: Any) -> Any:
        if is_dataclass(held) and not isinstance(held, type):
            return replace(
                held, **{one.name: moved(getattr(held, one.name)) for one in fields(held)}
            )
        return held.detach().cpu() if isinstance(held, Tensor) else held

    cpu: Decoded = moved(decoded)
    return cpu
