"""The 18 latents: names, the identity/attribute split, the 1/0 weights, and `fuse`.

An image's latents travel as one packed tensor z of shape (B, L): the 18 dimensions side by side,
each flattened (patent [0104], [0108]). A dimension is a plain vector, or a narrow spatial slot of
shape (C, H, W); the text fixes one latent per dimension but leaves its content open [0109].

Each dimension k is normalised so that E‖z^k‖² = 1 whatever its length; two unrelated images lie
about 1 apart in every dimension (½‖Δ‖² ≈ 1), so no dimension outweighs another in a loss.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from facegraft.config import NUM_LATENTS


@dataclass(frozen=True)
class Layout:
    """Which dimension is called what, belongs to whom, and lies where in the packed tensor.

    Attributes:
        identity: sub-dimension -> latent indices, e.g. {"eyes": (6,)} [0109].
        attribute: the same for all other indices, e.g. {"expression": (4, 10)}.
        shapes: per dimension (D,) for a vector, (C, H, W) for a spatial slot, (K, 2) for points.
        texture: the slot that holds the image's own pixels, (12, S/2, S/2), if there is one.
        points: the dimension that holds where the image's surface points lie, if there is one.
    """

    identity: Mapping[str, tuple[int, ...]]
    attribute: Mapping[str, tuple[int, ...]]
    shapes: tuple[tuple[int, ...], ...]
    texture: int | None = None
    points: int | None = None

    def __post_init__(self) -> None:
        named = sorted(
            i for group in (*self.identity.values(), *self.attribute.values()) for i in group
        )
        if named != list(range(NUM_LATENTS)) or len(self.shapes) != NUM_LATENTS:
            raise ValueError(f"every latent 0 to {NUM_LATENTS - 1} belongs to exactly one group")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Elements of each dimension when flattened."""
        return tuple(int(torch.Size(shape).numel()) for shape in self.shapes)

    @property
    def length(self) -> int:
        """L, the elements of all 18 dimensions together."""
        return sum(self.sizes)

    @property
    def identity_dimensions(self) -> tuple[int, ...]:
        """The patent's *first* designated dimensions, ascending."""
        return tuple(sorted(i for group in self.identity.values() for i in group))

    @property
    def attribute_dimensions(self) -> tuple[int, ...]:
        """The patent's *second* designated dimensions, ascending."""
        return tuple(sorted(i for group in self.attribute.values() for i in group))

    @property
    def spatial_dimensions(self) -> tuple[int, ...]:
        """Dimensions that are (C, H, W) slots."""
        return tuple(k for k, shape in enumerate(self.shapes) if len(shape) == 3)

    @property
    def vector_dimensions(self) -> tuple[int, ...]:
        """Dimensions that are plain vectors."""
        return tuple(k for k, shape in enumerate(self.shapes) if len(shape) == 1)

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each dimension, e.g. "eyes", "expression/0"."""
        names = [""] * NUM_LATENTS
        for group, indices in (*self.identity.items(), *self.attribute.items()):
            for place, index in enumerate(indices):
                names[index] = group if len(indices) == 1 else f"{group}/{place}"
        return tuple(names)

    def split(self, z: Tensor) -> tuple[Tensor, ...]:
        """(B, L) -> 18 tensors (B, size_k)."""
        return z.split(self.sizes, dim=1)

    def gather(self, z: Tensor, dimensions: Collection[int]) -> Tensor:
        """(B, L) -> (B, sum of the chosen sizes), in ascending order of dimension."""
        parts = self.split(z)
        return torch.cat([parts[k] for k in sorted(dimensions)], dim=1)

    def z_id(self, z: Tensor) -> Tensor:
        """Identity latents of (B, L)."""
        return self.gather(z, self.identity_dimensions)

    def z_att(self, z: Tensor) -> Tensor:
        """Attribute latents of (B, L)."""
        return self.gather(z, self.attribute_dimensions)


def texture_scale(size: int) -> float:
    """Factor that gives `size` pixel levels in [-1, 1] an energy of about 1; their mean square
    is about 0.3 in the rendered crops."""
    return float((0.3 * size) ** -0.5)


def points_scale(size: int) -> float:
    """Factor that gives `size` places in [-1, 1] an energy of about 1. Two unrelated images then
    lie far less than 1 apart: that a face's points move is what a swap is for."""
    return float((0.25 * size) ** -0.5)


def source_weights(layout: Layout, transplant: Collection[str] | None = None) -> Tensor:
    """Weights of the source's 18 latents: 1 where its identity is taken, else 0 [0111]-[0112].

    The target's weights are `1 - source_weights` [0113].

    Args:
        transplant: identity sub-dimensions to take, e.g. {"eyes"}; None takes all of them.

    Returns:
        float32 (18,), zeros and ones.

    Raises:
        ValueError: a name that is no identity sub-dimension.
    """
    groups = layout.identity if transplant is None else dict.fromkeys(transplant)
    unknown = sorted(set(groups) - set(layout.identity))
    if unknown:
        raise ValueError(
            f"unknown identity sub-dimension {', '.join(unknown)}; "
            f"choose from {', '.join(layout.identity)}"
        )
    weights = torch.zeros(NUM_LATENTS)
    for group in groups:
        weights[list(layout.identity[group])] = 1.0
    return weights


def select(layout: Layout, z: Tensor, weights: Tensor) -> Tensor:
    """Weighted latents: dimension k of (B, L) times weights[k] of (18,) or (B, 18) [0111]."""
    sizes = torch.tensor(layout.sizes, device=z.device)
    spread = weights.to(z).repeat_interleave(sizes, dim=-1, output_size=layout.length)
    return z * spread


def fuse(layout: Layout, z_source: Tensor, z_target: Tensor, weights: Tensor) -> Tensor:
    """The source's identity latents and the target's others, again a full set [0108], [0113].

    Args:
        z_source, z_target: (B, L).
        weights: the source's, (18,) or (B, 18); see `source_weights`.

    Returns:
        (B, L).
    """
    return select(layout, z_source, weights) + select(layout, z_target, 1.0 - weights)
