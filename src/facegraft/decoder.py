"""The decoder G: 18 latents -> image [0114]-[0115], one latent per layer slot.

A stack of 18 modulated convolutions from 4 px up. Latent k sets scale and shift of every channel
in layer k (adaptive instance normalisation, Huang & Belongie 2017; one style per layer as in
StyleGAN, Karras et al. 2019). Spatial slots enter as extra channels at their own resolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegraft.config import NUM_LATENTS
from facegraft.latents import Layout, texture_scale


@dataclass(frozen=True)
class Decoded:
    """What G draws.

    Attributes:
        image: (B, 3, S, S) in [-1, 1].
        mask_logits: (B, 1, S, S); sigmoid gives the paste-back mask, 1 where the swap differs
            from the target.
    """

    image: Tensor
    mask_logits: Tensor


class ModulatedLayer(nn.Module):
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


class TextureWarp(nn.Module):
    """Draws with the target's own pixels: bends them by a flow and mixes in what G painted.

    A change of facial shape moves most pixels a little and repaints few, so this is sharp from
    the first step; flow and share start at (nearly) nothing, that is at a copy of the target.

    The flow is a grid of CONTROL x CONTROL handles, bilinear between them, and a handle cannot
    move further than its neighbour lies: a dense flow folds the mouth over itself.

    Args:
        channels: of the last layer's features.
        reach: longest displacement, as a fraction of half the picture's side.
    """

    CONTROL = 8

    def __init__(self, channels: int, reach: float = 0.2) -> None:
        super().__init__()
        self.reach = reach
        self.to_flow = nn.Conv2d(channels, 3, 5, padding=2)
        nn.init.normal_(self.to_flow.weight, std=1e-3)
        with torch.no_grad():
            self.to_flow.bias.copy_(torch.tensor([0.0, 0.0, -1.5]))  # type: ignore[union-attr]

    def forward(self, x: Tensor, painted: Tensor, texture: Tensor) -> Tensor:
        """Features (B, C, S, S), painted and texture (B, 3, S, S) in [-1, 1] -> image, same."""
        flow, share = self.to_flow(x).split((2, 1), dim=1)
        handles = self.reach * torch.tanh(F.adaptive_avg_pool2d(flow, self.CONTROL))
        shift = F.interpolate(handles, size=x.shape[-2:], mode="bilinear", align_corners=False)
        shift = shift.permute(0, 2, 3, 1)  # (B, S, S, 2)
        still = torch.eye(2, 3, device=x.device).expand(len(x), 2, 3)
        grid = F.affine_grid(still, list(texture.shape), align_corners=False) + shift
        bent = F.grid_sample(texture, grid, padding_mode="border", align_corners=False)
        return torch.lerp(bent, painted, torch.sigmoid(share))


def layers_per_resolution(size: int) -> dict[int, int]:
    """Deal the 18 layers over 4, 8, ..., size; the middle resolutions, where features form, most.

    >>> layers_per_resolution(64)
    {4: 2, 8: 4, 16: 6, 32: 4, 64: 2}
    """
    resolutions = [2**i for i in range(2, int(math.log2(size)) + 1)]
    counts = dict.fromkeys(resolutions, 2)
    middle = sorted(resolutions, key=lambda r: abs(math.log2(r) - 4.0))
    for i in range((NUM_LATENTS - sum(counts.values())) // 2):
        counts[middle[(0, 0, 1, 2)[i % 4] % len(middle)]] += 2
    return counts


class Decoder(nn.Module):
    """G of the patent.

    Args:
        layout: what the 18 latents are.
        size: image width and height, a power of two from 32.
        channels: width at full resolution; it grows towards 4 px up to eight times this.
    """

    def __init__(self, layout: Layout, size: int, channels: int) -> None:
        super().__init__()
        self.layout = layout
        counts = layers_per_resolution(size)
        widths = {r: min(channels * int(2 ** (i * 0.75)), channels * 8)
                  for i, r in enumerate(sorted(counts, reverse=True))}  # fmt: skip
        self.plan = tuple(r for r, count in counts.items() for _ in range(count))
        style_sizes = [shape[0] for shape in layout.shapes]
        self.start = nn.Parameter(torch.randn(1, widths[4], 4, 4))
        self.layers = nn.ModuleList()
        self.merge = nn.ModuleDict()
        before = widths[4]
        for k, resolution in enumerate(self.plan):
            self.layers.append(ModulatedLayer(before, widths[resolution], style_sizes[k]))
            before = widths[resolution]
        for k in sorted(set(layout.spatial_dimensions) - {layout.texture}):
            slot_channels, height, _ = layout.shapes[k]
            width = widths[height] if self.plan[0] == height else self._width_entering(height)
            self.merge[str(k)] = nn.Conv2d(slot_channels, width, 3, padding=1)
        self.to_image = nn.Conv2d(before, 4, 3, padding=1)
        self.warp = None if layout.texture is None else TextureWarp(before)

    def _width_entering(self, resolution: int) -> int:
        return self.layers[self.plan.index(resolution)].conv.in_channels  # type: ignore[union-attr,return-value]

    def forward(self, z: Tensor) -> Decoded:
        """Packed latents (B, L) -> `Decoded`."""
        parts = self._unit_scale(z)
        x = self.start.expand(len(z), -1, -1, -1)
        for k, (resolution, layer) in enumerate(zip(self.plan, self.layers, strict=True)):
            if x.shape[-1] != resolution:
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            if k == self.plan.index(resolution):
                x = self._add_slots(x, parts)
            x = layer(x, self._style(parts[k], k))
        image, mask_logits = self.to_image(x).split((3, 1), dim=1)
        image = torch.tanh(image)
        if self.warp is not None:
            image = self.warp(x, image, self._texture(z))
        return Decoded(image=image, mask_logits=mask_logits)

    def _texture(self, z: Tensor) -> Tensor:
        """The target's own pixels out of their slot: (B, 3, S, S) in [-1, 1]."""
        k = self.layout.texture
        assert k is not None
        pixels = self.layout.split(z)[k] / texture_scale(self.layout.sizes[k])
        return F.pixel_shuffle(pixels.view(-1, *self.layout.shapes[k]), 2)

    def _unit_scale(self, z: Tensor) -> list[Tensor]:
        """Undo the 1/sqrt(size) of the latents' normalisation: elements of unit variance."""
        return [part * part.shape[1] ** 0.5 for part in self.layout.split(z)]

    def _style(self, part: Tensor, k: int) -> Tensor:
        """A vector as it is; a spatial slot by its channels' means over the picture."""
        shape = self.layout.shapes[k]
        return part if len(shape) == 1 else part.view(-1, *shape).mean(dim=(2, 3))

    def _add_slots(self, x: Tensor, parts: list[Tensor]) -> Tensor:
        for k in self.layout.spatial_dimensions:
            shape = self.layout.shapes[k]
            if k != self.layout.texture and shape[1] == x.shape[-1]:
                x = x + self.merge[str(k)](parts[k].view(-1, *shape))
        return x
