"""Where a swap's landmarks lie: the target's own, moved by how the source's shape differs.

A regression, learnt from readings of rendered true swaps without decoding a picture. It hears the
difference of two shapes only, so that it is silent where they are one, and how the target is
turned and what it expresses, so that the source's features adapt to that [0099]-[0100].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegraft.method.landmarks import EXPRESSIONS, LANDMARKS, canonical, memberships

SHAPES = 64
"""Principal axes of the shapes of faces that are told apart."""

MOODS = 10
"""Principal axes of the target's expression by which a motion is modulated."""

MODULATIONS = 1 + 3 + MOODS


class Exchange(nn.Module):
    """All of it are buffers: fitted in closed form by `exchange_fit`, never by gradients.

    Shapes are (B, 478, 3) in the mean face's frame, see `shapes.Shapes`.

    Attributes:
        axes: (3 * 478, SHAPES). moods: (52, MOODS), mood_mean: (52,). weight: what each feature
            moves, (MODULATIONS * SHAPES, 3 * 478). membership: (478, R), see `landmarks`.
    """

    axes: Tensor
    moods: Tensor
    mood_mean: Tensor
    weight: Tensor
    membership: Tensor

    def __init__(self, regions: tuple[str, ...]) -> None:
        super().__init__()
        flat = 3 * LANDMARKS
        self.register_buffer("axes", torch.zeros(flat, SHAPES))
        self.register_buffer("moods", torch.zeros(EXPRESSIONS, MOODS))
        self.register_buffer("mood_mean", torch.zeros(EXPRESSIONS))
        self.register_buffer("weight", torch.zeros(MODULATIONS * SHAPES, flat))
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
        heard = self.heard(difference, turn, expression)
        moved = (heard @ self.weight).view_as(landmarks)  # in the mean face's frame
        share = taken @ self.membership.T  # (B, 478)
        return landmarks + share[..., None] * (moved @ turn) / scale[:, None, None]

    def heard(self, difference: Tensor, turn: Tensor, expression: Tensor) -> Tensor:
        """Features of a regression that is linear in the difference: (B, MODULATIONS * SHAPES)."""
        shape = difference.flatten(1) @ self.axes  # (B, SHAPES)
        return (self.modulation(turn, expression)[:, :, None] * shape[:, None]).flatten(1)

    def modulation(self, turn: Tensor, expression: Tensor) -> Tensor:
        """One, the head's turn by three elements of its matrix, the mood: (B, MODULATIONS)."""
        head = torch.stack([turn[:, 0, 2], turn[:, 1, 2], turn[:, 0, 1]], dim=1)
        mood = (expression - self.mood_mean) @ self.moods
        return torch.cat([torch.ones_like(head[:, :1]), head, mood], dim=1)
