"""What an identity looks like in few numbers: principal axes of visible shape."""

from __future__ import annotations

import numpy as np

from facegraft.characters.regions import CODE_GROUPS, region_of

COMPONENTS = {"face_shape": 16, "eyes": 10, "brows": 4, "nose": 10, "mouth": 10}
"""Shape components kept per group of the code."""


def shape_basis(
    names: tuple[str, ...],
    up: list[np.ndarray],
    down: list[np.ndarray],
    visible: np.ndarray,
    spread: np.ndarray,
) -> tuple[np.ndarray, dict[str, slice]]:
    """A linear map from half-axes to code.

    Args:
        names: axis names (P,).
        up, down: displacement (V, 3) of each axis at +1 and at -1.
        visible: bool (V,), the vertices of the neutral face that a frontal view shows.
        spread: float (P,), standard deviation of each axis under `sample_identity`.

    Returns:
        float32 (C, 2 P), applied to [max(axes, 0), max(-axes, 0)]; and the rows of each group.
        Within a group the components keep the proportions of the change that they make; the
        group's mean variance is one. Signs are fixed by the largest entry.
    """
    fields = np.stack([field[visible].ravel() for field in (*up, *down)], axis=1)
    deviation = np.concatenate([spread, spread])
    rows: list[np.ndarray] = []
    groups: dict[str, slice] = {}
    first = 0
    for group, regions in CODE_GROUPS.items():
        member = np.array([region_of(name) in regions for name in names])
        member = np.concatenate([member, member])
        basis = fields[:, member].astype(np.float64) * deviation[member]
        values, vectors = np.linalg.eigh(basis.T @ basis)
        keep = np.argsort(-values, kind="stable")[: COMPONENTS[group]]
        directions = vectors[:, keep] * np.sign(
            vectors[np.abs(vectors[:, keep]).argmax(axis=0), keep]
        )
        # Halves of a normal axis have variance (1/2 - 1/2pi) of the whole.
        scale = np.sqrt(values[keep] / values[keep].mean() / (0.5 - 0.5 / np.pi))
        block = np.zeros((len(keep), len(member)))
        block[:, member] = (directions * scale).T / deviation[member]
        rows.append(block)
        groups[group] = slice(first, first + len(keep))
        first += len(keep)
    return np.concatenate(rows).astype(np.float32), groups
