"""The 18 latents: names, the identity/attribute split, the 1/0 weights, and `fuse`.

An image's latents travel as one packed tensor z of shape (B, L): the 18 dimensions side by side,
each flattened (patent [0104], [0108]). A dimension is a vector of D elements and after it what else
it holds: the text fixes one latent per dimension but leaves its content open [0109].

Each vector is normalised so that E||z^k||^2 = 1; what else a dimension holds is of bounded energy
and only scaled, so that it comes back exactly.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from facegraft.data.grids import PARTS

NUM_LATENTS = 18
"""One latent per dimension, 0 to 17 (patent CN112991152A [0108])."""

IDENTITY: Mapping[str, tuple[int, ...]] = MappingProxyType(
    dict(zip(PARTS, ((5,), (6,), (7,), (8,), (9,)), strict=True))
)
"""Sub-dimension -> its latents, which a swap takes from the source [0109]."""

ATTRIBUTE: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "background": (0,),
        "costume": (1,),
        "pose": (2,),
        "lighting": (3,),
        "expression": (4, 10, 11),
        "skin": (12,),
        "hair": (13, 14),
        "accessory": (15,),
        "points": (16,),
        "texture": (17,),
    }
)
"""Group -> its latents, which a swap takes from the target."""

TARGET_CONTENT_GROUPS = ("expression", "points", "texture")
"""Attribute groups whose first latent holds content of the target, in this order: its expression
coefficients, its landmarks (group "points") and its pixels (group "texture")."""

ContentShapes = Mapping[str, tuple[int, ...]]
"""Content of one dimension, which is what it holds besides its vector: name -> shape."""


@dataclass(frozen=True)
class Layout:
    """Which dimension is called what, belongs to whom, and lies where in the packed tensor.

    Attributes:
        identity: sub-dimension -> latent indices, e.g. {"eyes": (6,)} [0109].
        attribute: the same for all other indices, e.g. {"expression": (4, 10)}.
        vector: D, elements of every dimension's vector.
        content_shapes: of each dimension, in the order in which its content is packed.
    """

    identity: Mapping[str, tuple[int, ...]]
    attribute: Mapping[str, tuple[int, ...]]
    vector: int
    content_shapes: tuple[ContentShapes, ...] = ({},) * NUM_LATENTS

    def __post_init__(self) -> None:
        named = sorted(
            i for group in (*self.identity.values(), *self.attribute.values()) for i in group
        )
        if named != list(range(NUM_LATENTS)) or len(self.content_shapes) != NUM_LATENTS:
            raise ValueError(f"every latent 0 to {NUM_LATENTS - 1} belongs to exactly one group")

    @property
    def bare(self) -> Layout:
        """The same dimensions, holding nothing but their vectors."""
        return Layout(self.identity, self.attribute, self.vector)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Elements of each dimension: its vector's and all that it holds."""
        return tuple(
            self.vector + sum(int(torch.Size(shape).numel()) for shape in content.values())
            for content in self.content_shapes
        )

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

    def vectors(self, z: Tensor) -> Tensor:
        """The vectors of (B, L), elements of unit variance: (B, 18, D)."""
        parts = [part[:, : self.vector] for part in self.split(z)]
        return torch.stack(parts, dim=1) * self.vector**0.5

    def content(self, z: Tensor, dimension: int, name: str) -> Tensor:
        """Content of one dimension of (B, L) by its name, scaled as it was packed: (B, *shape)."""
        start = sum(self.sizes[:dimension]) + self.vector
        for held, shape in self.content_shapes[dimension].items():
            length = int(torch.Size(shape).numel())
            if held == name:
                return z[:, start : start + length].reshape(len(z), *shape)
            start += length
        raise KeyError(f"latent {dimension} holds no {name}")

    def z_id(self, z: Tensor) -> Tensor:
        """Identity latents of (B, L)."""
        return self.gather(z, self.identity_dimensions)

    def z_att(self, z: Tensor) -> Tensor:
        """Attribute latents of (B, L)."""
        return self.gather(z, self.attribute_dimensions)


def unit_energy(mean_square: float, size: int, energy: float = 1.0) -> float:
    """The factor that gives `size` numbers of a mean square an energy of about `energy`."""
    return float((energy / (mean_square * size)) ** 0.5)


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
