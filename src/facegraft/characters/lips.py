"""Lips that meet: what parts them at rest is taken back, so that no slit shows the teeth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CONTACT = 0.02
"""Vertices of the two lips this near to each other touch at rest, decimetres."""

REACH = 0.06
"""How far from where the lips meet they give way, decimetres."""

OVERLAP = 0.012
"""How far the lips of the mean head press into each other, decimetres; a sample's width at 256."""

NEIGHBOURS = 4


@dataclass(frozen=True)
class Lips:
    """Vertices (L) around the line where the lips meet.

    Attributes:
        vertex: int64 (L,), those that give way.
        upper, lower: int64 (L, NEIGHBOURS), where the lips touch near each of them.
        share: float32 (L, NEIGHBOURS), how far a vertex gives way, in [-0.5, 0.5]; the lower
            lip's are negative.
    """

    vertex: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    share: np.ndarray

    def pressed(self, positions: np.ndarray) -> np.ndarray:
        """Positions (V, 3) with the lips pressed together."""
        parted = np.zeros((*self.upper.shape, 3))
        parted[..., 1] = positions[self.upper, 1] - positions[self.lower, 1] + OVERLAP
        return self._closed(positions, parted)

    def sealed(self, displacement: np.ndarray) -> np.ndarray:
        """A displacement (V, 3) that moves both lips alike where they touch."""
        return self._closed(displacement, displacement[self.upper] - displacement[self.lower])

    def _closed(self, field: np.ndarray, parted: np.ndarray) -> np.ndarray:
        out = field.copy()
        out[self.vertex] -= (parted * self.share[..., None]).sum(axis=1)
        return out


def find_lips(
    positions: np.ndarray, normals: np.ndarray, masks: dict[str, np.ndarray], jaw: np.ndarray
) -> Lips:
    """The lips of the mean head.

    Args:
        positions, normals: (V, 3); masks: "lips" and "inside_mouth", float (V,) in [0, 1].
        jaw: float (V, 3), the displacement that opens the jaw; it tells lower from upper.
    """
    lips = masks["lips"] > 0.5
    above = np.flatnonzero(lips & (normals[:, 1] < -0.05))
    below = np.flatnonzero(lips & (normals[:, 1] > 0.05))
    apart = np.linalg.norm(positions[above][:, None] - positions[below][None], axis=2)
    touching = apart.min(axis=1) < CONTACT
    upper, lower = above[touching], below[apart.argmin(axis=1)[touching]]
    place = (positions[upper] + positions[lower]) / 2
    around = np.flatnonzero((masks["lips"] > 0.05) | (masks["inside_mouth"] > 0.05))
    gap = np.linalg.norm(positions[around][:, None] - place[None], axis=2)
    near = gap.min(axis=1) < 3 * REACH
    around, gap = around[near], gap[near]
    chosen = np.argsort(gap, axis=1, kind="stable")[:, :NEIGHBOURS]
    distance = np.take_along_axis(gap, chosen, axis=1)
    weight = 1 / (distance + 0.01) ** 2
    weight /= weight.sum(axis=1, keepdims=True)
    middle = (jaw[upper, 1] + jaw[lower, 1])[chosen] / 2
    side = np.where(jaw[around, 1] > (middle * weight).sum(axis=1), 0.5, -0.5)
    yielding = side * np.exp(-((distance[:, 0] / REACH) ** 2))
    share = (weight * yielding[:, None]).astype(np.float32)
    return Lips(around, upper[chosen], lower[chosen], share)
