"""Where a swap's landmarks lie: the target's own, moved by how the source's shape differs.

A linear regression, fitted to landmarks of rendered true swaps without decoding a picture. It is
linear in the difference of two shapes, so it is 0 where they are equal; pose and expression of the
target modulate it, so that the source's features adapt to them [0099]-[0100].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegraft.method.landmarks import EXPRESSIONS, NUM_LANDMARKS, canonical, memberships

SHAPE_AXES = 64
"""Principal axes of the shapes of faces that are told apart."""

EXPRESSION_AXES = 10
"""Principal axes of the target's expression by which a motion is modulated."""

MODULATIONS = 1 + 3 + EXPRESSION_AXES


class Exchange(nn.Module):
    """All of it are buffers: fitted in closed form by `exchange_fit`, never by gradients.

    Shapes are (B, 478, 3) in the mean face's frame, see `shapes.Shapes`.

    Attributes:
        axes: (3 * 478, SHAPE_AXES), of shape differences. expression_axes: (52, EXPRESSION_AXES),
            expression_mean: (52,). weight: the regression from features to motion,
            (MODULATIONS * SHAPE_AXES, 3 * 478). membership: (478, R), see `landmarks`.
    """

    axes: Tensor
    expression_axes: Tensor
    expression_mean: Tensor
    weight: Tensor
    membership: Tensor

    def __init__(self, regions: tuple[str, ...]) -> None:
        super().__init__()
        flat = 3 * NUM_LANDMARKS
        self.register_buffer("axes", torch.zeros(flat, SHAPE_AXES))
        self.register_buffer("expression_axes", torch.zeros(EXPRESSIONS, EXPRESSION_AXES))
        self.register_buffer("expression_mean", torch.zeros(EXPRESSIONS))
        self.register_buffer("weight", torch.zeros(MODULATIONS * SHAPE_AXES, flat))
        known = torch.from_numpy(memberships(regions)).to(self.weight.dtype)
        self.register_buffer("membership", known, persistent=False)

    def forward(
        self, difference: Tensor, landmarks: Tensor, expression: Tensor, taken: Tensor, mean: Tensor
    ) -> Tensor:
        """The swap's landmarks (B, 478, 3).

        Args:
            difference: (B, 478, 3), the shape that is asked for less the target's own.
            landmarks, expression: the target's.
            taken: (B, R) in [0, 1], which regions may move, in the order of `membership`.
            mean: (478, 3), the mean face.
        """
        _, scale, turn = canonical(landmarks, mean)
        features = self.features(difference, turn, expression)
        moved = (features @ self.weight).view_as(landmarks)  # in the mean face's frame
        share = taken @ self.membership.T  # (B, 478)
        return landmarks + share[..., None] * (moved @ turn) / scale[:, None, None]

    def features(self, difference: Tensor, turn: Tensor, expression: Tensor) -> Tensor:
        """Features, linear in the difference (B, 478, 3): (B, MODULATIONS * SHAPE_AXES)."""
        shape = difference.flatten(1) @ self.axes  # (B, SHAPE_AXES)
        return (self.modulation(turn, expression)[:, :, None] * shape[:, None]).flatten(1)

    def modulation(self, turn: Tensor, expression: Tensor) -> Tensor:
        """One, the head's turn (three elements of its matrix), the expression: (B, MODULATIONS)."""
        head = torch.stack([turn[:, 0, 2], turn[:, 1, 2], turn[:, 0, 1]], dim=1)
        expression_part = (expression - self.expression_mean) @ self.expression_axes
        return torch.cat([torch.ones_like(head[:, :1]), head, expression_part], dim=1)
