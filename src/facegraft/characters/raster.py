"""A deterministic triangle rasteriser.

Each triangle is cut into scan lines (spans), each span into pixels; the nearest triangle of a
pixel wins by an integer minimum over (depth, triangle), which does not depend on any order of
evaluation. The work is a few operations per span, and one multiply-add and one minimum per
covered pixel and triangle: no pixel outside a triangle is ever tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

TRIANGLE_BITS = 20
DEPTH_STEPS = 2.0**30
EMPTY = 2**62

BLOCK = 16384
"""Scan lines worked on at a time."""


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


@dataclass(frozen=True)
class Cutout:
    """Triangles with holes.

    Attributes:
        first: the first of them; all that follow have holes as well.
        shows: of triangle int64 (N,) and weights float32 (3, N), bool (N,): where there is
            something and no hole.
    """

    first: int
    shows: Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Setup:
    """Triangles that face the camera, column by column; every array has T entries.

    Edge k runs between the two corners other than k; its function is
    slope_x[k] x + slope_y[k] y + offset[k], zero on the edge and `area` at corner k. Edges
    shared by neighbours give exactly opposite functions, so neighbours leave no gap.
    """

    triangle: np.ndarray
    x: list[np.ndarray]
    y: list[np.ndarray]
    near: list[np.ndarray]
    slope_x: list[np.ndarray]
    slope_y: list[np.ndarray]
    offset: list[np.ndarray]
    area: np.ndarray


def rasterise(
    screen: np.ndarray,
    depth: np.ndarray,
    triangles: np.ndarray,
    two_sided: np.ndarray,
    size: int,
    cutout: Cutout | None = None,
) -> Fragments:
    """Find what each pixel sees.

    Args:
        screen: float (V, 2), x to the right and y down, in pixels; pixel centres at +0.5.
        depth: float (V,), positive distance from the camera.
        triangles: int64 (T, 3), T < 2**20, counter-clockwise seen from the front in a frame
            with y up.
        two_sided: bool (T,), triangles that also show their back.
        size: width and height in pixels.
        cutout: triangles with holes, through which a pixel sees what lies behind.
    """
    setup = _set_up(screen, depth, triangles, two_sided, size)
    key = _nearest(setup, size, cutout)
    pixel = np.flatnonzero(key != EMPTY)
    local = key[pixel] & (2**TRIANGLE_BITS - 1)
    weights, near = _weights(setup, pixel, local, size)
    return Fragments(
        torch.from_numpy(pixel),
        torch.from_numpy(setup.triangle[local]),
        torch.from_numpy(weights),
        torch.from_numpy(1.0 / near),
    )


def _set_up(
    screen: np.ndarray, depth: np.ndarray, triangles: np.ndarray, two_sided: np.ndarray, size: int
) -> _Setup:
    column, row = screen[:, 0].astype(np.float64) - 0.5, screen[:, 1].astype(np.float64) - 0.5
    corners = [np.ascontiguousarray(triangles[:, k]) for k in range(3)]
    x, y = [column[c] for c in corners], [row[c] for c in corners]
    area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0])
    seen = (area < 0) | (two_sided & (area > 0))  # y points down: fronts have negative area
    for values in (x, y):
        low = np.minimum(np.minimum(values[0], values[1]), values[2])
        high = np.maximum(np.maximum(values[0], values[1]), values[2])
        seen &= (high >= 0) & (low <= size - 1) & (np.ceil(low) <= high)
    chosen = np.flatnonzero(seen)
    inverse = 1.0 / depth.astype(np.float64)
    x, y = [values[chosen] for values in x], [values[chosen] for values in y]
    pairs = ((1, 2), (2, 0), (0, 1))
    return _Setup(
        triangle=chosen,
        x=x,
        y=y,
        near=[inverse[c[chosen]] for c in corners],
        slope_x=[y[a] - y[b] for a, b in pairs],
        slope_y=[x[b] - x[a] for a, b in pairs],
        offset=[x[a] * y[b] - x[b] * y[a] for a, b in pairs],
        area=area[chosen],
    )


def _nearest(setup: _Setup, size: int, cutout: Cutout | None) -> np.ndarray:
    """Per pixel the smallest (depth << bits | triangle), int64 (size * size,)."""
    buffer = torch.full((size * size,), EMPTY, dtype=torch.int64)
    if len(setup.triangle) == 0:
        return buffer.numpy()
    nearest = max(float(values.max()) for values in setup.near)
    farthest = min(float(values.min()) for values in setup.near)
    steps = DEPTH_STEPS / max(nearest - farthest, 1e-9)
    # 1 / depth is linear on the screen: value = base + along x + down y.
    plane = [
        sum(part[k] * setup.near[k] for k in range(3)) / setup.area * steps
        for part in (setup.slope_x, setup.slope_y, setup.offset)
    ]
    borders = _borders(setup)
    for block in _blocks(setup, size):
        triangle, y, first, length = _spans(borders, block)
        if len(triangle) == 0:
            continue
        key_start, key_step = _keys(plane, nearest * steps, triangle, y, first)
        key = _running(key_start, key_step, length)
        pixel = _running(y * size + first, np.ones_like(first), length)
        if cutout is not None:
            pixel, key = _without_holes(setup, cutout, pixel, key, size)
        buffer.scatter_reduce_(0, torch.from_numpy(pixel), torch.from_numpy(key), "amin")
    return buffer.numpy()


def _without_holes(
    setup: _Setup, cutout: Cutout, pixel: np.ndarray, key: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and keys of one block without those at which a triangle has a hole."""
    local = key & (2**TRIANGLE_BITS - 1)
    holed = np.flatnonzero(setup.triangle[local] >= cutout.first)
    if len(holed) == 0:
        return pixel, key
    weights, _ = _weights(setup, pixel[holed], local[holed], size)
    kept = np.ones(len(pixel), bool)
    kept[holed] = cutout.shows(setup.triangle[local[holed]], weights)
    return pixel[kept], key[kept]


def _keys(
    plane: list[np.ndarray], nearest: float, triangle: np.ndarray, y: np.ndarray, first: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Key of each span's first pixel, and what is added from pixel to pixel, int64 (S,)."""
    along, down, base = plane
    slope = along.take(triangle)
    start = slope * first
    start += down.take(triangle) * y
    start += base.take(triangle)
    np.subtract(nearest, start, out=start)
    # Rounding may put a span's end a little in front of the nearest vertex: keep keys positive.
    key = np.clip(start, 0, 2 * DEPTH_STEPS, out=start).astype(np.int64)
    key += int(DEPTH_STEPS)
    key <<= TRIANGLE_BITS
    key |= triangle
    return key, np.rint(-slope).astype(np.int64) << TRIANGLE_BITS


def _running(start: np.ndarray, step: np.ndarray, length: np.ndarray) -> np.ndarray:
    """start, start + step, start + 2 step, ... for each span, int64, one after the other."""
    rise = np.repeat(step, length)
    begins = np.cumsum(length)
    # What takes the running sum from the end of one span to the start of the next.
    rise[0] = start[0]
    rise[begins[:-1]] = start[1:] - start[:-1] - step[:-1] * (length[:-1] - 1)
    return np.cumsum(rise, out=rise)


@dataclass(frozen=True)
class _Block:
    """Some triangles and their scan lines: few enough for the processor's cache.

    Attributes:
        triangle: int64 (B,); top: int64 (B,), the first scan line; rows: int64 (B,), how many.
        size: width and height of the picture in pixels.
    """

    triangle: np.ndarray
    top: np.ndarray
    rows: np.ndarray
    size: int


def _blocks(setup: _Setup, size: int) -> Iterator[_Block]:
    """Cuts the triangles into blocks of about `BLOCK` scan lines."""
    low = np.minimum(np.minimum(setup.y[0], setup.y[1]), setup.y[2])
    high = np.maximum(np.maximum(setup.y[0], setup.y[1]), setup.y[2])
    top = np.maximum(np.ceil(low), 0).astype(np.int64)
    bottom = np.minimum(np.floor(high), size - 1).astype(np.int64)
    rows = np.maximum(bottom - top + 1, 0)
    total = np.cumsum(rows)
    cuts = np.searchsorted(total, np.arange(BLOCK, int(total[-1]), BLOCK))
    for triangle in np.split(np.arange(len(rows)), cuts):
        if len(triangle):
            part = slice(triangle[0], triangle[-1] + 1)
            yield _Block(triangle, top[part], rows[part], size)


def _spans(
    borders: list[tuple[np.ndarray, np.ndarray]], block: _Block
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scan lines of a block's triangles: (triangle, row, first column, number of columns)."""
    triangle = np.repeat(block.triangle, block.rows)
    y = np.arange(len(triangle))
    y -= np.repeat(np.cumsum(block.rows) - block.rows - block.top, block.rows)
    crossing = []
    for slant, origin in borders:
        along = slant.take(triangle)
        along *= y
        along += origin.take(triangle)
        crossing.append(along)
    left = np.maximum(crossing[0], crossing[1], out=crossing[0])
    left = np.maximum(np.ceil(left, out=left), 0, out=left)
    right = np.minimum(crossing[2], crossing[3], out=crossing[2])
    right = np.minimum(np.floor(right, out=right), block.size - 1, out=right)
    keep = np.flatnonzero(right >= left)
    first = left.take(keep).astype(np.int64)
    length = right.take(keep).astype(np.int64) - first + 1
    return triangle.take(keep), y.take(keep), first, length


def _borders(setup: _Setup) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two left and two right borders per triangle, as x = slant * y + origin at scan line y.

    A triangle has one or two edges on each side; the missing one is put at infinity, and so
    are horizontal edges, which bound nothing that the range of scan lines does not.
    """
    slants, origins, sides = [], [], []
    for k in range(3):
        slope = setup.slope_x[k]
        divisor = np.where(slope == 0, 1.0, -slope)
        slants.append(setup.slope_y[k] / divisor)
        origins.append(setup.offset[k] / divisor)
        sides.append(np.sign(slope * setup.area))
    borders = []
    for side, nowhere in ((1.0, -np.inf), (-1.0, np.inf)):
        here = [found == side for found in sides]
        # Edge 0 or else edge 1 goes to the first place, edge 2 or else edge 1 to the second.
        for first, second in ((0, 1), (2, 1)):
            slant = np.where(here[first], slants[first], slants[second])
            origin = np.where(here[first], origins[first], origins[second])
            given = here[first] | here[second]
            borders.append((np.where(given, slant, 0.0), np.where(given, origin, nowhere)))
    return borders


def _weights(
    setup: _Setup, pixel: np.ndarray, triangle: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Perspective-correct weights float32 (3, N), and 1 / depth float32 (N,)."""
    # Relative to the first corner, where the edge functions are (area, 0, 0): no cancellation.
    columns = [part[k] / setup.area * setup.near[k]
               for k in range(3) for part in (setup.slope_x, setup.slope_y)]  # fmt: skip
    columns += [setup.x[0], setup.y[0], setup.near[0]]
    found = [column.astype(np.float32).take(triangle) for column in columns]
    row, column = np.divmod(pixel.astype(np.int32), size)
    dx = column.astype(np.float32) - found[6]
    dy = row.astype(np.float32) - found[7]
    raw = np.empty((3, len(pixel)), np.float32)
    for k in range(3):
        np.multiply(found[2 * k], dx, out=raw[k])
        raw[k] += np.multiply(found[2 * k + 1], dy, out=found[2 * k + 1])
    raw[0] += found[8]
    np.maximum(raw, 0, out=raw)
    total = raw[0] + raw[1] + raw[2]
    raw /= total
    return raw, total
