"""Encoder and decoder as one model, built from params; the layout of its 18 latents."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from facegraft.core.config import Section, Size, TrainParams
from facegraft.core.errors import FacegraftError
from facegraft.data.faces import Faces
from facegraft.data.grids import Grid
from facegraft.method.contents import ContentPacker
from facegraft.method.decoder import WHOLE, Decoded, Decoder, Strength
from facegraft.method.encoder import Encoder
from facegraft.method.latents import (
    ATTRIBUTE,
    IDENTITY,
    TARGET_CONTENT_GROUPS,
    Layout,
    fuse,
    source_weights,
)
from facegraft.method.literal import LiteralDecoder


class UnknownSize(FacegraftError):
    """The networks take no pictures of that size; one line with the mend."""


class ModelConfig(Section):
    """All that is needed to build the model again; stored beside its weights.

    A model keeps the layout that it was made with: what was saved before stays what it is.
    """

    size: Size
    channels: int
    decoder_channels: int
    latent_dim: int
    identity: dict[str, tuple[int, ...]]
    attribute: dict[str, tuple[int, ...]]
    vector_only: bool
    """18 plain vectors and a decoder that paints: the patent's literal embodiment."""
    canonical: tuple[tuple[float, float], ...]
    """The five `data.grids.ALIGNMENT_POINTS` in a crop, as fractions of its side."""

    @classmethod
    def from_params(cls, params: TrainParams, grids: Sequence[Grid]) -> ModelConfig:
        """The model that params.yaml asks for, fitted to the training crops' size and framing.

        Raises:
            UnknownSize: the crops are of a size that no model takes.
        """
        size = grids[0].size
        if size not in get_args(Size):
            raise UnknownSize(
                f"grid {grids[0].name} has pictures of {size} px; a model takes "
                f"{', '.join(map(str, get_args(Size)))}: scale them, or render by data.size"
            )
        points = np.mean([grid.landmarks.mean(axis=(0, 1)) for grid in grids], axis=0) / size
        return cls(
            size=cast(Size, size),
            channels=params.channels,
            decoder_channels=params.decoder_channels,
            latent_dim=params.latent_dim,
            identity=dict(IDENTITY),
            attribute=dict(ATTRIBUTE),
            vector_only=params.vector_only,
            canonical=tuple((float(x), float(y)) for x, y in points),
        )

    def content_packer(self) -> ContentPacker | None:
        """Packs what the dimensions hold besides vectors; None for vectors alone."""
        if self.vector_only:
            return None
        expression, landmarks, pixels = (self.attribute[name][0] for name in TARGET_CONTENT_GROUPS)
        regions = {region: indices[0] for region, indices in self.identity.items()}
        return ContentPacker(regions, expression, landmarks, pixels, self.size)


class Model(nn.Module):
    """E and G with their layout; latents are packed (B, L)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        packer = config.content_packer()
        self.layout = (
            Layout(config.identity, config.attribute, config.latent_dim)
            if packer is None
            else Layout(
                config.identity, config.attribute, config.latent_dim, packer.content_shapes()
            )
        )
        self.encoder = Encoder(self.layout, config.size, config.channels, packer)
        self.decoder: Decoder | LiteralDecoder
        if packer is None or self.encoder.shapes is None:
            self.decoder = LiteralDecoder(self.layout, config.size, config.decoder_channels)
        else:
            shapes, width = self.encoder.shapes, config.decoder_channels
            self.decoder = Decoder(self.layout, packer, width, shapes)

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of its weights: float32, but float64 where a test compares exactly."""
        return next(self.parameters()).dtype

    def fused(
        self, source: Faces, target: Faces, transplant: Collection[str] | None = None
    ) -> Tensor:
        """Encode both and fuse: B faces each -> (B, L) (claims 1 to 3)."""
        weights = source_weights(self.layout, transplant)
        return fuse(self.layout, self.encoder(source), self.encoder(target), weights)

    def swap(
        self,
        source: Faces,
        target: Faces,
        transplant: Collection[str] | None = None,
        strength: Strength = WHOLE,
    ) -> Decoded:
        """Y = G(fuse(E(X_s), E(X_t))) (claims 1 to 5), shown with the source's own pixels."""
        return self.decode(self.fused(source, target, transplant), source, strength)

    def decode(self, z: Tensor, source: Faces | None = None, strength: Strength = WHOLE) -> Decoded:
        """G of packed latents (B, L); `source` as in `Decoder.forward`."""
        if isinstance(self.decoder, LiteralDecoder):
            return Decoded(self.decoder(z))
        decoded: Decoded = self.decoder(z, source, strength=strength)
        return decoded


def faces_of_swap(decoded: Decoded, target: Faces) -> Faces:
    """Pairs the decoded images with their requested landmarks, and the target's expression.

    The landmark reader is not differentiable; a verdict reads the image again.
    """
    requested = target.landmarks if decoded.landmarks is None else decoded.landmarks
    return Faces(decoded.image, requested, target.expression)
