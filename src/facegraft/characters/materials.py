"""What colour each pixel's surface has, and which region it belongs to.

Every function takes the pixels of one material as float32 tensors with channels first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from facegraft.characters.attributes import Attributes
from facegraft.characters.colour import linear
from facegraft.characters.identity import Identity
from facegraft.dataset import REGIONS

LABEL = {name: value for value, name in enumerate(REGIONS)}

EYE_CENTRE = (0.308, 7.284, 1.246)
EYE_RADIUS = 0.138
IRIS = 0.52
PUPIL = 0.22
"""Radii of iris and pupil as a share of the eyeball's."""

IRIS_RAMP = ((0.24, 0.13, 0.06), (0.42, 0.28, 0.12), (0.30, 0.42, 0.22), (0.30, 0.45, 0.55),
             (0.20, 0.40, 0.72))  # fmt: skip
"""Iris colours, sRGB, from hue -1 to +1."""


@dataclass(frozen=True)
class Surface:
    """N pixels of one material.

    Attributes:
        rest: float32 (3, N), position on the rest mesh (hair: azimuth, place, 0).
        masks: float32 (5, N): lips, eyelids, ears, inside of the mouth, nose.
        scalp, cloth: float32 (N,), inside the hairline, inside the costume where positive.
    """

    rest: torch.Tensor
    masks: torch.Tensor
    scalp: torch.Tensor
    cloth: torch.Tensor


@dataclass(frozen=True)
class Finish:
    """How N pixels answer to light.

    Attributes:
        albedo: float32 (3, N), linear.
        gloss: float32 (N,), highlight exponent; shine: float32 (N,), highlight strength.
        soft: float32 (N,), how far light bleeds over the terminator.
        label: uint8 (N,), of `dataset.REGIONS`.
    """

    albedo: torch.Tensor
    gloss: torch.Tensor
    shine: torch.Tensor
    soft: torch.Tensor
    label: torch.Tensor


def smoothstep(low: float, high: float, value: torch.Tensor) -> torch.Tensor:
    """0 below `low`, 1 above `high`, smooth between."""
    part = ((value - low) / (high - low)).clamp(0, 1)
    return part * part * (3 - 2 * part)


def blend(base: torch.Tensor, over: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """`base` (3, N) covered by `over` (3,) or (3, N) with opacity `share` (N,)."""
    top = over[:, None] if over.ndim == 1 else over
    return base + (top - base) * share


def skin(surface: Surface, identity: Identity, attributes: Attributes) -> Finish:
    """Skin with lips, blush, brows, scalp and the costume that lies upon it."""
    x, y, z = surface.rest
    lips, lids, ears, mouth, nose = surface.masks
    tone = linear(attributes.skin)
    albedo = tone[:, None].expand(3, x.shape[0])
    side = x.abs()
    cheek = torch.exp(-(((side - 0.45) / 0.2) ** 2) - ((y - 6.98) / 0.16) ** 2) * (z > 0.8)
    warm = (0.35 * cheek + 0.3 * ears + 0.25 * nose).clamp(0, 1)
    albedo = blend(albedo, tone * torch.tensor([1.0, 0.72, 0.68]), warm)
    albedo = blend(albedo, tone * torch.tensor([0.72, 0.6, 0.6]), 0.5 * lids)
    albedo = blend(albedo, linear(attributes.lip), attributes.lip_tint * smoothstep(0.2, 0.7, lips))
    albedo = blend(albedo, torch.tensor([0.05, 0.012, 0.012]), smoothstep(0.3, 0.6, mouth))
    brow = _brow(identity, x, side, y, z)
    albedo = blend(albedo, linear(attributes.brow), 0.9 * brow)
    scalp = smoothstep(-0.25, 0.35, surface.scalp) * (ears < 0.3)
    stubble = 0.85 if attributes.hair_style == "buzz" else 0.75
    albedo = blend(albedo, 0.7 * linear(attributes.hair), stubble * scalp)
    gloss = torch.full_like(x, 16.0) + 20 * lips
    shine = 0.10 + 0.16 * lips + 0.05 * nose - 0.05 * scalp
    soft = torch.full_like(x, 0.3)
    label = torch.full(x.shape, LABEL["skin"], dtype=torch.uint8)
    jaw = 6.15 + (1.35 - z).clamp_min(0) * 0.53
    label[(y < jaw) | ((z < 0.2) & (y < 6.9))] = LABEL["neck"]
    label[nose > 0.5] = LABEL["nose"]
    label[ears > 0.4] = LABEL["ears"]
    label[(lips > 0.45) | (mouth > 0.45)] = LABEL["mouth"]
    label[brow > 0.4] = LABEL["brows"]
    if attributes.hair_style == "buzz":
        label[scalp > 0.5] = LABEL["hair"]
    dressed = surface.cloth > 0
    fabric = _fabric(attributes, surface)
    label[dressed] = LABEL["costume"]
    return Finish(
        torch.where(dressed, fabric, albedo),
        gloss,
        torch.where(dressed, 0.03, shine),
        torch.where(dressed, 0.1, soft),
        label,
    )


def _brow(
    identity: Identity, x: torch.Tensor, side: torch.Tensor, y: torch.Tensor, z: torch.Tensor
) -> torch.Tensor:
    """Opacity of the eyebrows, (N,) in [0, 1]."""
    inner = 0.13 + 0.05 * identity.brow_gap
    along = (side - inner) / (0.57 - inner)
    arch = 0.045 + 0.04 * identity.brow_arch
    middle = (
        7.50
        + 0.05 * identity.brow_tilt * (along - 0.4)
        + arch * (math.pi * (along * 1.05).clamp(0, 1)).sin()
        - 0.10 * (along - 0.65).clamp_min(0)
    )
    width = (0.036 + 0.02 * identity.brow_thickness) * (1.1 - 0.75 * along.clamp(0, 1) ** 1.5)
    hairs = 0.12 * (x * 130 + (y - middle) * 90 * x.sign()).sin()
    depth = 1 - (y - middle).abs() / width + hairs
    ends = smoothstep(-0.06, 0.05, along) * (1 - smoothstep(0.9, 1.04, along))
    return smoothstep(0.0, 0.6, depth) * ends * (z > 0.75)


def _fabric(attributes: Attributes, surface: Surface) -> torch.Tensor:
    """Colour of the costume, linear (3, N)."""
    x, y, z = surface.rest
    first = linear(attributes.costume)[:, None]
    second = linear(attributes.costume2)[:, None]
    azimuth = torch.atan2(x, z - 0.25)
    if attributes.costume_pattern == "stripes":
        share = smoothstep(-0.15, 0.15, (y * 22).sin())
    elif attributes.costume_pattern == "checks":
        share = smoothstep(-0.1, 0.1, (y * 18).sin() * (azimuth * 14).sin())
    elif attributes.costume_pattern == "trim":
        share = (surface.cloth < 0.09).float()
    else:
        share = torch.zeros_like(x)
    hem = 0.7 + 0.3 * smoothstep(0.0, 0.03, surface.cloth)
    return (first + (second - first) * share) * hem


def eye(surface: Surface, identity: Identity) -> Finish:
    """Eyeball: white, iris with a dark rim, pupil."""
    x, y, z = surface.rest
    dx = (x.abs() - EYE_CENTRE[0]) / EYE_RADIUS
    dy = (y - EYE_CENTRE[1]) / EYE_RADIUS
    front = z > EYE_CENTRE[2]
    radius = torch.where(front, (dx * dx + dy * dy).sqrt(), 2.0)
    white = torch.tensor([0.78, 0.74, 0.71])[:, None].expand(3, x.shape[0])
    angle = torch.atan2(dy, dx)
    fibres = 1 + 0.2 * (angle * 23).sin() + 0.15 * (angle * 9 + 1).sin()
    glow = 0.75 + 0.9 * (1 - radius / IRIS).clamp(0, 1)
    colour = iris_colour(identity)[:, None] * (fibres * glow)
    albedo = blend(white, colour, 1 - smoothstep(IRIS - 0.04, IRIS + 0.02, radius))
    rim = torch.exp(-(((radius - IRIS) / 0.07) ** 2))
    albedo = albedo * (1 - 0.65 * rim)
    albedo = albedo * smoothstep(PUPIL - 0.04, PUPIL + 0.04, radius)
    label = torch.full(x.shape, LABEL["eyes"], dtype=torch.uint8)
    lid_shadow = 1 - 0.55 * smoothstep(0.05, 0.6, dy)
    return _uniform(albedo * lid_shadow, 120.0, 1.2, 0.15, label)


def iris_colour(identity: Identity) -> torch.Tensor:
    """Linear colour of the iris (3,)."""
    place = (identity.iris_hue + 1) / 2 * (len(IRIS_RAMP) - 1)
    low = min(int(place), len(IRIS_RAMP) - 2)
    first, second = linear(IRIS_RAMP[low]), linear(IRIS_RAMP[low + 1])
    return (first + (second - first) * (place - low)) * (1 + 0.45 * identity.iris_lightness)


def teeth(surface: Surface) -> Finish:
    """Teeth, darker towards the back of the mouth."""
    depth = smoothstep(1.1, 1.45, surface.rest[2])
    albedo = torch.tensor([0.72, 0.67, 0.58])[:, None] * (0.12 + 0.6 * depth)
    return _uniform(albedo, 40.0, 0.25, 0.1, _mouth(surface))


def tongue(surface: Surface) -> Finish:
    """Tongue."""
    depth = smoothstep(0.9, 1.35, surface.rest[2])
    albedo = torch.tensor([0.36, 0.09, 0.09])[:, None] * (0.25 + 0.6 * depth)
    return _uniform(albedo, 25.0, 0.15, 0.2, _mouth(surface))


def _mouth(surface: Surface) -> torch.Tensor:
    return torch.full(surface.scalp.shape, LABEL["mouth"], dtype=torch.uint8)


def lash(surface: Surface) -> Finish:
    """Eyelashes."""
    albedo = torch.full((3, surface.scalp.shape[0]), 0.008)
    label = torch.full(surface.scalp.shape, LABEL["skin"], dtype=torch.uint8)
    return _uniform(albedo, 10.0, 0.0, 0.0, label)


def hair(surface: Surface, attributes: Attributes) -> Finish:
    """Hair with strands along the sheet, darker at roots and in the gaps between locks."""
    azimuth, place, _ = surface.rest
    strands = (
        0.5 * (azimuth * 71 + 2.1 * (place * 9).sin()).sin()
        + 0.3 * (azimuth * 157 + place * 5).sin()
        + 0.2 * (azimuth * 29 - place * 3).sin()
    )
    shade = (1 + 0.3 * strands) * (0.75 + 0.35 * smoothstep(0.0, 0.5, place))
    albedo = linear(attributes.hair)[:, None] * shade
    label = torch.full(azimuth.shape, LABEL["hair"], dtype=torch.uint8)
    return _uniform(albedo, 40.0, 0.35, 0.2, label)


def _uniform(
    albedo: torch.Tensor, gloss: float, shine: float, soft: float, label: torch.Tensor
) -> Finish:
    like = albedo[0]
    return Finish(
        albedo,
        torch.full_like(like, gloss),
        torch.full_like(like, shine),
        torch.full_like(like, soft),
        label,
    )
