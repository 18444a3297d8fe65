"""The rasteriser against a pixel-by-pixel reference."""

import numpy as np
import pytest

from facegraft.characters.raster import rasterise


def _reference(screen, depth, triangles, two_sided, size):
    """Nearest triangle per pixel by testing every pixel against every triangle; -1 is empty."""
    nearest = np.full((size, size), -1)
    best = np.full((size, size), np.inf)
    for number, corners in enumerate(triangles):
        (ax, ay), (bx, by), (cx, cy) = screen[corners] - 0.5
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0 or (area > 0 and not two_sided[number]):
            continue
        for row in range(size):
            for column in range(size):
                u = ((bx - column) * (cy - row) - (by - row) * (cx - column)) / area
                v = ((cx - column) * (ay - row) - (cy - row) * (ax - column)) / area
                w = 1 - u - v
                if min(u, v, w) < 0:
                    continue
                distance = 1 / (np.array([u, v, w]) @ (1 / depth[corners]))
                if distance < best[row, column]:
                    best[row, column], nearest[row, column] = distance, number
    return nearest, best


def _scene(seed, count=30, size=24):
    rng = np.random.default_rng(seed)
    screen = rng.uniform(-4, size + 4, (3 * count, 2))
    depth = rng.uniform(5, 15, 3 * count)
    triangles = np.arange(3 * count).reshape(count, 3)
    return screen, depth, triangles, rng.random(count) < 0.5


@pytest.mark.parametrize("seed", range(4))
def test_rasterise_finds_what_a_pixel_loop_finds(seed):
    scene = _scene(seed)
    nearest, best = _reference(*scene, 24)
    seen = rasterise(*scene, 24)
    found = np.full(24 * 24, -1)
    found[seen.pixel.numpy()] = seen.triangle.numpy()
    assert (found.reshape(24, 24) == nearest).all()
    assert np.allclose(seen.depth, best.ravel()[seen.pixel.numpy()], rtol=1e-4)


def test_weights_interpolate_with_perspective():
    screen, depth, triangles, both = _scene(9)
    seen = rasterise(screen, depth, triangles, both, 24)
    weights = seen.weights.numpy()
    corner = triangles[seen.triangle.numpy()]
    assert np.allclose(weights.sum(axis=0), 1, atol=1e-5)
    # The weighted depth of the corners is the depth itself only with perspective correction.
    assert np.allclose((weights.T * depth[corner]).sum(axis=1), seen.depth, rtol=1e-3)


def test_neighbours_leave_no_gap():
    rng = np.random.default_rng(3)
    side = 9
    x, y = np.meshgrid(np.linspace(-1, 65, side), np.linspace(-1, 65, side))
    inner = np.s_[1:-1, 1:-1]
    x[inner] += rng.uniform(-3, 3, x[inner].shape)
    y[inner] += rng.uniform(-3, 3, y[inner].shape)
    grid = np.arange(side * side).reshape(side, side)
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]
    triangles = np.concatenate(
        [np.stack([a, c, d], axis=-1).reshape(-1, 3), np.stack([a, d, b], axis=-1).reshape(-1, 3)]
    )
    screen = np.stack([x.ravel(), y.ravel()], axis=1)
    seen = rasterise(screen, np.full(side**2, 7.0), triangles, np.zeros(len(triangles), bool), 64)
    assert len(seen.pixel) == 64 * 64


def test_the_order_of_triangles_does_not_matter():
    screen, depth, triangles, both = _scene(5)
    shuffle = np.random.default_rng(0).permutation(len(triangles))
    first = rasterise(screen, depth, triangles, both, 24)
    second = rasterise(screen, depth, triangles[shuffle], both[shuffle], 24)
    assert (first.pixel == second.pixel).all()
    assert (first.triangle.numpy() == shuffle[second.triangle.numpy()]).all()


def test_backs_are_culled_unless_two_sided():
    screen = np.array([(0.0, 0.0), (0.0, 16.0), (16.0, 0.0)])
    front, back = np.array([[0, 1, 2]]), np.array([[0, 2, 1]])
    depth = np.full(3, 5.0)
    no, yes = np.array([False]), np.array([True])
    assert len(rasterise(screen, depth, front, no, 16).pixel) > 100
    assert len(rasterise(screen, depth, back, no, 16).pixel) == 0
    assert len(rasterise(screen, depth, back, yes, 16).pixel) > 100


def test_an_empty_view_has_no_fragments():
    screen = np.array([(-9.0, -9.0), (-9.0, -5.0), (-5.0, -9.0)])
    seen = rasterise(screen, np.full(3, 5.0), np.array([[0, 1, 2]]), np.array([True]), 16)
    assert len(seen.pixel) == 0
    assert seen.weights.shape == (3, 0)
