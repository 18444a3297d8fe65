"""From identity and attributes to a posed mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from facegraft.characters import camera
from facegraft.characters.assets import Assets
from facegraft.characters.attributes import Attributes
from facegraft.characters.costumes import costume_depth
from facegraft.characters.facial_hair import SWELL, beard_depth
from facegraft.characters.glasses import VERTICES, fit_glasses
from facegraft.characters.hair import SHEET_VERTICES, hairline, lay
from facegraft.characters.hairstyles import HAIR_STYLES, HEADWEAR, HairStyle
from facegraft.characters.identity import Identity
from facegraft.characters.normals import vertex_normals
from facegraft.characters.outlines import Outlines, find_outlines
from facegraft.characters.skull import CENTRE, COLUMNS, ROWS
from facegraft.characters.wardrobe import NONE
from facegraft.characters.wearing import fitted

COSTUME_SWELL = 0.05
"""How far cloth stands off the skin, decimetres."""

PHILTRUM = 0.06
"""The least height between nose and upper lip, decimetres; a nearer mouth would fold the nose."""

LOWERING = "mouth/mouth_trans_up"
"""The axis that makes room, and how far it goes at most beyond what the identity says."""

FARTHEST = 1.5

LIDS = ("eyeBlinkLeft", "eyeBlinkRight")


@dataclass(frozen=True)
class Head:
    """An identity's neutral head; made once and reused under every attribute set.

    Attributes:
        neutral: float32 (V, 3), decimetres.
        lid_shift: float32 (L, 3), what a full blink adds so that this identity's lids meet.
        skull: float32 (ROWS, COLUMNS), radius by direction, for hair.
        outlines: where its brows and irises are painted.
        base: float32 (B, 3), the rest of the base mesh, if there is anything to fit to it.
    """

    neutral: torch.Tensor
    lid_shift: torch.Tensor
    skull: np.ndarray
    outlines: Outlines
    base: torch.Tensor | None = None


@dataclass(frozen=True)
class Posed:
    """A mesh in front of the camera.

    Attributes:
        vertices: float32 (N, 3); normals: float32 (N, 3), unit length.
        extra: float32 (N, 3): inside the hairline, the costume, the beard where positive.
        landmarks: float64 (5, 3), in space.
        turned: float64 (3, 3), the head's rotation.
    """

    vertices: torch.Tensor
    normals: torch.Tensor
    extra: torch.Tensor
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
    _part_mouth_from_nose(assets, vertices)
    moved = vertices - assets.rest
    follow = moved[assets.lid_partner] - moved[assets.lid_index][:, None]
    near, far = (follow * assets.lid_weight[..., None]).unbind(dim=1)
    lid_shift = near + far
    offset = (vertices - torch.from_numpy(CENTRE))[assets.skull_index]
    length = (offset * offset).sum(dim=-1).sqrt()
    skull = (length * assets.skull_weight).sum(dim=-1).reshape(ROWS, COLUMNS)
    fits = any(assets.wardrobe.values())
    base = assets.base.shaped(identity.axes) if fits else None
    return Head(vertices, lid_shift, skull.numpy(), find_outlines(assets, identity), base)


def _part_mouth_from_nose(assets: Assets, vertices: torch.Tensor) -> None:
    """Lower a mouth that has moved up into the nose, in place."""
    nose, lip = vertices[assets.philtrum, 1].tolist()
    missing = PHILTRUM - (nose - lip)
    if missing > 0:
        item = assets.identity_names.index(LOWERING)
        lowered = torch.zeros_like(vertices)
        assets.down.add(lowered, item, 1.0)
        opened = float(lowered[assets.philtrum[0], 1] - lowered[assets.philtrum[1], 1])
        vertices += lowered * min(missing / opened, FARTHEST)


def pose(assets: Assets, head: Head, attributes: Attributes) -> Posed:
    """Apply expression, beard, costume, hair, glasses and rotation to a neutral head."""
    body = _expressed(assets, head, attributes)
    eyes = _eye_points(assets, body)
    points = np.concatenate([eyes, body[assets.landmark_vertices[2:]].numpy()])
    worn = fitted(assets, head.base, body)
    extra = _layers(assets, attributes)
    count = len(body)
    swell = (extra[:count, 1] / 0.1).clamp(0, 1) * COSTUME_SWELL
    swell += (extra[:count, 2] / 0.1).clamp(0, 1) * SWELL[attributes.facial_hair]
    body += assets.rest_normals * swell[:, None]
    sheet, follows = _sheet(head, attributes)
    glasses = _glasses(assets, head, body, eyes, attributes)
    every = torch.cat([body, sheet, glasses])
    follows = torch.cat([assets.head_weight, follows, torch.ones(len(glasses))])
    turned = camera.rotation(attributes.yaw, attributes.pitch, attributes.roll)
    every = _turn(every, follows, turned)
    landmarks = (points - camera.PIVOT) @ turned.T + camera.PIVOT
    normals = vertex_normals(assets.fans, every)
    for item, vertices in zip(assets.worn, worn, strict=True):
        placed = _turn(vertices, item.follows, turned)
        every = torch.cat([every, placed])
        normals = torch.cat([normals, vertex_normals(item.fans, placed)])
        extra = torch.cat([extra, torch.full((len(placed), 3), -1.0)])
    return Posed(every, normals, extra, landmarks, turned)


def _layers(assets: Assets, attributes: Attributes) -> torch.Tensor:
    """Inside the hairline, the costume, the beard: float32 (N, 3), positive within."""
    rest = assets.rest.numpy()
    own = sum(len(item.follows) for item in assets.worn)
    layers = np.zeros((len(assets.surface) - own, 3), np.float32)
    layers[:, 2] = -1
    style = HAIR_STYLES[attributes.hair_style]
    body = layers[: len(rest)]
    body[:, 0] = -1
    if style is not None:
        body[:, 0] = np.clip((assets.elevation - hairline(style, assets.azimuth)) / 0.15, -1, 1)
    bare = attributes.costume_asset != NONE
    body[:, 1] = -1 if bare else costume_depth(rest, attributes.costume_style)
    if attributes.facial_hair != "none":
        lips = assets.surface[: len(rest), 3].numpy()
        body[:, 2] = beard_depth(rest, lips, attributes.facial_hair)
    return torch.from_numpy(layers)


def drawn_sheet(attributes: Attributes) -> HairStyle | None:
    """The style that the sheet takes: headwear, else hair, else nothing."""
    style = HEADWEAR[attributes.headwear] or HAIR_STYLES[attributes.hair_style]
    return None if style is None or style.painted else style


def _sheet(head: Head, attributes: Attributes) -> tuple[torch.Tensor, torch.Tensor]:
    style = drawn_sheet(attributes)
    if style is None:
        return torch.zeros(SHEET_VERTICES, 3), torch.ones(SHEET_VERTICES)
    vertices, follows = lay(style, attributes.hair_volume, head.skull)
    return torch.from_numpy(vertices), torch.from_numpy(follows)


def _glasses(
    assets: Assets, head: Head, body: torch.Tensor, eyes: np.ndarray, attributes: Attributes
) -> torch.Tensor:
    if attributes.glasses == "none":
        return torch.zeros(VERTICES, 3)
    bridge = float(head.neutral[assets.bridge_vertex, 2])
    sides = body.index_select(0, assets.side_vertices).numpy()
    return torch.from_numpy(fit_glasses(attributes.glasses, eyes, bridge, sides))


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
