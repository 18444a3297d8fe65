"""One loss per definition. The first four are the patent's (claim 10, [0140]-[0148]).

Latents are packed (B, L), images (B, 3, H, W) in [-1, 1]. `*_per_pair` keep the batch axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from facegraft.latents import Layout

FLOW_EPSILON = 0.01
"""Below this displacement, in halves of the side, the flow's error counts by its square."""


def identity_loss_per_pair(layout: Layout, z_swap: Tensor, z_source: Tensor) -> Tensor:
    """L_id = 1 - cos(z_id(Y), z_id(X_s)) [0141]; (B, L) x 2 -> (B,) in [0, 2]."""
    return 1.0 - F.cosine_similarity(layout.z_id(z_swap), layout.z_id(z_source), dim=1)


def attribute_loss_per_pair(layout: Layout, z_swap: Tensor, z_target: Tensor) -> Tensor:
    """L_att = 1/2 sum_k ||z_att^k(Y) - z_att^k(X_t)||^2 [0143]; (B, L) x 2 -> (B,) >= 0."""
    return 0.5 * (layout.z_att(z_swap) - layout.z_att(z_target)).square().sum(dim=1)


def identity_loss(layout: Layout, z_swap: Tensor, z_source: Tensor) -> Tensor:
    """Mean of `identity_loss_per_pair`."""
    return identity_loss_per_pair(layout, z_swap, z_source).mean()


def attribute_loss(layout: Layout, z_swap: Tensor, z_target: Tensor) -> Tensor:
    """Mean of `attribute_loss_per_pair`."""
    return attribute_loss_per_pair(layout, z_swap, z_target).mean()


def mse_loss(image: Tensor, reconstruction: Tensor) -> Tensor:
    """L_MSE = 1/(C H W) ||x - x'||^2, averaged over the batch [0145]."""
    return (image - reconstruction).square().mean()


def perceptual_loss(features: Tensor, features_of_reconstruction: Tensor) -> Tensor:
    """L_perc = 1/(C'H'W') ||F(x) - F(x')||^2, F the encoder of all 18 dimensions [0147].

    Features are latents (B, L); a dimension's elements carry 1/size_k of its unit energy.
    """
    return (features - features_of_reconstruction).square().mean()


def swap_loss(swap: Tensor, true_swap: Tensor, changed: Tensor, emphasis: float = 4.0) -> Tensor:
    """L1 to the rendered true swap, the changed region weighted up, plus an L1 of gradients.

    Ours, not the patent's: the renderer knows the answer.

    Args:
        swap, true_swap: (B, 3, H, W).
        changed: (B, 1, H, W) >= 0, how much a pixel matters: 1 where the true swap differs from
            the target, more in the features by which a person is told, 0 elsewhere.
        emphasis: extra weight of a pixel of 1.
    """
    weight = 1.0 + emphasis * changed
    weight = weight / weight.mean()
    error = swap - true_swap
    pixels = (weight * error.abs()).mean()
    across = (weight[..., 1:] * (error[..., 1:] - error[..., :-1]).abs()).mean()
    down = (weight[..., 1:, :] * (error[..., 1:, :] - error[..., :-1, :]).abs()).mean()
    return pixels + 0.5 * (across + down)


def feature_loss(drawn: Mapping[int, Tensor], wanted: Mapping[int, Tensor]) -> Tensor:
    """How far the encoder's maps of swaps are from those of the true swaps; 0 where they agree.

    Ours, after perceptual losses (Johnson, Alahi & Fei-Fei 2016), by the encoder itself: L1 of
    pixels is content with a haze where a nose's edge might lie here or there, a map of edges is
    not. Maps of small values count as much as those of large ones; >= 0.

    Args:
        drawn, wanted: resolution r -> (P, C_r, r, r), see `encoder.Features.maps`.
    """
    return torch.stack(
        [
            (drawn[r] - wanted[r]).abs().mean() / wanted[r].abs().mean().clamp_min(1e-6)
            for r in wanted
        ]
    ).mean()


def flow_loss(flow: Tensor, swap: Tensor, target: Tensor, still: Tensor) -> Tensor:
    """How far from the truth the decoder takes its texture, in halves of the picture's side.

    Ours: the renderer knows where each surface point lies in the true swap and in the target.

    Args:
        flow: (P, 2, H, W), see `decoder.Decoded`.
        swap, target: (P, K, 3), the same surface points in either picture: x, y in [-1, 1] and 1
            where visible. Points that the true swap does not show do not count.
        still: (P, 1, H, W) in {0, 1}, background in both, where nothing moves.
    """
    place, seen = swap[..., :2], swap[..., 2]
    read = F.grid_sample(flow, place[:, None], padding_mode="border", align_corners=False)
    error = read[:, :, 0].transpose(1, 2) - (target[..., :2] - place)  # (P, K, 2)
    moved = (error.square().sum(dim=2) + FLOW_EPSILON**2).sqrt() - FLOW_EPSILON
    moving = (moved * seen).sum() / seen.sum().clamp_min(1.0)
    resting = (flow.abs().sum(dim=1, keepdim=True) * still).sum() / still.sum().clamp_min(1.0)
    return moving + 0.2 * resting


def teacher_loss(read: Tensor, known: Tensor, groups: Iterable[tuple[int, int]]) -> Tensor:
    """Squared error of the renderer's parameters read back from latents, the mean over groups.

    A group of many parameters that no picture shows does not outweigh one of few.

    Args:
        read, known: (B, C). groups: (start, stop) of the parts of C that belong together.
    """
    error = (read - known).square().mean(dim=0)
    return torch.stack([error[start:stop].mean() for start, stop in groups]).mean()


def place_loss(read: Tensor, known: Tensor, seen: Tensor) -> Tensor:
    """Mean distance of surface points from where they are said to lie or go, in halves of the side.

    Args:
        read, known: (B, K, 2). seen: (B, K), 1 where visible; a hidden point counts .1.
    """
    weight = seen + 0.1
    distance = torch.linalg.vector_norm(read - known + 1e-6, dim=2)
    return (distance * weight).sum() / weight.sum().clamp_min(1.0)


def tint_loss(tint: Tensor, swap: Tensor, target: Tensor, seen: Tensor) -> Tensor:
    """How far the change of the points' colours is off, (B, K, 3) x 3, mean over channels.

    Args:
        tint: as predicted. swap, target: colours that the true swap shows where the points come to
            lie, and the target where they lay.
        seen: (B, K), 1 where both show the point; others do not count.
    """
    error = (tint - (swap - target)).abs().mean(dim=2)
    return (error * seen).sum() / seen.sum().clamp_min(1.0)


def sight_loss(sight: Tensor, seen: Tensor) -> Tensor:
    """Binary cross-entropy of which points the swap shows, logits (B, K), to what is known."""
    return F.binary_cross_entropy_with_logits(sight, seen)


def contrast_loss(layout: Layout, z: Tensor, identity: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrastive loss on z_id (Khosla et al. 2020, eq. 2).

    Pulls images of one identity together whatever their attributes; without it a constant z_id
    makes L_id zero.

    Args:
        z: (B, L).
        identity: int64 (B,), equal where the identity is the same; each occurs at least twice.
    """
    z_id = F.normalize(layout.z_id(z), dim=1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = (z_id @ z_id.T / temperature).masked_fill(itself, float("-inf"))
    same = (identity[:, None] == identity[None, :]) & ~itself
    log_probability = logits - logits.logsumexp(dim=1, keepdim=True)
    return -(log_probability.masked_fill(~same, 0.0).sum(1) / same.sum(1)).mean()


def mask_loss(mask_logits: Tensor, changed: Tensor) -> Tensor:
    """Binary cross-entropy of the paste-back mask, (B, 1, H, W) logits, to the known change."""
    return F.binary_cross_entropy_with_logits(mask_logits, changed)
