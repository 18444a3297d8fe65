"""Encoder and decoder as one model, built from params; the layout of its 18 latents."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from facegraft.config import NUM_LATENTS, Section, TrainParams
from facegraft.dataset import Grid
from facegraft.decoder import Decoded, Decoder
from facegraft.encoder import Encoder
from facegraft.latents import Layout, fuse, source_weights

RULED_OUT, TAKEN = 0.02, 0.15
"""Chance of a change below which the target's pixel stays; from which the decoded one is taken."""


class ModelConfig(Section):
    """All that is needed to build the model again; stored beside its weights."""

    size: int
    channels: int
    decoder_channels: int
    latent_dim: int
    identity: dict[str, tuple[int, ...]]
    attribute: dict[str, tuple[int, ...]]
    spatial: dict[str, tuple[int, int]]
    """Attribute group -> (channels, map size in pixels)."""
    texture: str = ""
    """Attribute group that keeps the target's own pixels; empty for none."""
    points: str = ""
    """Attribute group that keeps where the target's surface points lie; empty for none."""
    surface_points: int = 0
    """How many points the encoder reads: on the surface, and painted outlines."""
    strokes: int = 0
    """How many of them, the last ones, are outlines of `facegraft.strokes`."""
    anchor_set: str = ""
    """Names which points these are (`dataset.Grid.anchor_set`)."""
    canonical: tuple[tuple[float, float], ...]
    """The five alignment points (`dataset.LANDMARKS`) in a crop, as fractions of its side."""

    @classmethod
    def from_params(cls, params: TrainParams, grids: Sequence[Grid]) -> ModelConfig:
        """The model that params.yaml asks for, fitted to the training crops' size and framing."""
        size = grids[0].size
        points = np.mean([grid.landmarks.mean(axis=(0, 1)) for grid in grids], axis=0) / size
        spatial = {} if params.vector_only else params.spatial
        known = min(grid.anchors.shape[2] for grid in grids)
        return cls(
            size=size,
            channels=params.channels,
            decoder_channels=params.decoder_channels,
            latent_dim=params.latent_dim,
            texture="" if params.vector_only else params.texture,
            points="" if params.vector_only or not known else params.points,
            surface_points=known,
            strokes=grids[0].strokes if known else 0,
            anchor_set=grids[0].anchor_set if known else "",
            canonical=tuple((float(x), float(y)) for x, y in points),
            identity=params.identity,
            attribute=params.attribute,
            spatial={name: (slot.channels, size // slot.divisor) for name, slot in spatial.items()},
        )

    def layout(self) -> Layout:
        """What each of the 18 latents is."""
        shapes: list[tuple[int, ...]] = [(self.latent_dim,)] * NUM_LATENTS
        for group, (channels, side) in self.spatial.items():
            for index in self.attribute[group]:
                shapes[index] = (channels, side, side)
        texture = self.attribute[self.texture][0] if self.texture else None
        if texture is not None:
            shapes[texture] = (12, self.size // 2, self.size // 2)
        points = self.attribute[self.points][0] if self.points else None
        if points is not None:
            shapes[points] = (self.surface_points, 2)
        return Layout(self.identity, self.attribute, tuple(shapes), texture, points)


class Model(nn.Module):
    """E and G with their layout. Images are (B, 3, S, S) in [-1, 1], latents packed (B, L)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.layout = config.layout()
        points, strokes = config.surface_points, config.strokes
        self.encoder = Encoder(self.layout, config.size, config.channels, points, strokes)
        self.decoder = Decoder(self.layout, config.size, config.decoder_channels, strokes)

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of its weights: float32, but float64 where a test compares exactly."""
        return next(self.parameters()).dtype

    def fused(
        self, source: Tensor, target: Tensor, transplant: Collection[str] | None = None
    ) -> Tensor:
        """Encode both and fuse: two (B, 3, S, S) -> (B, L) (claims 1 to 3)."""
        weights = source_weights(self.layout, transplant)
        return fuse(self.layout, self.encoder(source), self.encoder(target), weights)

    def swap(
        self, source: Tensor, target: Tensor, transplant: Collection[str] | None = None
    ) -> Decoded:
        """Y = G(fuse(E(X_s), E(X_t))) (claims 1 to 5)."""
        decoded: Decoded = self.decoder(self.fused(source, target, transplant))
        return decoded


def blend(image: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """mask * image + (1 - mask) * target; images (B, 3, S, S), mask (B, 1, S, S) in [0, 1]."""
    return mask * image + (1.0 - mask) * target


def paste_mask(decoded: Decoded) -> Tensor:
    """The share of the decoded image in the swap, (B, 1, S, S) in [0, 1].

    The target's own pixel stays where a change is all but ruled out. Mixing half and half wherever
    one is merely doubtful would show every moved feature twice.
    """
    chance = torch.sigmoid(decoded.mask_logits)
    return ((chance - RULED_OUT) / (TAKEN - RULED_OUT)).clamp(0.0, 1.0)


def paste_back(decoded: Decoded, target: Tensor) -> Tensor:
    """The decoded swap over the target by its soft mask; (B, 3, S, S) in [-1, 1].

    Done after decoding and never inside a training loss: there it collapses into copying the
    target.
    """
    return blend(decoded.image, target, paste_mask(decoded))
