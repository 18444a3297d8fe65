"""The content of the 18 dimensions, besides their vectors: packed into latents, and unpacked.

An identity dimension holds its region of the source: the neutral shape of its landmarks, and its
part of the unwrapped face less its tone. Of the attribute dimensions "expression" holds the
coefficients, "points" the landmarks and "texture" the picture, all of them the target's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from facegraft.core.device import no_autocast
from facegraft.data.faces import Faces
from facegraft.method.landmarks import EXPRESSIONS, NUM_LANDMARKS, memberships
from facegraft.method.latents import NUM_LATENTS, ContentShapes, Layout, unit_energy
from facegraft.method.shapes import Shapes
from facegraft.method.unwrap import SIDE, region_pixels, unwrapped

SHAPE_SQUARE, DETAIL_SQUARE = 0.004, 0.012
"""Mean squares of a landmark's neutral displacement and of a face's detail, in rendered crops."""

PIXEL_SQUARE, LANDMARK_SQUARE, EXPRESSION_SQUARE = 0.3, 0.25, 0.05
"""Mean squares of the target's pixels, landmark coordinates and expression coefficients."""

IDENTITY_ENERGY, EXPRESSION_ENERGY = 0.5, 0.25
"""Of a region's shape, and of its detail; of the expression. A vector, the landmarks and the pixels
have about 1."""

SEEN_SCALE = 1e-3
"""Visibility is scaled to about 0, so that it does not affect L_id; undone on unpacking."""

EXPRESSION_SCALE = unit_energy(EXPRESSION_SQUARE, EXPRESSIONS, EXPRESSION_ENERGY)

LANDMARK_SCALE = unit_energy(LANDMARK_SQUARE, 3 * NUM_LANDMARKS)


@dataclass(frozen=True)
class Fused:
    """What a full set of latents holds, taken out.

    Attributes:
        target: the picture, landmarks and expression of the attribute dimensions.
        shape: (B, 478, 3), neutral. detail: (B, 3, SIDE, SIDE). seen: (B, 1, SIDE, SIDE).
    """

    target: Faces
    shape: Tensor
    detail: Tensor
    seen: Tensor


class ContentPacker:
    """Packs content into latents and unpacks it; no parameters.

    Args:
        identity: region -> its first latent index, e.g. {"eyes": 6}.
        expression, landmarks, pixels: indices of the latents that hold that content of the target.
        size: width and height of the crops.
    """

    def __init__(
        self,
        identity: Mapping[str, int],
        expression: int,
        landmarks: int,
        pixels: int,
        size: int,
    ) -> None:
        self.identity = dict(identity)
        self.regions = tuple(self.identity)
        self.expression, self.landmarks, self.pixels = expression, landmarks, pixels
        self.size = size
        owner = torch.from_numpy(memberships(self.regions)).argmax(dim=1)
        self.members = tuple(torch.nonzero(owner == k).flatten() for k in range(len(self.regions)))

    @property
    def region_pixels(self) -> tuple[Tensor, ...]:
        """The pixels of the unwrapped face that belong to each region."""
        return region_pixels(self.regions)

    def content_shapes(self) -> tuple[ContentShapes, ...]:
        """Of each of the 18 dimensions, as `Layout` wants them."""
        held: list[dict[str, tuple[int, ...]]] = [{} for _ in range(NUM_LATENTS)]
        for k, members, pixels in zip(
            self.identity.values(), self.members, self.region_pixels, strict=True
        ):
            held[k] = {
                "shape": (len(members), 3),
                "detail": (3, len(pixels)),
                "seen": (len(pixels),),
            }
        held[self.expression]["expression"] = (EXPRESSIONS,)
        held[self.landmarks]["landmarks"] = (NUM_LANDMARKS, 3)
        held[self.pixels]["pixels"] = (3, self.size, self.size)
        return tuple(held)

    @no_autocast()
    def packed(self, vectors: Tensor, faces: Faces, shapes: Shapes) -> Tensor:
        """Vectors (B, 18, D) and what else B faces give -> latents (B, L)."""
        shape = shapes(faces.landmarks, faces.expression) - shapes.mean
        detail, seen = (x.flatten(2) for x in unwrapped(faces.images, faces.landmarks))
        parts: list[list[Tensor]] = [[vectors[:, k]] for k in range(NUM_LATENTS)]
        for place, k in enumerate(self.identity.values()):
            members, pixels = (
                rows[place].to(vectors.device) for rows in (self.members, self.region_pixels)
            )
            parts[k] += [
                shape[:, members].flatten(1) * self._shape_scale(place),
                (detail[:, :, pixels] * seen[:, :, pixels]).flatten(1) * self._detail_scale(place),
                seen[:, 0, pixels] * SEEN_SCALE,
            ]
        parts[self.expression].append(faces.expression * EXPRESSION_SCALE)
        parts[self.landmarks].append(faces.landmarks.flatten(1) * LANDMARK_SCALE)
        parts[self.pixels].append(faces.images.flatten(1) * self._pixel_scale)
        return torch.cat([part for dimension in parts for part in dimension], dim=1)

    def unpacked(self, z: Tensor, layout: Layout, mean: Tensor) -> Fused:
        """Latents (B, L) -> what they hold.

        Args:
            mean: (478, 3), the mean face.
        """
        target = Faces(
            layout.content(z, self.pixels, "pixels") / self._pixel_scale,
            layout.content(z, self.landmarks, "landmarks") / LANDMARK_SCALE,
            layout.content(z, self.expression, "expression") / EXPRESSION_SCALE,
        )
        shape = z.new_zeros(len(z), NUM_LANDMARKS, 3)
        detail = z.new_zeros(len(z), 3, SIDE * SIDE)
        seen = z.new_zeros(len(z), 1, SIDE * SIDE)
        for place, k in enumerate(self.identity.values()):
            members, pixels = (
                rows[place].to(z.device) for rows in (self.members, self.region_pixels)
            )
            shape[:, members] = layout.content(z, k, "shape") / self._shape_scale(place)
            known = layout.content(z, k, "seen") / SEEN_SCALE
            drawn = layout.content(z, k, "detail") / self._detail_scale(place)
            detail[:, :, pixels] = drawn / known[:, None].clamp_min(1e-3)
            seen[:, 0, pixels] = known
        square = (len(z), -1, SIDE, SIDE)
        return Fused(target, shape + mean, detail.view(square), seen.view(square))

    def _shape_scale(self, place: int) -> float:
        return unit_energy(SHAPE_SQUARE, 3 * len(self.members[place]), IDENTITY_ENERGY)

    def _detail_scale(self, place: int) -> float:
        return unit_energy(DETAIL_SQUARE, 3 * len(self.region_pixels[place]), IDENTITY_ENERGY)

    @property
    def _pixel_scale(self) -> float:
        return unit_energy(PIXEL_SQUARE, 3 * self.size**2)
