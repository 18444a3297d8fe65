"""What follows the face: ears, hairline, skull and neck, which no landmark reader sees.

The renderer knows where points of them lie. Two regressions, fitted in closed form: from the
target's own shape, turn and latents where they lie, and from how the shape is exchanged and the
source's latents how they move.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from facegraft.method.exchange import MODULATIONS, SHAPE_AXES
from facegraft.method.landmarks import canonical

OUTER_LANDMARKS = 160
"""Points about the face, at most; those that a dataset lacks weigh nothing."""


@dataclass(frozen=True)
class OuterLandmarks:
    """Points about B faces, in the picture.

    Attributes:
        places: (B, OUTER_LANDMARKS, 2), the target's.
        motion: (B, OUTER_LANDMARKS, 2), to where the swap has them.
        seen: (B, OUTER_LANDMARKS) in [0, 1].
    """

    places: Tensor
    motion: Tensor
    seen: Tensor


class Outline(nn.Module):
    """Two linear regressions; buffers alone, filled by `outline_fit`.

    Args:
        vectors: V, elements of all latent vectors together.

    Attributes:
        place: (1 + MODULATIONS + SHAPE_AXES + V, 3 * OUTER_LANDMARKS), from `own_features` to x, y
            relative to the face's middle, in the mean face's scale, and to visibility.
        move: (MODULATIONS * SHAPE_AXES + V, 2 * OUTER_LANDMARKS), from `motion_features` to motion
            in that scale.
    """

    place: Tensor
    move: Tensor

    def __init__(self, vectors: int) -> None:
        super().__init__()
        own = 1 + MODULATIONS + SHAPE_AXES + vectors
        moved = MODULATIONS * SHAPE_AXES + vectors
        self.register_buffer("place", torch.zeros(own, 3 * OUTER_LANDMARKS))
        self.register_buffer("move", torch.zeros(moved, 2 * OUTER_LANDMARKS))

    def forward(
        self,
        place_features: Tensor,
        move_features: Tensor,
        landmarks: Tensor,
        mean: Tensor,
        taken: Tensor,
    ) -> OuterLandmarks:
        """Where the points lie and how they move.

        Args:
            place_features: (B, 1 + MODULATIONS + SHAPE_AXES + V), see `own_features`.
            move_features: (B, MODULATIONS * SHAPE_AXES + V), see `motion_features`.
            landmarks: (B, 478, 3), the target's. mean: (478, 3).
            taken: (B,) in [0, 1], whether the face's shape is exchanged.
        """
        _, scale, _ = canonical(landmarks, mean)
        scale = scale[:, None, None]
        placed = (place_features @ self.place).view(-1, OUTER_LANDMARKS, 3)
        places = placed[..., :2] / scale + landmarks[..., :2].mean(dim=1, keepdim=True)
        motion = (move_features @ self.move).view(-1, OUTER_LANDMARKS, 2) / scale
        return OuterLandmarks(places, motion * taken[:, None, None], placed[..., 2].clamp(0.0, 1.0))


def own_features(modulation: Tensor, shape: Tensor, vectors: Tensor) -> Tensor:
    """What says where a target's outer points lie.

    Args:
        modulation: (B, MODULATIONS). shape: (B, SHAPE_AXES), the target's. vectors: (B, V).
    """
    return torch.cat([torch.ones_like(shape[:, :1]), modulation, shape, vectors], dim=1)


def motion_features(features: Tensor, vectors: Tensor) -> Tensor:
    """What says how they move.

    Args:
        features: (B, MODULATIONS * SHAPE_AXES), see `Exchange.features`. vectors: (B, V).
    """
    return torch.cat([features, vectors], dim=1)
