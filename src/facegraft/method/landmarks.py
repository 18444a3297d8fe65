"""The 478 landmarks of a face: which region each belongs to, and its shape apart from its place.

Indices are those of MediaPipe's face mesh with irises. Coordinates are x, y in [-1, 1] over the
picture and depth in the same unit, growing away from the camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facegraft.core.device import no_autocast

NUM_LANDMARKS = 478
"""Points of a face: 468 of its surface, then five of each iris."""

SURFACE = 468

EXPRESSIONS = 52
"""Coefficients of a face's expression, ARKit's, in [0, 1]."""

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""The face's outline, once round."""

INNER_LIPS = (
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
)  # fmt: skip
"""The mouth's opening, once round."""

LEFT_LIDS = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
RIGHT_LIDS = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
"""An eye's opening, once round; left as seen in the picture."""

LEFT_IRIS, RIGHT_IRIS = tuple(range(468, 473)), tuple(range(473, 478))

SEEDS: Mapping[str, tuple[int, ...]] = {
    "eyes": (*LEFT_LIDS, *RIGHT_LIDS, *LEFT_IRIS, *RIGHT_IRIS),
    "brows": (
        46, 53, 52, 65, 55, 70, 63, 105, 66, 107, 276, 283, 282, 295, 285, 300, 293, 334, 296, 336,
    ),
    "nose": (
        6, 197, 195, 5, 4, 1, 19, 94, 2, 98, 97, 326, 327, 129, 358, 64, 294, 48, 278, 115, 344,
        220, 440, 45, 275, 134, 363, 131, 360, 198, 420, 49, 279, 102, 331,
    ),
    "mouth": (
        *INNER_LIPS, 61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37,
        39, 40, 185,
    ),
}  # fmt: skip
"""Landmarks that lie on a feature; what is near them belongs to it, too, all else to the face."""

FACE = "face_shape"

REACH = 0.16
"""How far from its seeds a feature's say fades to a half, over the mean face's half height."""

LIDS = ((159, 145), (386, 374))
"""Upper and lower lid of either eye."""

LIPS, CORNERS = (13, 14), (61, 291)
EYE_CORNERS = ((33, 133), (362, 263))


AXIS = -8.0
"""Where the axis of the cylinder stands about which a face is unrolled, centimetres in z."""


@dataclass(frozen=True)
class FaceMesh:
    """How the 468 landmarks of the surface hang together; MediaPipe's canonical face.

    Attributes:
        positions: float32 (468, 3), centimetres, y upwards, z towards the viewer.
        plane: float32 (468, 2), where each lies in the unwrapped face, in [-1, 1], y downwards;
            an unrolled cylinder, so that eyes keep their size and cheeks are not squeezed.
        corners: int64 (T, 3), the landmarks of each triangle, all turning the same way.
    """

    positions: np.ndarray
    plane: np.ndarray
    corners: np.ndarray


@cache
def face_mesh() -> FaceMesh:
    """The mesh that `face_mesh.npz` beside this module holds.

    It is a copy of what the landmark reader's model file holds (Apache-2.0), see
    `adapters.landmarks.read_mesh`, so that the method needs no third party.
    """
    with np.load(Path(__file__).with_name("face_mesh.npz"), allow_pickle=False) as held:
        positions = held["positions"]
        return FaceMesh(positions, _unrolled(positions), held["corners"].astype(np.int64))


def _unrolled(positions: np.ndarray) -> np.ndarray:
    """The mesh on a plane: (468, 3) in centimetres -> (468, 2) in [-1, 1]."""
    x, y, z = positions.T
    around = np.arctan2(x, z - AXIS) * (z.max() - AXIS)
    plane = np.column_stack([around, -(y - (y.max() + y.min()) / 2)])
    return np.asarray(0.985 * plane / np.abs(plane).max(axis=0), np.float32)


@cache
def mirrored_landmarks() -> np.ndarray:
    """int64 (478,): each landmark's counterpart in the other half of the face."""
    plane = face_mesh().positions
    other = plane * [-1.0, 1.0, 1.0]
    nearest = np.linalg.norm(plane[:, None] - other[None], axis=2).argmin(axis=1)
    # An iris: its middle, then its rim to the right, up, to the left and down.
    irises = [473, 476, 475, 474, 477, 468, 471, 470, 469, 472]
    return np.concatenate([nearest, irises])


def memberships(regions: tuple[str, ...]) -> np.ndarray:
    """How much of each landmark belongs to each region.

    Args:
        regions: of `SEEDS` and `FACE`, in the order wanted. A feature that is not asked for
            belongs to the face; without the face all else belongs to the nearest feature.

    Returns:
        float32 (478, R), rows of sum 1; a feature's seeds belong to it alone.
    """
    places = face_mesh().positions[:, :2]
    scale = np.ptp(places[:, 1]) / 2
    weights = np.full((NUM_LANDMARKS, len(regions)), 1e-6)
    if FACE in regions:
        weights[:, regions.index(FACE)] = 0.5
    for column, region in enumerate(regions):
        if region not in SEEDS:
            continue
        seeds = [seed for seed in SEEDS[region] if seed < SURFACE]
        gap = np.linalg.norm(places[:, None] - places[None, seeds], axis=2).min(axis=1)
        weights[:SURFACE, column] = np.exp(-np.log(2) * (gap / (REACH * scale)) ** 2) + 1e-6
    whole = np.eye(len(regions))
    for column, region in enumerate(regions):
        if region in SEEDS:
            weights[list(SEEDS[region])] = whole[column]
    if FACE in regions:
        weights[list(OVAL)] = whole[regions.index(FACE)]
        if "eyes" not in regions:
            weights[SURFACE:] = whole[regions.index(FACE)]
    sharp = weights**4
    return np.asarray(sharp / sharp.sum(axis=1, keepdims=True), np.float32)


@no_autocast()
def canonical(landmarks: Tensor, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The similarity in space that brings a face onto the mean face (Umeyama 1991).

    Args:
        landmarks: (B, K, 3). mean: (K, 3).

    Returns:
        The shape (B, K, 3) in the mean face's frame, the scale (B,) and the rotation (B, 3, 3),
        so that shape = scale * (landmarks - middle) @ rotation^T + mean's middle.
    """
    middle, centre = landmarks.mean(dim=1, keepdim=True), mean.mean(dim=0)
    centred = landmarks - middle
    left, values, right = torch.linalg.svd(centred.transpose(1, 2) @ (mean - centre))
    sign = torch.ones_like(values)
    sign[:, 2] = torch.sign(torch.linalg.det(left @ right))
    turn = right.transpose(1, 2) @ (sign[..., None] * left.transpose(1, 2))
    scale = (values * sign).sum(dim=1) / centred.square().sum(dim=(1, 2))
    shape = scale[:, None, None] * centred @ turn.transpose(1, 2) + centre
    return shape, scale, turn


def mean_face(landmarks: Tensor, rounds: int = 4) -> Tensor:
    """The mean of many faces' shapes by generalised Procrustes analysis: (N, K, 3) -> (K, 3)."""
    mean = landmarks.mean(dim=0)
    for _ in range(rounds):
        mean = canonical(landmarks, mean)[0].mean(dim=0)
    return mean


def openings(landmarks: Tensor) -> dict[str, Tensor]:
    """How far eyes and mouth are open, and how wide the mouth is: (B, K, 3) -> (B,) each.

    Eyes over their own width (mean of both), mouth and its width over the distance of the eyes'
    outer corners.
    """

    def gap(first: int, second: int) -> Tensor:
        return torch.linalg.vector_norm(landmarks[:, first] - landmarks[:, second], dim=1)

    across = gap(EYE_CORNERS[0][0], EYE_CORNERS[1][1])
    eyes = [gap(*lids) / gap(*ends) for lids, ends in zip(LIDS, EYE_CORNERS, strict=True)]
    return {
        "eye_opening": torch.stack(eyes).mean(dim=0),
        "mouth_opening": gap(*LIPS) / across,
        "mouth_width": gap(*CORNERS) / across,
    }
