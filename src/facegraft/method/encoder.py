"""The face encoder E: a picture and its reading -> 18 latents.

Patent [0106]: a chain of convolution, pooling and normalisation projects an image to the latent
space, one latent per dimension. Its vectors say light, skin, hair, costume and whose face it is;
where the layout asks for it, the identity dimensions hold their region's shape and detail as well,
and the attribute dimensions what the target keeps: its pixels, landmarks and expression.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegraft.data.faces import Faces
from facegraft.method.contents import ContentPacker
from facegraft.method.landmarks import NUM_LANDMARKS, canonical
from facegraft.method.latents import NUM_LATENTS, Layout
from facegraft.method.shapes import COVARIATES, Shapes, covariates

FINEST = 32
"""Pixels of the encoder's first stage, whatever the picture's size."""

COARSEST = 4
"""Pixels of the last stage, from which the vectors are computed."""

THUMBNAIL = 5
"""Pixels of the small copy of the picture that tells light, skin, hair and background."""

HIDDEN = 512
"""Elements of the summary of the picture, from which all vectors are computed."""

COLOURS = 64
"""Elements of a separate colour branch on the thumbnail, because convolutions trained on geometry
lose colour."""


class Stem(nn.Sequential):
    """Convolutions that halve the picture until it is `factor` times smaller.

    (B, 3, S, S) -> (B, channels, S / factor, S / factor).
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


class VectorNorm(nn.Module):
    """Affine-free batch normalisation of each element; E||z^k||^2 = 1 per dimension.

    Without it identity latents shrink to a constant and L_id means nothing. A vector longer than
    `LONGEST` is shortened to that, so that no outlier outweighs all else in a loss.
    """

    LONGEST = 2.0

    def __init__(self, vector: int) -> None:
        super().__init__()
        self.vector = vector
        self.norm = nn.BatchNorm1d(NUM_LATENTS * vector, affine=False)

    def forward(self, raw: Tensor) -> Tensor:
        """(B, 18 D) -> (B, 18, D)."""
        parts = self.norm(raw).view(len(raw), NUM_LATENTS, self.vector) * self.vector**-0.5
        length = torch.linalg.vector_norm(parts, dim=2, keepdim=True)
        return parts * (self.LONGEST / (length + 1e-8)).clamp(max=1.0)


@dataclass(frozen=True)
class Features:
    """What the vectors are computed from.

    Attributes:
        maps: resolution r -> (B, C_r, r, r), r from 32 down to 4.
        pooled: (B, 64 * 16), the coarsest map, narrowed.
        colours: (B, 75), the thumbnail's.
    """

    maps: dict[int, Tensor]
    pooled: Tensor
    colours: Tensor


class Encoder(nn.Module):
    """E of the patent.

    Args:
        layout: what the 18 latents are. size: image width and height, a power of two from 32.
        channels: width at the first stage; it doubles at each pooling up to eight times this.
        packer: packs what a dimension holds besides its vector; None for vectors alone.
    """

    def __init__(
        self, layout: Layout, size: int, channels: int, packer: ContentPacker | None = None
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
        narrow = HIDDEN // 8
        self.narrow = nn.Sequential(
            nn.Conv2d(widths[-1], narrow, 1, bias=False),
            nn.BatchNorm2d(narrow),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        self.summary = nn.Linear(narrow * COARSEST**2, HIDDEN)
        self.shapes = Shapes() if packer is not None else None
        self.packer = packer
        if packer is not None:
            measures = 3 * NUM_LANDMARKS + COVARIATES
            # landmark shape, pose and expression -> summary, added to that of the convolutions
            self.measured = nn.Sequential(
                nn.BatchNorm1d(measures, affine=False),
                nn.Linear(measures, HIDDEN // 2),
                nn.LeakyReLU(0.2),
                nn.Linear(HIDDEN // 2, HIDDEN),
            )
        self.colours = nn.Sequential(
            nn.BatchNorm1d(3 * THUMBNAIL**2, affine=False),
            nn.Linear(3 * THUMBNAIL**2, COLOURS),
            nn.LeakyReLU(0.2),
        )
        self.vectors = nn.Linear(HIDDEN + COLOURS, NUM_LATENTS * layout.vector)
        nn.init.normal_(self.vectors.weight[:, HIDDEN:], std=0.1)
        self.norm = VectorNorm(layout.vector)

    def forward(self, faces: Faces) -> Tensor:
        """B faces -> packed latents (B, L)."""
        return self.project(self.features(faces.images), faces)

    def project(self, features: Features, faces: Faces) -> Tensor:
        """The `features` of B faces, and the faces -> packed latents (B, L)."""
        vectors = self.vectors_of(features, faces)
        if self.packer is None or self.shapes is None:
            return vectors.flatten(1)
        return self.packer.packed(vectors, faces, self.shapes)

    def vectors_alone(self, faces: Faces) -> Tensor:
        """B faces -> their vectors, (B, 18 D), without what else the dimensions hold."""
        return self.vectors_of(self.features(faces.images), faces).flatten(1)

    def freeze_convolutions(self) -> None:
        """Freeze the convolutions, batch statistics included; the linear layers go on learning."""
        for part in (self.stem, self.stages, self.narrow):
            part.eval().requires_grad_(False)

    def features(self, image: Tensor) -> Features:
        """What the convolutions see in (B, 3, S, S)."""
        maps: dict[int, Tensor] = {}
        x = self.stem(image)  # (B, C, 32, 32), or S/2 where that is less
        for i, stage in enumerate(self.stages):
            x = stage(x if i == 0 else self.pool(x))
            maps[x.shape[-1]] = x
        thumbnail = F.adaptive_avg_pool2d(image, THUMBNAIL).flatten(1)
        return Features(maps, self.narrow(x), thumbnail)

    def vectors_of(self, features: Features, faces: Faces) -> Tensor:
        """The vectors of B faces, normalised: (B, 18, D)."""
        summary = self.summary(features.pooled)
        if self.shapes is not None:
            shape, _, turn = canonical(faces.landmarks, self.shapes.mean)
            measures = torch.cat([shape.flatten(1), covariates(turn, faces.expression)], dim=1)
            summary = summary + self.measured(measures)
        summary = F.leaky_relu(summary, 0.2)
        colours = self.colours(features.colours)
        raw: Tensor = self.norm(self.vectors(torch.cat([summary, colours], dim=1)))
        return raw
