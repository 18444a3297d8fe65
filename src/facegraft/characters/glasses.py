"""Glasses: two rims, a bridge, two temples and, for shades, two lenses."""

from __future__ import annotations

import numpy as np

GLASSES = ("none", "round", "square", "shades")
AROUND = 24
"""Corners of a rim."""

_SECTION = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)], np.float32)
"""A bar's cross section: outwards and forwards."""

TEMPLE = 9
"""Cross sections of a temple, from the hinge to the ear."""

EAR = 0.35
"""Depth z at which a temple ends, decimetres."""

CLEARANCE = 0.025
"""How far the middle of a temple stays off the skin, decimetres."""

RIM = AROUND * 4
BARS = (2, TEMPLE, TEMPLE)
"""Cross sections of the bridge and the temples."""

CENTRES = 2 * RIM + 4 * sum(BARS)
VERTICES = CENTRES + 2
THICKNESS = 0.011


def glasses_triangles() -> tuple[np.ndarray, np.ndarray]:
    """Triangles int64 (T, 3) and whether each belongs to a lens, bool (T,)."""
    frame: list[np.ndarray] = []
    for side in range(2):
        frame.append(_tube(side * RIM, AROUND, closed=True))
    first = 2 * RIM
    for length in BARS:
        frame.append(_tube(first, length, closed=False))
        first += 4 * length
    lenses = []
    for side in range(2):
        centre = CENTRES + side
        edge = side * RIM + 4 * np.arange(AROUND)
        lenses.append(np.stack([np.full(AROUND, centre), edge, np.roll(edge, -1)], axis=1))
    triangles = np.concatenate([*frame, *lenses])
    is_lens = np.arange(len(triangles)) >= len(triangles) - 2 * AROUND
    return triangles.astype(np.int64), is_lens


def fit_glasses(style: str, eyes: np.ndarray, bridge: float, sides: np.ndarray) -> np.ndarray:
    """Vertices float32 (VERTICES, 3) on a head that looks along +z.

    Args:
        style: one of `GLASSES`, not "none".
        eyes: float (2, 3), front poles of the eyeballs, picture's left first, decimetres.
        bridge: z of the nose's bridge between the eyes.
        sides: float (N, 3), skin beside the eyes, where the temples run.
    """
    turn = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    power = {"round": 1.0, "square": 0.45, "shades": 0.65}[style]
    wide, high = {"round": (0.2, 0.2), "square": (0.225, 0.15), "shades": (0.24, 0.17)}[style]
    plane = max(float(eyes[:, 2].max()) + 0.17, bridge + 0.05)
    cos, sin = np.cos(turn), np.sin(turn)
    shape_x, shape_y = np.sign(cos) * np.abs(cos) ** power, np.sign(sin) * np.abs(sin) ** power
    parts = []
    for eye in eyes:
        x = eye[0] * 1.02 + wide * shape_x
        y = eye[1] - 0.02 + high * shape_y
        parts.append(_bar(np.stack([x, y, _depth(plane, x)], axis=1), np.stack([cos, sin], axis=1)))
    left, right = eyes[0, 0] * 1.02, eyes[1, 0] * 1.02
    height = float(eyes[:, 1].mean()) + 0.04
    across = np.array([(left + 0.93 * wide, height, plane), (right - 0.93 * wide, height, plane)])
    parts.append(_bar(across, np.array([(0.0, 1.0), (0.0, 1.0)])))
    for hinge, side in ((left - 0.97 * wide, -1), (right + 0.97 * wide, 1)):
        temple = _temple(np.array([hinge, height, plane - 0.05]), side, sides)
        parts.append(_bar(temple, np.tile((0.0, 1.0), (TEMPLE, 1))))
    centres = [(eye[0] * 1.02, eye[1] - 0.02, plane + 0.01) for eye in eyes]
    return np.concatenate([*parts, np.array(centres)]).astype(np.float32)


def _temple(hinge: np.ndarray, side: int, skin: np.ndarray) -> np.ndarray:
    """From the hinge to the ear along the skin (N, 3) of one side, 1 or -1: (TEMPLE, 3)."""
    depth = np.linspace(hinge[2], EAR, TEMPLE)
    level = skin[np.abs(skin[:, 1] - hinge[1]) < 0.1]
    beside = np.abs(level[:, 2] - depth[:, None]) < 0.12
    outward = np.where(beside, side * level[:, 0], -np.inf).max(axis=1, initial=-np.inf)
    # The last cross section tucks in behind the ear; none lies further in than the hinge.
    outward = np.maximum(outward + CLEARANCE, side * hinge[0])
    outward[0] = side * hinge[0]
    return np.stack([side * outward, np.full(TEMPLE, hinge[1]), depth], axis=1)


def _depth(plane: float, x: np.ndarray) -> np.ndarray:
    """The frame wraps a little around the head."""
    return plane - 0.22 * x * x


def _bar(points: np.ndarray, outward: np.ndarray) -> np.ndarray:
    """Corners of a square bar along points (N, 3): (4 N, 3)."""
    offset = np.zeros((len(points), 4, 3))
    offset[:, :, :2] = outward[:, None, :] * _SECTION[None, :, :1]
    offset[:, :, 2] = _SECTION[None, :, 1]
    return (points[:, None] + THICKNESS * offset).reshape(-1, 3)


def _tube(first: int, length: int, *, closed: bool) -> np.ndarray:
    """Triangles of a bar with `length` cross sections."""
    rings = length if closed else length - 1
    out = []
    for ring in range(rings):
        after = (ring + 1) % length
        for corner in range(4):
            other = (corner + 1) % 4
            a, b = first + 4 * ring + corner, first + 4 * ring + other
            c, d = first + 4 * after + corner, first + 4 * after + other
            out += [(a, b, c), (b, d, c)]
    return np.array(out)
