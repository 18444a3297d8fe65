"""One loss per definition. The first four are the patent's (claim 10, [0140]-[0148]).

Latents are packed (B, L), images (B, 3, H, W) in [-1, 1]. `*_per_pair` keep the batch axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from facegraft.method.latents import Layout
from facegraft.method.warp import tone


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
    """Weighted L1 to the rendered true swap at three scales, so that blur cannot lower the loss.

    Ours, not the patent's. The scales: means over 4 x 4 pixels, high-pass (the error less its
    `tone`), and pixels.

    Args:
        swap, true_swap: (B, 3, H, W).
        changed: (B, 1, H, W) >= 0, 1 where the true swap differs from the target.
        emphasis: extra weight of a pixel of 1.
    """
    weight = 1.0 + emphasis * changed
    weight = weight / weight.mean()
    error = swap - true_swap
    coarse = F.avg_pool2d(weight * error, 4).abs().mean()
    detail = (weight * (error - tone(error)).abs()).mean()
    return coarse + detail + 0.3 * (weight * error.abs()).mean()


def feature_loss(decoded: Mapping[int, Tensor], wanted: Mapping[int, Tensor]) -> Tensor:
    """Relative L1 between the encoder's feature maps of swaps and of true swaps; >= 0.

    Ours, after perceptual losses (Johnson, Alahi & Fei-Fei 2016), by the encoder itself: where an
    edge's place is uncertain, L1 of pixels is least for a blur, L1 of feature maps is not. Each
    map's error is divided by its mean size, so that all resolutions count alike.

    Args:
        decoded, wanted: resolution r -> (P, C_r, r, r), see `encoder.Features.maps`.
    """
    return torch.stack(
        [
            (decoded[r] - wanted[r]).abs().mean() / wanted[r].abs().mean().clamp_min(1e-6)
            for r in wanted
        ]
    ).mean()


def parameter_loss(predicted: Tensor, known: Tensor, groups: Iterable[tuple[int, int]]) -> Tensor:
    """Squared error of the renderer's parameters regressed from latents, the mean over groups.

    A group of many parameters that no picture shows does not outweigh one of few.

    Args:
        predicted, known: (B, C). groups: (start, stop) of the parts of C that belong together.
    """
    error = (predicted - known).square().mean(dim=0)
    return torch.stack([error[start:stop].mean() for start, stop in groups]).mean()


def consistency_loss(layout: Layout, z: Tensor, attributes: Tensor) -> Tensor:
    """`attribute_loss` between pictures of one attribute set, which differ by the person alone.

    Args:
        z: (N, L), or vectors alone. attributes: int64 (N,), equal where the set is the same.
    """
    first = (attributes[:, None] == attributes[None, :]).float().argmax(dim=1)
    return attribute_loss(layout, z, z[first])


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
