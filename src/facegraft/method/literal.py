"""The patent's literal embodiment (`train.vector_only`): 18 plain vectors in, a picture out.

A stack of 18 modulated convolutions from 4 px up, one latent per layer (StyleGAN, Karras et al.
2019), and a head that paints. It keeps no pixels, so background and costume are what the vectors
say of them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegraft.method.latents import NUM_LATENTS, Layout

FINEST = 32
"""Pixels of the last modulated layer, whatever the picture's size."""


class StyledConv(nn.Module):
    """3x3 convolution whose channels are scaled and shifted by one latent."""

    def __init__(self, channels_in: int, channels_out: int, style: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.style = nn.Linear(style, 2 * channels_out)
        self.shortcut = channels_in == channels_out

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.style(style)[:, :, None, None].chunk(2, dim=1)  # (B, C, 1, 1) x 2
        y = F.leaky_relu(F.instance_norm(self.conv(x)) * (1 + scale) + shift, 0.2)
        return x + y if self.shortcut else y


def layers_per_resolution(size: int) -> dict[int, int]:
    """Deal the 18 layers over 4, 8, ... up to `FINEST`; the resolutions where features form, most.

    >>> layers_per_resolution(128)
    {4: 2, 8: 4, 16: 6, 32: 6}
    """
    resolutions = [2**i for i in range(2, int(math.log2(min(size, FINEST))) + 1)]
    counts = dict.fromkeys(resolutions, 2)
    finest_first = resolutions[::-1]
    for i in range((NUM_LATENTS - sum(counts.values())) // 2):
        counts[finest_first[(0, 1, 0, 1, 2)[i % 5] % len(finest_first)]] += 2
    return counts


class LiteralDecoder(nn.Module):
    """G of the patent on vectors alone.

    Args:
        layout: what the 18 latents are; they hold nothing but vectors.
        size: image width and height, a power of two from 32. channels: width at `FINEST`.
    """

    def __init__(self, layout: Layout, size: int, channels: int) -> None:
        super().__init__()
        self.layout, self.size = layout, size
        counts = layers_per_resolution(size)
        widths = {r: channels * min(FINEST // r, 4) for r in counts}
        self.plan = tuple(r for r, count in counts.items() for _ in range(count))
        self.start = nn.Linear(NUM_LATENTS * layout.vector, widths[4] // 2 * 16)
        before = [widths[4] // 2, *(widths[r] for r in self.plan[:-1])]
        self.layers = nn.ModuleList(
            StyledConv(width, widths[r], layout.vector)
            for width, r in zip(before, self.plan, strict=True)
        )
        self.fine = nn.Conv2d(channels, channels, 3, padding=1)
        self.paint = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Packed latents (B, L) -> images (B, 3, S, S) in [-1, 1]."""
        vectors = self.layout.vectors(z)
        x = F.leaky_relu(self.start(vectors.flatten(1)), 0.2).view(len(z), -1, 4, 4)
        for k, (resolution, layer) in enumerate(zip(self.plan, self.layers, strict=True)):
            if x.shape[-1] != resolution:
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = layer(x, vectors[:, k])
        x = F.interpolate(x, self.size, mode="bilinear", align_corners=False)
        return torch.tanh(self.paint(F.leaky_relu(self.fine(x), 0.2)))
