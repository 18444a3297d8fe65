"""Where the painted outlines of `facegraft.characters.contours` lie on a character's surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegraft.characters.assets import Assets
from facegraft.characters.brows import FRONT, HIGHEST, LOWEST, MARGIN, brow_edges
from facegraft.characters.contours import BROW_ALONG
from facegraft.characters.identity import Identity
from facegraft.characters.materials import EYE_CENTRE, EYE_RADIUS, IRIS
from facegraft.characters.sculpt import MATERIALS


@dataclass(frozen=True)
class Outlines:
    """P points inside triangles of the mesh.

    Attributes:
        corner: int64 (P, 3), the vertices of each point's triangle.
        share: float64 (P, 3), their shares; they add up to 1.
    """

    corner: np.ndarray
    share: np.ndarray

    def among(self, values: np.ndarray) -> np.ndarray:
        """Values of the vertices (V, ...) at the points: (P, ...)."""
        share = self.share.reshape(*self.share.shape, *[1] * (values.ndim - 1))
        out: np.ndarray = (values[self.corner] * share).sum(axis=1)
        return out


def find_outlines(assets: Assets, identity: Identity) -> Outlines:
    """The outlines of an identity's brows and irises; the brows move over the skin with it."""
    rest = assets.rest.numpy()
    body = assets.triangles.numpy()[: assets.corner_texture.shape[2]]
    material = assets.material.numpy()[: len(body)]
    height, depth = rest[body][..., 1].mean(axis=1), rest[body][..., 2].mean(axis=1)
    forehead = (height > LOWEST - MARGIN) & (height < HIGHEST + MARGIN) & (depth > FRONT - MARGIN)
    brows = body[(material == MATERIALS.index("skin")) & forehead]
    eyes = body[(material == MATERIALS.index("eye")) & (depth > EYE_CENTRE[2])]
    found = [_upon(rest, brows, _brows(identity)), _upon(rest, eyes, _irises())]
    corner, share = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Outlines(corner, share)


def _brows(identity: Identity) -> np.ndarray:
    """Rest positions float64 (BROW_POINTS, 2) of the brows' edges."""
    x, lower, upper = brow_edges(identity, np.array(BROW_ALONG))
    sides = [np.stack([sign * x, edge], axis=1) for sign in (-1, 1) for edge in (lower, upper)]
    return np.concatenate(sides)


def _irises() -> np.ndarray:
    """Rest positions float64 (IRIS_POINTS, 2) of the irises' middles and rims."""
    rim = EYE_RADIUS * IRIS
    offsets = np.array([[0.0, 0.0], [rim, 0.0], [0.0, rim]])
    return np.concatenate([np.array([sign * EYE_CENTRE[0], EYE_CENTRE[1]]) + offsets
                           for sign in (-1, 1)])  # fmt: skip


def _upon(
    rest: np.ndarray, triangles: np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The foremost of some triangles over each place (P, 2): corners and their shares (P, 3).

    A place beside all of them is taken to the border of the one that it misses least.
    """
    corners = rest[triangles].astype(np.float64)  # (T, 3, 3)
    first, second, third = corners[..., :2].transpose(1, 0, 2)
    one, two, off = second - first, third - first, places[:, None] - first  # off: (P, T, 2)
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    area = np.where(np.abs(area) < 1e-9, np.inf, area)
    b = (off[..., 0] * two[:, 1] - off[..., 1] * two[:, 0]) / area
    c = (one[:, 0] * off[..., 1] - one[:, 1] * off[..., 0]) / area
    share = np.stack([1 - b - c, b, c], axis=2)  # (P, T, 3)
    inside = share.min(axis=2)
    front = (share * corners[None, ..., 2]).sum(axis=2)
    score = np.where(inside >= -1e-6, front, -1e6 + 1e3 * inside.clip(-100))
    best = score.argmax(axis=1)
    taken = share[np.arange(len(places)), best].clip(0)
    return triangles[best].astype(np.int64), taken / taken.sum(axis=1, keepdims=True)
