"""The face encoder E: image -> 18 latents, a chain of convolution, pooling and normalisation.

Patent [0106]: the layers project an image to the latent space, one latent per dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegraft.latents import Layout


class Stage(nn.Module):
    """Two 3x3 convolutions with normalisation and a shortcut: (B, C, h, w) -> (B, D, h, w)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.norm_widen = nn.BatchNorm2d(channels_out)
        self.refine = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm_refine = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm_widen(self.widen(x)))
        return torch.relu(x + self.norm_refine(self.refine(x)))


class LatentNorm(nn.Module):
    """Affine-free batch normalisation of each latent element, then E||z^k||^2 = 1 per dimension.

    Without it identity latents shrink to a constant and L_id means nothing.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(layout.length, affine=False)
        scale = torch.cat([torch.full((n,), n**-0.5) for n in layout.sizes])
        self.register_buffer("scale", scale, persistent=False)
        self.scale: Tensor

    def forward(self, z: Tensor) -> Tensor:
        return self.norm(z) * self.scale


class Encoder(nn.Module):
    """E of the patent.

    Args:
        layout: what the 18 latents are.
        size: image width and height, a power of two from 32.
        channels: width at half resolution; it doubles at each pooling up to eight times this.
    """

    def __init__(self, layout: Layout, size: int, channels: int) -> None:
        super().__init__()
        self.layout = layout
        resolutions = [size // 2]
        while resolutions[-1] > 4:
            resolutions.append(resolutions[-1] // 2)
        widths = [min(channels * 2**i, channels * 8) for i in range(len(resolutions))]
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, channels, 3, padding=1))
        self.stages = nn.ModuleList(
            Stage(before, width)
            for before, width in zip([channels, *widths[:-1]], widths, strict=True)
        )
        self.pool = nn.AvgPool2d(2)
        spatial = set(layout.spatial_dimensions)
        self.slots = nn.ModuleDict()
        for k in sorted(spatial):
            slot_channels, height, _ = layout.shapes[k]
            if height not in resolutions:
                raise ValueError(f"latent {k}: a slot of {height} px; choose from {resolutions}")
            width = widths[resolutions.index(height)]
            self.slots[str(k)] = nn.Conv2d(width, slot_channels, 1)
        self.vectors = nn.Linear(
            widths[-1] * 16, sum(n for k, n in enumerate(layout.sizes) if k not in spatial)
        )
        self.norm = LatentNorm(layout)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> packed latents (B, L)."""
        maps: dict[int, Tensor] = {}
        x = self.stem(image)  # (B, C, S/2, S/2)
        for i, stage in enumerate(self.stages):
            x = stage(x if i == 0 else self.pool(x))
            maps[x.shape[-1]] = x
        vectors = self.vectors(x.flatten(1))  # (B, 4*4*8C) -> (B, sum of vector sizes)
        return self.norm(self._pack(maps, vectors))

    def _pack(self, maps: dict[int, Tensor], vectors: Tensor) -> Tensor:
        parts = []
        for k, shape in enumerate(self.layout.shapes):
            if len(shape) == 3:
                parts.append(self.slots[str(k)](maps[shape[1]]).flatten(1))
            else:
                part, vectors = vectors[:, : shape[0]], vectors[:, shape[0] :]
                parts.append(part)
        return torch.cat(parts, dim=1)
