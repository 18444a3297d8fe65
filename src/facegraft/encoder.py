"""The face encoder E: image -> 18 latents, a chain of convolution, pooling and normalisation.

Patent [0106]: the layers project an image to the latent space, one latent per dimension.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegraft.latents import Layout, points_scale, texture_scale
from facegraft.paint import paint_colours
from facegraft.points import LOOK, PointReader, PointsRead

FINEST = 32
"""Pixels of the encoder's first stage and of the decoder's last layer, whatever the picture's size.

Shape is decided here at the same cost for any size; sharpness comes from texture.
"""


COARSEST = 4
"""Pixels of the last stage, from which the vectors are read."""


THUMBNAIL = 5
"""Pixels of the small copy of the picture that tells light, skin, hair and background."""


HIDDEN = 512
"""Elements that sum up the picture; all vector latents are read from them."""


COLOURS = 64
"""Elements that sum up its colours, told apart: a chain of convolutions that is taught places
forgets them, and where all elements follow the head's turn first, what follows the skin's tone is
never found."""


class Stem(nn.Sequential):
    """Convolutions that halve the picture until it is `factor` times smaller.

    (B, 3, S, S) -> (B, channels, S / factor, S / factor). Cutting the picture into patches instead
    learns far slower: surface points lay .112 off after 250 steps, with this .096.
    """

    def __init__(self, factor: int, channels: int) -> None:
        halvings = int(math.log2(factor))
        widths = [max(channels >> k, 8) for k in range(halvings - 1, 0, -1)] + [channels]
        layers: list[nn.Module] = []
        for before, width in zip([3, *widths[:-1]], widths, strict=True):
            stride = 2 if halvings else 1
            layers += [
                nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
        super().__init__(*layers)


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
    """Affine-free batch normalisation of each latent element; E||z^k||^2 = 1 per dimension.

    Without it identity latents shrink to a constant and L_id means nothing. A dimension longer
    than `LONGEST` is shortened to that, so that no outlier outweighs all else in a loss. Texture is
    pixels and points are places, both of bounded energy: they are scaled only, or the decoder could
    not use them exactly.
    """

    LONGEST = 2.0

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.scales: dict[int, float] = {}
        if layout.texture is not None:
            self.scales[layout.texture] = texture_scale(layout.sizes[layout.texture])
        if layout.points is not None:
            self.scales[layout.points] = points_scale(layout.sizes[layout.points])
        self.sizes = [n for k, n in enumerate(layout.sizes) if k not in self.scales]
        self.norm = nn.BatchNorm1d(sum(self.sizes), affine=False)

    def forward(self, z: Tensor) -> Tensor:
        """Raw latents (B, L) -> normalised latents (B, L)."""
        raw = dict(enumerate(self.layout.split(z)))
        kept = {k: raw.pop(k) * scale for k, scale in self.scales.items()}
        normal = self.norm(torch.cat(list(raw.values()), dim=1)).split(self.sizes, dim=1)
        parts = self._shortened([part * part.shape[1] ** -0.5 for part in normal])
        kept |= dict(zip(raw, parts, strict=True))
        return torch.cat([kept[k] for k in sorted(kept)], dim=1)

    def _shortened(self, parts: list[Tensor]) -> list[Tensor]:
        lengths = [torch.linalg.vector_norm(part, dim=1, keepdim=True) for part in parts]
        return [
            part * (self.LONGEST / (length + 1e-8)).clamp(max=1.0)
            for part, length in zip(parts, lengths, strict=True)
        ]


@dataclass(frozen=True)
class Features:
    """What an image's latents are made of.

    Attributes:
        maps: resolution r -> (B, C_r, r, r), r from 32 down to 4.
        summary: (B, HIDDEN + COLOURS).
        points: where the surface points lie; None where nobody knows any.
    """

    maps: dict[int, Tensor]
    summary: Tensor
    points: PointsRead | None


class Encoder(nn.Module):
    """E of the patent.

    Args:
        layout: what the 18 latents are.
        size: image width and height, a power of two from 32.
        channels: width at the first stage; it doubles at each pooling up to eight times this.
        points: points to read, 0 for none. strokes: how many of them, the last ones, are painted
            outlines.
    """

    def __init__(
        self, layout: Layout, size: int, channels: int, points: int = 0, strokes: int = 0
    ) -> None:
        super().__init__()
        self.layout = layout
        resolutions = [min(size // 2, FINEST)]
        while resolutions[-1] > COARSEST:
            resolutions.append(resolutions[-1] // 2)
        widths = [min(channels * 2**i, channels * 8) for i in range(len(resolutions))]
        self.stem = Stem(size // resolutions[0], channels)
        self.stages = nn.ModuleList(
            Stage(before, width)
            for before, width in zip([channels, *widths[:-1]], widths, strict=True)
        )
        self.pool = nn.AvgPool2d(2)
        spatial = set(layout.spatial_dimensions)
        self.slots = nn.ModuleDict()
        for k in sorted(spatial - {layout.texture}):
            slot_channels, height, _ = layout.shapes[k]
            if height not in resolutions:
                raise ValueError(f"latent {k}: a slot of {height} px; choose from {resolutions}")
            width = widths[resolutions.index(height)]
            self.slots[str(k)] = nn.Conv2d(width, slot_channels, 1)
        narrow = HIDDEN // 8
        self.summary = nn.Sequential(
            nn.Conv2d(widths[-1], narrow, 1, bias=False),
            nn.BatchNorm2d(narrow),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(narrow * COARSEST**2, HIDDEN),
            nn.LeakyReLU(0.2),
        )
        self.points: PointReader | None = None
        self.strokes = strokes
        if points:
            seen = dict(list(zip(resolutions, widths, strict=True))[:-1])
            self.points = PointReader(points, seen, HIDDEN)
            self.measured = nn.Sequential(
                nn.BatchNorm1d((2 + LOOK) * points, affine=False),
                nn.Linear((2 + LOOK) * points, HIDDEN // 2),
                nn.LeakyReLU(0.2),
                nn.Linear(HIDDEN // 2, HIDDEN),
            )
        told = 3 * (THUMBNAIL**2 + strokes)
        self.colours = nn.Sequential(
            nn.BatchNorm1d(told, affine=False), nn.Linear(told, COLOURS), nn.LeakyReLU(0.2)
        )
        vectors = sum(layout.sizes[k] for k in layout.vector_dimensions)
        self.vectors = nn.Linear(HIDDEN + COLOURS, vectors)
        nn.init.normal_(self.vectors.weight[:, HIDDEN:], std=0.1)
        self.norm = LatentNorm(layout)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> packed latents (B, L)."""
        return self.project(image, self.features(image))

    def features(self, image: Tensor) -> Features:
        """What the latents of (B, 3, S, S) are made of."""
        maps: dict[int, Tensor] = {}
        x = self.stem(image)  # (B, C, 32, 32), or S/2 where that is less
        for i, stage in enumerate(self.stages):
            x = stage(x if i == 0 else self.pool(x))
            maps[x.shape[-1]] = x
        summary = self.summary(x)
        points = None if self.points is None else self.points(maps, summary)
        told = [F.adaptive_avg_pool2d(image, THUMBNAIL).flatten(1)]
        if points is not None:
            # The places are learnt from what is known about them, not from what they are used for.
            places = points.places.detach()
            measured = torch.cat([places.flatten(1), points.look], dim=1)
            summary = F.leaky_relu(summary + self.measured(measured), 0.2)
            painted = places[:, places.shape[1] - self.strokes :]
            if self.strokes:
                told.append(paint_colours(image, painted).flatten(1))
        colours = self.colours(torch.cat(told, dim=1))
        return Features(maps, torch.cat([summary, colours], dim=1), points)

    def project(self, image: Tensor, features: Features) -> Tensor:
        """The image and its `features` -> packed latents (B, L)."""
        return self.norm(self._pack(image, features))

    def _pack(self, image: Tensor, features: Features) -> Tensor:
        parts, vectors = [], self.vectors(features.summary)
        for k, shape in enumerate(self.layout.shapes):
            if k == self.layout.texture:
                parts.append(F.pixel_unshuffle(image, 2).flatten(1))
            elif k == self.layout.points and features.points is not None:
                parts.append(features.points.kept.flatten(1))
            elif len(shape) == 3:
                parts.append(self.slots[str(k)](features.maps[shape[1]]).flatten(1))
            else:
                part, vectors = vectors[:, : shape[0]], vectors[:, shape[0] :]
                parts.append(part)
        return torch.cat(parts, dim=1)
