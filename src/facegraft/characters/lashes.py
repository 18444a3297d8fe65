"""Eyelashes: the cards of the base mesh, shortened and fixed to the lid that carries them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegraft.characters.wavefront import Mesh

LENGTHS = {1: 0.3, 2: 0.62}
"""Share of the length kept, by the number in the group's name: 1 below, 2 above the eye.

At full length the lower cards read as a black bar, and closed eyes as torn ribbons.
"""

ROOT = 0.012
"""A lash vertex this near to the skin is a root, decimetres."""


@dataclass(frozen=True)
class Lashes:
    """The vertices of the lashes (L), int64 each.

    Attributes:
        vertex: the lash's vertices.
        root: the lash vertex that each grows from.
        skin: the lid's vertex that each moves with.
        below: bool (L,), on the lower lid.
        length: float32 (L, 1), share of the length kept.
    """

    vertex: np.ndarray
    root: np.ndarray
    skin: np.ndarray
    below: np.ndarray
    length: np.ndarray

    def shortened(self, positions: np.ndarray) -> np.ndarray:
        """Positions (V, 3) with the lashes shortened."""
        out = positions.copy()
        held = positions[self.root]
        out[self.vertex] = held + (positions[self.vertex] - held) * self.length
        return out

    def carried(self, displacement: np.ndarray) -> np.ndarray:
        """A displacement (V, 3) in which the lashes move as the lid does."""
        out = displacement.copy()
        out[self.vertex] = displacement[self.skin]
        return out


def find_lashes(mesh: Mesh) -> Lashes:
    """The lashes of the base mesh."""
    skin = np.unique(mesh.triangles[mesh.groups == "body"])
    parts: list[tuple[np.ndarray, ...]] = []
    for side in "lr":
        for number, length in LENGTHS.items():
            card = np.unique(mesh.triangles[mesh.groups == f"helper-{side}-eyelashes-{number}"])
            lid, gap = _nearest(mesh.vertices, card, skin)
            roots, _ = _nearest(mesh.vertices, card, card[gap < ROOT])
            held = dict(zip(card.tolist(), lid.tolist(), strict=True))
            anchor = np.array([held[root] for root in roots.tolist()])
            below = np.full(len(card), number == 1)
            parts.append((card, roots, anchor, below, np.full((len(card), 1), length, np.float32)))
    return Lashes(*(np.concatenate(found) for found in zip(*parts, strict=True)))


def _nearest(
    points: np.ndarray, wanted: np.ndarray, among: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each vertex of `wanted` the nearest of `among`, and how far away it is."""
    apart = np.linalg.norm(points[wanted][:, None] - points[among][None], axis=2)
    return among[apart.argmin(axis=1)], apart.min(axis=1)
