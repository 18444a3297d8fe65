"""A face's detail unwrapped onto a plane, where each place means the same in every picture."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import torch
from torch import Tensor

from facegraft.method.landmarks import (
    NUM_LANDMARKS,
    SURFACE,
    face_mesh,
    memberships,
    mirrored_landmarks,
)
from facegraft.method.warp import Raster, facing, raster, sampled, tone

SIDE = 192
"""Pixels of the unwrapped face."""


@cache
def plane_raster() -> Raster:
    """The mesh as it lies in the plane, in float64: which landmarks make up each of its pixels."""
    plane = face_mesh().plane
    flat = np.zeros((1, NUM_LANDMARKS, 3))
    flat[0, :SURFACE, :2] = plane
    return raster(torch.from_numpy(flat), SIDE)


@cache
def plane_weights(device: torch.device, dtype: torch.dtype) -> Tensor:
    """The shares of the landmarks in each pixel of the plane: sparse (SIDE * SIDE, 478).

    As a matrix, since a product with it is ten times as fast as gathering corners.
    """
    drawn = plane_raster()
    pixel = torch.arange(SIDE * SIDE).repeat_interleave(3)
    index = torch.stack([pixel, drawn.corners.flatten()])
    with warnings.catch_warnings():  # "beta state", which nobody can mend here
        warnings.simplefilter("ignore", UserWarning)
        whole = torch.sparse_coo_tensor(
            index, drawn.weights.flatten(), (SIDE * SIDE, NUM_LANDMARKS), check_invariants=True
        )
        return whole.coalesce().to_sparse_csr().to(device, dtype)


@cache
def plane_places() -> Tensor:
    """Where the landmarks lie in the plane, in [-1, 1]: float32 (478, 2); irises nowhere."""
    places = torch.full((NUM_LANDMARKS, 2), -2.0, dtype=torch.float32)
    places[:SURFACE] = torch.from_numpy(face_mesh().plane)
    return places


@cache
def region_pixels(regions: tuple[str, ...]) -> tuple[Tensor, ...]:
    """The pixels of the plane that belong to each region: int64 (m_r,) each, flattened, a
    partition of all that the mesh covers."""
    membership = plane_raster().spread(torch.from_numpy(memberships(regions))[None])[0]
    owner = membership.argmax(dim=0).flatten()
    inside = plane_raster().inside.flatten()
    return tuple(
        torch.nonzero((owner == column) & inside).flatten() for column in range(len(regions))
    )


def unwrapped(image: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """A face's detail in the plane and how much of it is seen.

    What a turned head hides is filled from its other half, as far as that is seen.

    Args:
        image: (B, 3, S, S) in [-1, 1]. landmarks: (B, 478, 3).

    Returns:
        (B, 3, SIDE, SIDE), the picture less its tone, and (B, 1, SIDE, SIDE) in [0, 1].
    """
    seen = facing(landmarks)[..., None]
    mirror = torch.from_numpy(mirrored_landmarks()).to(landmarks.device)
    spread = in_plane(torch.cat([landmarks[..., :2], seen], dim=2))
    other = in_plane(torch.cat([landmarks[:, mirror, :2], seen[:, mirror]], dim=2))
    detail = image - tone(image)
    own, opposite = (sampled(detail, one[:, :2].permute(0, 2, 3, 1)) for one in (spread, other))
    share, filler = spread[:, 2:], other[:, 2:] * (1 - spread[:, 2:])
    known = share + filler
    return (share * own + filler * opposite) / known.clamp_min(1e-3), known.clamp(0.0, 1.0)


def in_plane(values: Tensor) -> Tensor:
    """Interpolate over the plane what landmarks carry: (B, 478, C) -> (B, C, SIDE, SIDE)."""
    count, landmarks, channels = values.shape
    columns = values.permute(1, 0, 2).reshape(landmarks, count * channels)
    spread = plane_weights(values.device, values.dtype) @ columns
    return spread.view(SIDE, SIDE, count, channels).permute(2, 3, 0, 1)
