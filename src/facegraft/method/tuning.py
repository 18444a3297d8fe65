"""Per-pair fine-tuning: the decoder is trained on one pair until both losses pass.

Claims 6 and 7, [0116]-[0124]: on a failed verdict both losses go back into the trained decoder,
the same fused latents are decoded again, until both pass. A literal tune can game its own judge,
so the encoder stays frozen, only what decides the drawing moves, the encoder sees jittered copies,
the image is held near the first one, and a verdict reads the picture anew.
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


@dataclass(frozen=True)
class Verdict:
    """Both losses of one image, in the encoder's eyes."""

    step: int
    identity_loss: float
    attribute_loss: float

    def passes(self, thresholds: Thresholds) -> bool:
        """Strictly below both; NaN fails."""
        return (
            self.identity_loss < thresholds.identity_loss
            and self.attribute_loss < thresholds.attribute_loss
        )

    def excess(self, thresholds: Thresholds) -> float:
        """The worse of the two losses over its threshold; below 1 passes."""
        ratios = (
            self.identity_loss / thresholds.identity_loss,
            self.attribute_loss / thresholds.attribute_loss,
        )
        return max(ratios) if all(r == r for r in ratios) else float("inf")


@dataclass(frozen=True)
class Tuned:
    """What came of a pair; everything lies on the CPU.

    Attributes:
        passed: False means that the budget ran out; `decoded` is then the best there was.
        first: the swap before tuning. decoded: the one to save.
        trace: the verdict at step 0 and at every check.
    """

    passed: bool
    first: Decoded
    decoded: Decoded
    trace: tuple[Verdict, ...]

    @property
    def best(self) -> Verdict:
        """The verdict of `decoded`."""
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
    """Decode, judge, and fine-tune a copy of the decoder until the pair passes.

    Args:
        source, target: one face each.
        fused: (1, L); its z_id is what the swap is to have, the source's where all is transplanted.
        thresholds: calibrated, see `Calibration.thresholds`.
        read: reads a verdict's picture. Where it finds no face the verdict is NaN and fails.

    Returns:
        `Tuned`; on an exhausted budget the image with the least excess over the thresholds, whose
        verdict closes the trace.
    """
    torch.manual_seed(params.seed)
    z_target = model.encoder(target)
    decoder = copy.deepcopy(model.decoder)
    decode = _decoding(decoder, fused, source, params)

    def judge(decoded: Decoded, step: int) -> Verdict:
        faces = read(decoded.image)
        if faces is None:
            return Verdict(step=step, identity_loss=float("nan"), attribute_loss=float("nan"))
        z = model.encoder(faces)
        return Verdict(
            step=step,
            identity_loss=identity_loss_per_pair(model.layout, z, fused).item(),
            attribute_loss=attribute_loss_per_pair(model.layout, z, z_target).item(),
        )

    with torch.no_grad():
        first = decode()
        trace = [judge(first, 0)]
    best, kept = trace[0], first
    optimizer = torch.optim.Adam(_tuned_parameters(decoder), lr=params.learning_rate)
    while not best.passes(thresholds) and trace[-1].step < params.budget_steps:
        step = min(trace[-1].step + params.check_every, params.budget_steps)
        for _ in range(step - trace[-1].step):
            decoded = decode()
            z = model.encoder(_jittered(faces_of_swap(decoded, target)))
            identity = identity_loss_per_pair(model.layout, z, fused).mean()
            attribute = attribute_loss_per_pair(model.layout, z, z_target).mean()
            loss = identity / thresholds.identity_loss + attribute / thresholds.attribute_loss
            loss = loss + params.anchor_weight * (decoded.image - first.image).abs().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            decoded = decode()
            trace.append(judge(decoded, step))
        if trace[-1].excess(thresholds) < best.excess(thresholds):
            best, kept = trace[-1], decoded
    if trace[-1] != best:
        trace.append(best)
    return Tuned(best.passes(thresholds), _on_cpu(first), _on_cpu(kept), tuple(trace))


def _decoding(
    decoder: nn.Module, fused: Tensor, source: Faces, params: SwapParams
) -> Callable[[], Decoded]:
    """What decodes the pair again and again; where everything goes is settled once."""
    if not isinstance(decoder, Decoder):
        return lambda: Decoded(decoder(fused))
    strength = Strength(params.detail, params.shape)
    with torch.no_grad():
        plan = decoder.with_pixels(decoder.plan(fused, strength=strength), source)
    return lambda: decoder.blend(plan, strength=strength)


def _tuned_parameters(decoder: nn.Module) -> list[Tensor]:
    """What decides at the finest resolution; the coarse layers hold what makes it a face."""
    decoder.requires_grad_(False)
    if isinstance(decoder, Decoder):
        unet = decoder.unet
        modules = [*unet.layers[12:], unet.share, unet.tone]
    else:
        modules = [*decoder.get_submodule("layers").children()][6:]
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
