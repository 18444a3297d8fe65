"""A deterministic triangle rasteriser in tensor operations.

Each triangle is cut into scan lines (spans), each span into pixels; the nearest triangle of a
pixel wins by an integer minimum over (depth, triangle), which does not depend on any order of
evaluation. The work is one multiply-add and one minimum per covered pixel and triangle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

TRIANGLE_BITS = 20
EMPTY = 2**62


@dataclass(frozen=True)
class Fragments:
    """The covered pixels of a picture of `size` x `size`.

    Attributes:
        pixel: int64 (N,), row * size + column, ascending.
        triangle: int64 (N,), the nearest triangle.
        weights: float32 (3, N), perspective-correct barycentric weights, sum 1.
        depth: float32 (N,), distance along the optical axis.
    """

    pixel: torch.Tensor
    triangle: torch.Tensor
    weights: torch.Tensor
    depth: torch.Tensor


def rasterise(
    screen: np.ndarray,
    depth: np.ndarray,
    triangles: np.ndarray,
    two_sided: np.ndarray,
    size: int,
    cut: np.ndarray | None = None,
) -> Fragments:
    """Find what each pixel sees.

    Args:
        screen: float (V, 2), x to the right and y down, in pixels; pixel centres at +0.5.
        depth: float (V,), positive distance from the camera.
        triangles: int64 (T, 3), T < 2**20, counter-clockwise seen from the front in a frame
            with y up.
        two_sided: bool (T,), triangles that also show their back.
        size: width and height in pixels.
        cut: float (V,) or None; a pixel whose interpolated value is negative is transparent.
    """
    corner = screen[triangles].astype(np.float64) - 0.5
    inverse = 1.0 / depth.astype(np.float64)
    chosen = _facing(corner, two_sided, size)
    corner = corner[chosen]
    edge = _edges(corner)
    plane = _plane(edge, inverse[triangles[chosen]])
    clip = None if cut is None else _plane(edge, cut[triangles[chosen]].astype(np.float64))
    row_of, y, first, length = _spans(corner, edge, size)
    key = _nearest(row_of, y, first, length, plane, clip, inverse, size)
    pixel = np.flatnonzero(key != EMPTY)
    local = key[pixel] & (2**TRIANGLE_BITS - 1)
    weights, nearness = _weights(pixel, local, corner, edge, inverse[triangles[chosen]], size)
    return Fragments(
        torch.from_numpy(pixel),
        torch.from_numpy(chosen[local]),
        torch.from_numpy(weights),
        torch.from_numpy((1.0 / nearness).astype(np.float32)),
    )


def _facing(corner: np.ndarray, two_sided: np.ndarray, size: int) -> np.ndarray:
    """Triangles that face the camera (or show both sides) and touch the frame."""
    a, b, c = corner[:, 0], corner[:, 1], corner[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    low, high = corner.min(axis=1), corner.max(axis=1)
    # y points down on the screen, so a front has negative area.
    seen = (area < 0) | (two_sided & (area > 0))
    inside = (high >= 0).all(axis=1) & (low <= size - 1).all(axis=1)
    holds_centre = (np.ceil(low) <= np.floor(high)).all(axis=1)
    return np.flatnonzero(seen & inside & holds_centre)


def _edges(corner: np.ndarray) -> np.ndarray:
    """Edge functions (T, 3, 3): row k holds (A, B, C) with A x + B y + C = 1 at corner k.

    Shared edges give exactly opposite functions up to their scale, so neighbours leave no gap.
    """
    tail, head = corner[:, [1, 2, 0]], corner[:, [2, 0, 1]]
    slope_x = tail[..., 1] - head[..., 1]
    slope_y = head[..., 0] - tail[..., 0]
    offset = tail[..., 0] * head[..., 1] - head[..., 0] * tail[..., 1]
    return np.stack([slope_x, slope_y, offset], axis=-1)


def _plane(edge: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Coefficients (T, 3) of the linear function that takes `values` (T, 3) at the corners."""
    area = edge[:, :, 2].sum(axis=1)
    return (edge * values[:, :, None]).sum(axis=1) / area[:, None]


def _spans(
    corner: np.ndarray, edge: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scan lines of the triangles: (triangle, row, first column, number of columns)."""
    top = np.maximum(np.ceil(corner[..., 1].min(axis=1)), 0).astype(np.int64)
    bottom = np.minimum(np.floor(corner[..., 1].max(axis=1)), size - 1).astype(np.int64)
    rows = np.maximum(bottom - top + 1, 0)
    triangle = np.repeat(np.arange(len(rows)), rows)
    y = np.arange(len(triangle)) - np.repeat(np.cumsum(rows) - rows - top, rows)
    left = np.zeros(len(triangle))
    right = np.full(len(triangle), float(size - 1))
    sign = np.sign(edge[:, :, 2].sum(axis=1))
    for k in range(3):
        slope = edge[triangle, k, 0]
        rest = edge[triangle, k, 1] * y + edge[triangle, k, 2]
        side = slope * sign[triangle]
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = -rest / slope
        left = np.where(side > 0, np.maximum(left, np.ceil(crossing)), left)
        right = np.where(side < 0, np.minimum(right, np.floor(crossing)), right)
        right = np.where((side == 0) & (rest * sign[triangle] < 0), -1.0, right)
    keep = np.flatnonzero(right >= left)
    first = left[keep].astype(np.int64)
    return triangle[keep], y[keep], first, right[keep].astype(np.int64) - first + 1


def _nearest(
    triangle: np.ndarray,
    y: np.ndarray,
    first: np.ndarray,
    length: np.ndarray,
    plane: np.ndarray,
    clip: np.ndarray | None,
    inverse: np.ndarray,
    size: int,
) -> np.ndarray:
    """Per pixel the smallest (depth << bits | triangle), int64 (size * size,)."""
    low, high = float(inverse.min()), float(inverse.max())
    steps = 2.0**30 / max(high - low, 1e-9)
    start = plane[triangle, 0] * first + plane[triangle, 1] * y + plane[triangle, 2]
    far = np.clip((high - start) * steps, 0, 2.0**40).astype(np.int64)
    step = np.rint(-plane[triangle, 0] * steps).astype(np.int64)
    column = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    distance = np.maximum(np.repeat(far, length) + column * np.repeat(step, length), 0)
    key = (distance << TRIANGLE_BITS) | np.repeat(triangle, length)
    pixel = np.repeat(y * size + first, length) + column
    if clip is not None:
        value = clip[triangle, 0] * first + clip[triangle, 1] * y + clip[triangle, 2]
        shown = np.repeat(value, length) + column * np.repeat(clip[triangle, 0], length) >= 0
        key, pixel = key[shown], pixel[shown]
    buffer = torch.full((size * size,), EMPTY, dtype=torch.int64)
    buffer.scatter_reduce_(0, torch.from_numpy(pixel), torch.from_numpy(key), "amin")
    return buffer.numpy()


def _weights(
    pixel: np.ndarray,
    triangle: np.ndarray,
    corner: np.ndarray,
    edge: np.ndarray,
    inverse: np.ndarray,
    size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Perspective-correct weights float32 (3, N) and 1 / depth (N,)."""
    area = edge[:, :, 2].sum(axis=1)
    # Relative to the first corner, where the edge functions are (area, 0, 0): no cancellation.
    scaled = edge[:, :, :2] / area[:, None, None] * inverse[:, :, None]
    table = np.concatenate([scaled.reshape(-1, 6), corner[:, 0], inverse[:, :1]], axis=1)
    rows = torch.from_numpy(table.astype(np.float32))
    found = rows.index_select(0, torch.from_numpy(triangle)).t().contiguous().numpy()
    dx = (pixel % size).astype(np.float32) - found[6]
    dy = (pixel // size).astype(np.float32) - found[7]
    raw = np.stack(
        [
            found[0] * dx + found[1] * dy + found[8],
            found[2] * dx + found[3] * dy,
            found[4] * dx + found[5] * dy,
        ]
    )
    raw = np.maximum(raw, 0)
    total = raw[0] + raw[1] + raw[2]
    return raw / total, total
