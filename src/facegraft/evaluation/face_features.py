"""Fixed features of a face, for probes that are fitted in closed form: gradients and colours."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facegraft.evaluation.metrics import GREY
from facegraft.imaging.alignment import align
from facegraft.imaging.colours import to_lab
from facegraft.imaging.images import to_tensor, to_uint8

SIDE = 64
"""Pixels at which a face is looked at; larger pictures are averaged down to it."""

BINS, CELLS = 9, (8, 4)
"""Directions of a histogram of gradients, and the sides of its cells in pixels."""

THUMB = 16
"""Side of the thumbnail whose colours are read."""

PLACES = np.array([(0.33, 0.36), (0.67, 0.36), (0.5, 0.56), (0.37, 0.74), (0.63, 0.74)])
"""Where the five landmarks come to lie in an aligned face, over its side."""


def small(images: Tensor) -> Tensor:
    """(B, 3, S, S) -> (B, 3, SIDE, SIDE)."""
    if images.shape[-1] == SIDE:
        return images
    mode = "area" if images.shape[-1] > SIDE else "bilinear"
    return F.interpolate(images, (SIDE, SIDE), mode=mode)


def aligned(images: Tensor, landmarks: np.ndarray) -> Tensor:
    """Faces turned upright and to one size: (B, 3, S, S) in [-1, 1] -> (B, 3, SIDE, SIDE).

    Args:
        landmarks: (B, 5, 2), pixels.
    """
    crops = [
        align(image, points, PLACES * SIDE, SIDE)[0]
        for image, points in zip(to_uint8(images), landmarks, strict=True)
    ]
    return to_tensor(np.stack(crops))


def shape_features(faces: Tensor) -> Tensor:
    """Histograms of oriented gradients of (B, 3, SIDE, SIDE), each against its neighbours'.

    Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.
    """
    grey = (faces * faces.new_tensor(GREY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    across = F.pad(grey[..., 2:] - grey[..., :-2], (1, 1, 0, 0))
    down = F.pad(grey[..., 2:, :] - grey[..., :-2, :], (0, 0, 1, 1))
    strength = (across.square() + down.square()).sqrt()
    place = torch.atan2(down, across).remainder(math.pi) * (BINS / math.pi)
    lower = place.floor()
    share = place - lower
    votes = torch.zeros(len(faces), BINS, *faces.shape[2:])
    for offset, weight in ((0, 1 - share), (1, share)):
        votes.scatter_add_(1, (lower.long() + offset) % BINS, strength * weight)
    return torch.cat([_normalised(F.avg_pool2d(votes, cell)) for cell in CELLS], dim=1)


def _normalised(cells: Tensor) -> Tensor:
    """(B, BINS, h, w) over the energy of a cell's 3 x 3 neighbourhood, flattened."""
    energy = F.pad(cells.square().sum(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    return (cells / (9 * F.avg_pool2d(energy, 3, 1) + 1e-4).sqrt()).flatten(1)


def colour_features(faces: Tensor) -> Tensor:
    """CIE L*a*b* of a thumbnail of (B, 3, SIDE, SIDE), (B, 3 * THUMB^2)."""
    lab = to_lab((faces.movedim(1, -1) + 1) / 2).movedim(-1, 1)
    return F.avg_pool2d(lab, SIDE // THUMB).flatten(1)
