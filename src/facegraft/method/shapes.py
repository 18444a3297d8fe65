"""The shape of a face, less what its turn and its expression say of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegraft.core.device import no_autocast
from facegraft.method.landmarks import EXPRESSIONS, NUM_LANDMARKS, canonical

COVARIATES = 9 + EXPRESSIONS
"""What a reading says of a face besides its shape: the turn's matrix, and the expression."""


class Shapes(nn.Module):
    """The mean face, and how one person's shapes differ; fitted in closed form, not by gradients.

    Attributes:
        mean: (478, 3). covariate_mean: (COVARIATES,).
        covariate_weight: (COVARIATES, 3 * 478), the regression of shape on pose and expression.
    """

    mean: Tensor
    covariate_mean: Tensor
    covariate_weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.randn(NUM_LANDMARKS, 3))
        self.register_buffer("covariate_mean", torch.zeros(COVARIATES))
        self.register_buffer("covariate_weight", torch.zeros(COVARIATES, 3 * NUM_LANDMARKS))

    @no_autocast()
    def forward(self, landmarks: Tensor, expression: Tensor) -> Tensor:
        """Neutral shapes in the mean face's frame, (B, 478, 3).

        Args:
            landmarks: (B, 478, 3) in a picture. expression: (B, 52).
        """
        shape, _, turn = canonical(landmarks, self.mean)
        explained = (covariates(turn, expression) - self.covariate_mean) @ self.covariate_weight
        return shape - explained.view_as(shape)


def covariates(turn: Tensor, expression: Tensor) -> Tensor:
    """(B, 3, 3) and (B, 52) -> (B, COVARIATES)."""
    return torch.cat([turn.flatten(1), expression], dim=1)
