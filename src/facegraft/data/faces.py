"""What the encoder is given of pictures: their pixels, and what the landmark reader says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Faces:
    """B face-filling crops with their readings.

    Attributes:
        images: (B, 3, S, S) in [-1, 1].
        landmarks: (B, 478, 3), x, y in [-1, 1] over the crop, depth in the same unit.
        expression: (B, 52) in [0, 1], ARKit's coefficients.
    """

    images: Tensor
    landmarks: Tensor
    expression: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Tensor | slice) -> Faces:
        """Some of them."""
        return Faces(*(getattr(self, one.name)[rows] for one in fields(self)))

    def to(self, device: torch.device) -> Faces:
        """The same on a device."""
        return Faces(*(getattr(self, one.name).to(device) for one in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Faces]) -> Faces:
        """One after the other."""
        return cls(*(torch.cat([getattr(part, one.name) for part in parts]) for one in fields(cls)))
