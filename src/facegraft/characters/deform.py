"""From identity and attributes to a posed mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from facegraft.characters import camera
from facegraft.characters.assets import Assets
from facegraft.characters.attributes import Attributes
from facegraft.characters.costumes import costume_depth
from facegraft.characters.hair import SHEET_VERTICES, hairline, lay
from facegraft.characters.hairstyles import HAIR_STYLES
from facegraft.characters.identity import Identity
from facegraft.characters.skull import CENTRE, COLUMNS, ROWS

LIDS = ("eyeBlinkLeft", "eyeBlinkRight")


@dataclass(frozen=True)
class Head:
    """An identity's neutral head; made once and reused under every attribute set.

    Attributes:
        neutral: float32 (V, 3), decimetres.
        lid_shift: float32 (L, 3), what a full blink adds so that this identity's lids meet.
        skull: float32 (ROWS, COLUMNS), radius by direction, for hair.
    """

    neutral: torch.Tensor
    lid_shift: torch.Tensor
    skull: np.ndarray


@dataclass(frozen=True)
class Posed:
    """A mesh in front of the camera.

    Attributes:
        vertices: float32 (V + H, 3); normals: float32 (V + H, 3), unit length.
        extra: float32 (V + H, 2): inside the hairline (> 0), inside the costume (> 0).
        bald: whether the hair sheet is to be left out.
        landmarks: float64 (5, 3), in space.
        turned: float64 (3, 3), the head's rotation.
    """

    vertices: torch.Tensor
    normals: torch.Tensor
    extra: torch.Tensor
    bald: bool
    landmarks: np.ndarray
    turned: np.ndarray


def neutral_head(assets: Assets, identity: Identity) -> Head:
    """Shape the neutral head of an identity."""
    vertices = assets.rest.clone()
    for item, value in enumerate(identity.axes.tolist()):
        if value > 0:
            assets.up.add(vertices, item, value)
        elif value < 0:
            assets.down.add(vertices, item, -value)
    moved = vertices - assets.rest
    follow = moved[assets.lid_partner] - moved[assets.lid_index]
    lid_shift = follow * assets.lid_share[:, None]
    offset = (vertices - torch.from_numpy(CENTRE))[assets.skull_index]
    length = (offset * offset).sum(dim=-1).sqrt()
    skull = (length * assets.skull_weight).sum(dim=-1).reshape(ROWS, COLUMNS)
    return Head(vertices, lid_shift, skull.numpy())


def pose(assets: Assets, head: Head, attributes: Attributes) -> Posed:
    """Apply expression, costume, hair and rotation to a neutral head."""
    vertices = _expressed(assets, head, attributes)
    eyes = _eye_points(assets, vertices)
    depth = costume_depth(assets.rest.numpy(), attributes.costume_style)
    extra = torch.zeros(len(assets.surface), 2)
    extra[: len(depth), 1] = torch.from_numpy(depth)
    style = HAIR_STYLES[attributes.hair_style]
    follows = assets.head_weight
    if style is None:
        sheet, sheet_follows = torch.zeros(SHEET_VERTICES, 3), torch.ones(SHEET_VERTICES)
        extra[:, 0] = -1
    else:
        inside = (assets.elevation - hairline(style, assets.azimuth)) / 0.15
        extra[: len(inside), 0] = torch.from_numpy(np.clip(inside, -1, 1).astype(np.float32))
        if style.painted:
            sheet, sheet_follows = torch.zeros(SHEET_VERTICES, 3), torch.ones(SHEET_VERTICES)
        else:
            laid, laid_follows = lay(style, attributes.hair_volume, head.skull)
            sheet, sheet_follows = torch.from_numpy(laid), torch.from_numpy(laid_follows)
    every = torch.cat([vertices, sheet])
    follows = torch.cat([follows, sheet_follows])
    normals = _normals(assets, every)
    swell = torch.from_numpy(np.clip(depth / 0.1, 0, 1) * 0.05).float()
    every[: len(depth)] += normals[: len(depth)] * swell[:, None]
    turned = camera.rotation(attributes.yaw, attributes.pitch, attributes.roll)
    every = _turn(every, follows, turned)
    points = np.concatenate([eyes, vertices[assets.landmark_vertices[2:]].numpy()])
    landmarks = (points - camera.PIVOT) @ turned.T + camera.PIVOT
    bald = style is None or style.painted
    return Posed(every, _normals(assets, every), extra, bald, landmarks, turned)


def _expressed(assets: Assets, head: Head, attributes: Attributes) -> torch.Tensor:
    vertices = head.neutral.clone()
    for item, name in enumerate(assets.expression_names):
        weight = attributes.expression.get(name, 0.0)
        if weight:
            assets.expressions.add(vertices, item, weight)
    half = len(assets.lid_index)
    left = int((assets.rest[assets.lid_index, 0] > 0).sum())
    for name, part in ((LIDS[0], slice(0, left)), (LIDS[1], slice(left, half))):
        weight = attributes.expression.get(name, 0.0)
        if weight:
            vertices.index_add_(0, assets.lid_index[part], head.lid_shift[part], alpha=weight)
    return vertices


def _eye_points(assets: Assets, vertices: torch.Tensor) -> np.ndarray:
    """The front poles of the eyeballs as if they looked ahead, float64 (2, 3)."""
    balls = vertices[assets.eye_vertices].double().numpy()
    centre = balls.mean(axis=1)
    centre[:, 2] += 0.138
    return centre


def _turn(vertices: torch.Tensor, follows: torch.Tensor, turned: np.ndarray) -> torch.Tensor:
    """Rotate about the pivot, each vertex as far as it follows the head."""
    pivot = torch.from_numpy(camera.PIVOT).float()
    matrix = torch.from_numpy(turned).float()
    offset = vertices - pivot
    x, y, z = offset.unbind(dim=1)
    # Written out: a matrix product may round differently with the number of threads.
    rotated = torch.stack(
        [matrix[k, 0] * x + matrix[k, 1] * y + matrix[k, 2] * z for k in range(3)], dim=1
    )
    return pivot + offset + (rotated - offset) * follows[:, None]


def _normals(assets: Assets, vertices: torch.Tensor) -> torch.Tensor:
    """Unit vertex normals, weighted by triangle area, summed in a fixed order."""
    a, b, c = (vertices.index_select(0, assets.triangles[:, k]) for k in range(3))
    face = torch.linalg.cross(b - a, c - a)
    face = torch.cat([face, torch.zeros(1, 3)])
    total = torch.zeros_like(vertices)
    for k in range(assets.corners.shape[1]):
        total += face.index_select(0, assets.corners[:, k])
    length = (total * total).sum(dim=1, keepdim=True).sqrt()
    return total / length.clamp_min(1e-12)
