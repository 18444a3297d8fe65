"""The shape of a face, less what its turn and its expression say of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegraft.core.device import exactly
from facegraft.method.landmarks import EXPRESSIONS, LANDMARKS, canonical

TOLD = 9 + EXPRESSIONS
"""What a reading says of a face besides its shape: the turn's matrix, and the expression."""


class Shapes(nn.Module):
    """The mean face, and how one person's shapes differ; fitted in closed form, not by gradients.

    Attributes:
        mean: (478, 3). told_mean: (TOLD,). spoken: (TOLD, 3 * 478), a regression.
    """

    mean: Tensor
    told_mean: Tensor
    spoken: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.randn(LANDMARKS, 3))
        self.register_buffer("told_mean", torch.zeros(TOLD))
        self.register_buffer("spoken", torch.zeros(TOLD, 3 * LANDMARKS))

    @exactly()
    def forward(self, landmarks: Tensor, expression: Tensor) -> Tensor:
        """Neutral shapes in the mean face's frame, (B, 478, 3).

        Args:
            landmarks: (B, 478, 3) in a picture. expression: (B, 52).
        """
        shape, _, turn = canonical(landmarks, self.mean)
        said = (told(turn, expression) - self.told_mean) @ self.spoken
        return shape - said.view_as(shape)


def told(turn: Tensor, expression: Tensor) -> Tensor:
    """(B, 3, 3) and (B, 52) -> (B, TOLD)."""
    return torch.cat([turn.flatten(1), expression], dim=1)
