"""Where the camera stands and what part of its view makes the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegraft.characters.errors import CharacterError

CAMERA = np.array([0.0, 7.0, 12.0])
"""Camera position in decimetres; it looks along -z."""

FACE_PLANE = 1.3
"""Depth z at which one decimetre measures one decimetre on the picture plane."""

PIVOT = np.array([0.0, 6.75, 0.3])
"""The head turns about this point."""

FRAMINGS = ("crop", "portrait")

REST_POINTS = np.array(
    [(-0.308, 7.284, 1.38), (0.308, 7.284, 1.38), (0.0, 6.93, 1.66), (-0.235, 6.61, 1.44),
     (0.235, 6.61, 1.44)]
)  # fmt: skip
"""The five alignment points of the mean head, decimetres; they steer the crop."""

CROP_SPAN = 1.94
CROP_CENTRE = 6.985
"""The crop shows this many decimetres, around this height: chin to hairline."""

FOLLOW = 0.85
"""How far the crop follows the features of a turned head sideways; the rest keeps the far cheek."""

PORTRAIT_SPAN = 3.7
PORTRAIT_CENTRE = 7.1


@dataclass(frozen=True)
class View:
    """The picture's window on the picture plane.

    Attributes:
        left, top: the window's corner in decimetres on the picture plane, y up.
        span: its width and height in decimetres.
        size: its width and height in pixels.
    """

    left: float
    top: float
    span: float
    size: int

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (N, 2), x right and y down, and distance from the camera (N,)."""
        depth = CAMERA[2] - points[:, 2].astype(np.float64)
        scale = (CAMERA[2] - FACE_PLANE) / depth
        x = points[:, 0] * scale
        y = (points[:, 1] - CAMERA[1]) * scale + CAMERA[1]
        zoom = self.size / self.span
        return np.stack([(x - self.left) * zoom, (self.top - y) * zoom], axis=1), depth


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rotation of the head (3, 3) from angles in degrees: roll first, then pitch, then yaw."""
    y, p, r = np.radians([yaw, pitch, -roll])
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    lean = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return turn @ nod @ lean


def frame(framing: str, size: int, turned: np.ndarray) -> View:
    """The window for a framing.

    Args:
        framing: "crop" follows the head as a five-point alignment would, keeping roll and
            scale; "portrait" stands still.
        size: pixels.
        turned: the head's rotation (3, 3).

    Raises:
        CharacterError: the framing is unknown.
    """
    if framing not in FRAMINGS:
        raise CharacterError(f"unknown framing {framing!r}; choose from {', '.join(FRAMINGS)}")
    if framing == "portrait":
        half = PORTRAIT_SPAN / 2
        return View(-half, PORTRAIT_CENTRE + half, PORTRAIT_SPAN, size)
    flat = View(0.0, 0.0, 1.0, 1)
    rest, _ = flat.project(REST_POINTS)
    posed, _ = flat.project((REST_POINTS - PIVOT) @ turned.T + PIVOT)
    shift_x, shift_down = posed.mean(axis=0) - rest.mean(axis=0)
    shift_x *= FOLLOW
    half = CROP_SPAN / 2
    return View(shift_x - half, CROP_CENTRE - shift_down + half, CROP_SPAN, size)


def canonical_landmarks(size: int) -> np.ndarray:
    """Where the crop shows the five points of the mean frontal face, float32 (5, 2) pixels."""
    return frame("crop", size, np.eye(3)).project(REST_POINTS)[0].astype(np.float32)
