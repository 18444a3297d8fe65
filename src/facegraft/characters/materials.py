"""What colour each pixel's surface has and how it answers to light, one material at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from facegraft.characters.attributes import Attributes
from facegraft.characters.brows import brow_opacity, near_brows
from facegraft.characters.errors import CharacterError
from facegraft.characters.face_paint import paint_opacity, scar_opacity
from facegraft.characters.identity import Identity
from facegraft.characters.surface import Surface
from facegraft.characters.tones import cover, linear, smoothstep

EYE_CENTRE = (0.308, 7.284, 1.246)
EYE_RADIUS = 0.138
IRIS = 0.54
PUPIL = 0.24
"""Radii of iris and pupil as a share of the eyeball's."""

IRIS_RAMP = ((0.26, 0.14, 0.07), (0.45, 0.30, 0.13), (0.32, 0.46, 0.24), (0.32, 0.48, 0.58),
             (0.22, 0.44, 0.76))  # fmt: skip
"""Iris colours, sRGB, from hue -1 to +1."""

HOLLOW = (0.03, 0.006, 0.006)
"""The inside of the mouth, linear."""


@dataclass(frozen=True)
class Finish:
    """How N pixels answer to light; numbers stand for all of them.

    Attributes:
        albedo: float32 (3, N), linear.
        gloss: highlight exponent; shine: highlight strength, float or float32 (N,).
        soft: how far light bleeds over the terminator.
    """

    albedo: torch.Tensor
    gloss: float
    shine: float | torch.Tensor
    soft: float


def finish(
    material: str,
    surface: Surface,
    identity: Identity,
    attributes: Attributes,
    detail: torch.Tensor | None = None,
) -> Finish:
    """The finish of N pixels of one material of `sculpt.MATERIALS`.

    Args:
        detail: float32 (3, N), by which a texture scales the colour of skin, hair or cloth.
    """
    if material == "skin":
        return _skin(surface, identity, attributes, detail)
    if material == "eye":
        return _eye(surface, identity)
    if material == "teeth":
        depth = smoothstep(1.1, 1.45, surface.column("z"))
        return Finish(torch.tensor([0.72, 0.67, 0.58])[:, None] * (0.1 + 0.6 * depth), 40, 0.2, 0.1)
    if material == "tongue":
        depth = smoothstep(0.9, 1.35, surface.column("z"))
        return Finish(
            torch.tensor([0.36, 0.09, 0.09])[:, None] * (0.12 + 0.5 * depth), 25, 0.1, 0.2
        )
    if material == "lash":
        return Finish(torch.full((3, len(surface)), 0.008), 10, 0.0, 0.0)
    if material == "frame":
        return Finish(_plain(surface, attributes.accessory), 60, 0.5, 0.1)
    if material == "lens":
        return Finish(0.12 * _plain(surface, attributes.accessory), 90, 1.0, 0.0)
    if material == "hair_asset":
        return Finish(_textured(attributes.hair, detail), 50, _hair_shine(attributes), 0.25)
    if material == "costume_asset":
        return Finish(_textured(attributes.costume, detail), 12, 0.03, 0.15)
    return (
        _hair(surface, attributes)
        if attributes.headwear == "none"
        else _headwear(surface, attributes)
    )


def _textured(colour: tuple[float, float, float], detail: torch.Tensor | None) -> torch.Tensor:
    if detail is None:
        raise CharacterError("hair and clothes that are brought are drawn with their texture")
    return (linear(colour)[:, None] * detail).clamp_(0, 1)


def _hair_shine(attributes: Attributes) -> float:
    return 0.06 + 0.25 * float(linear(attributes.hair).mean()) ** 0.5


def _plain(surface: Surface, colour: tuple[float, float, float]) -> torch.Tensor:
    return linear(colour)[:, None].expand(3, len(surface))


def _skin(
    surface: Surface, identity: Identity, attributes: Attributes, detail: torch.Tensor | None
) -> Finish:
    """Skin with lips, blush, brows, scalp and the costume that lies upon it.

    Each layer looks only at the pixels that it may cover.
    """
    tone = linear(attributes.skin)
    red = torch.tensor([0.0, -0.28, -0.32])
    albedo = tone[:, None] + (tone * red)[:, None] * surface.column("blush")
    if detail is not None:
        albedo = (albedo * detail).clamp_(0, 1)
    shine = torch.full((len(surface),), 0.10)
    _lips(albedo, shine, surface, attributes)
    hollow = surface.above("mouth", 0.3)
    share = smoothstep(0.3, 0.6, surface.take(hollow).column("mouth"))
    _cover_at(albedo, hollow, torch.tensor(HOLLOW), share)
    if attributes.facial_hair != "none":
        x, y, beard = surface.columns("x", "y", "beard")
        albedo = _bearded(albedo, x, y, beard, attributes)
    band = surface.touching(near_brows(surface.at_vertices("y"), surface.at_vertices("z")))
    opacity = brow_opacity(identity, *surface.take(band).columns("x", "y", "z"))
    _cover_at(albedo, band, linear(attributes.brow), 0.92 * opacity)
    if attributes.face_paint != "none":
        share = 0.85 * paint_opacity(attributes.face_paint, *surface.columns("x", "y", "z"))
        albedo = cover(albedo, linear(attributes.paint), share)
    if attributes.scar != "none":
        pale = 0.5 * tone + torch.tensor([0.22, 0.10, 0.09])
        share = 0.85 * scar_opacity(attributes.scar, *surface.columns("x", "y", "z"))
        albedo = cover(albedo, pale, share)
    if attributes.hair_style != "bald":
        _scalp(albedo, shine, surface, attributes)
    dressed = surface.above("cloth", 0)
    dressed = dressed[surface.take(dressed).column("cloth") > 0]
    if len(dressed):
        albedo[:, dressed] = _fabric(attributes, surface.take(dressed))
        shine[dressed] = 0.03
    return Finish(albedo, 20, shine, 0.28)


def _cover_at(
    albedo: torch.Tensor, place: torch.Tensor, over: torch.Tensor, share: torch.Tensor
) -> None:
    """`tones.cover` at some pixels of `albedo` (3, N), in place; share: opacity at each."""
    albedo.index_copy_(1, place, cover(albedo.index_select(1, place), over, share))


def _lips(
    albedo: torch.Tensor, shine: torch.Tensor, surface: Surface, attributes: Attributes
) -> None:
    place = surface.above("lips", 0.2)
    lips = smoothstep(0.2, 0.7, surface.take(place).column("lips"))
    _cover_at(albedo, place, linear(attributes.lip), attributes.lip_tint * lips)
    shine.index_copy_(0, place, 0.10 + 0.16 * lips)


def _scalp(
    albedo: torch.Tensor, shine: torch.Tensor, surface: Surface, attributes: Attributes
) -> None:
    """Colour under the hair, up to the hairline."""
    place = surface.above("scalp", 0.05)
    scalp, feature = surface.take(place).columns("scalp", "feature")
    scalp = smoothstep(0.05, 0.6, scalp) * (feature > -0.3)
    _cover_at(albedo, place, 0.7 * linear(attributes.hair), 0.85 * scalp)
    shine.index_copy_(0, place, shine.index_select(0, place) - 0.06 * scalp)


def _bearded(
    albedo: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    beard: torch.Tensor,
    attributes: Attributes,
) -> torch.Tensor:
    strands = 1 + 0.12 * ((x * 90 + 0.8 * (y * 40).sin()).sin())
    share = smoothstep(-0.02, 0.06, beard)
    share = share * (0.35 if attributes.facial_hair == "stubble" else 0.95)
    return cover(albedo, linear(attributes.brow)[:, None] * strands, share)


def _fabric(attributes: Attributes, surface: Surface) -> torch.Tensor:
    """Colour of the costume, linear (3, N)."""
    x, y, z, cloth = surface.columns("x", "y", "z", "cloth")
    first = linear(attributes.costume)[:, None]
    second = linear(attributes.costume2)[:, None]
    azimuth = torch.atan2(x, z - 0.25)
    if attributes.costume_pattern == "stripes":
        share = smoothstep(-0.15, 0.15, (y * 22).sin())
    elif attributes.costume_pattern == "checks":
        share = smoothstep(-0.1, 0.1, (y * 18).sin() * (azimuth * 14).sin())
    elif attributes.costume_pattern == "trim":
        share = (cloth < 0.09).float()
    else:
        share = torch.zeros_like(x)
    hem = 0.7 + 0.3 * smoothstep(0.0, 0.03, cloth)
    return (first + (second - first) * share) * hem


def _eye(surface: Surface, identity: Identity) -> Finish:
    """Eyeball: white, iris with a dark rim, pupil, the upper lid's shadow."""
    x, y, z = surface.columns("x", "y", "z")
    dx = (x.abs() - EYE_CENTRE[0]) / EYE_RADIUS
    dy = (y - EYE_CENTRE[1]) / EYE_RADIUS
    radius = torch.where(z > EYE_CENTRE[2], (dx * dx + dy * dy).sqrt(), 2.0)
    white = torch.tensor([0.80, 0.77, 0.74])[:, None].expand(3, x.shape[0])
    angle = torch.atan2(dy, dx)
    fibres = 1 + 0.2 * (angle * 23).sin() + 0.15 * (angle * 9 + 1).sin()
    glow = 0.75 + 0.9 * (1 - radius / IRIS).clamp(0, 1)
    colour = iris_colour(identity)[:, None] * (fibres * glow)
    albedo = cover(white, colour, 1 - smoothstep(IRIS - 0.04, IRIS + 0.02, radius))
    rim = torch.exp(-(((radius - IRIS) / 0.07) ** 2))
    lid_shadow = 1 - 0.5 * smoothstep(0.1, 0.6, dy)
    albedo = albedo * (
        (1 - 0.6 * rim) * smoothstep(PUPIL - 0.04, PUPIL + 0.04, radius) * lid_shadow
    )
    return Finish(albedo, 110, 1.3, 0.2)


def iris_colour(identity: Identity) -> torch.Tensor:
    """Linear colour of the iris (3,)."""
    place = (identity.iris_hue + 1) / 2 * (len(IRIS_RAMP) - 1)
    low = min(int(place), len(IRIS_RAMP) - 2)
    first, second = linear(IRIS_RAMP[low]), linear(IRIS_RAMP[low + 1])
    return (first + (second - first) * (place - low)) * (1 + 0.45 * identity.iris_lightness)


def _hair(surface: Surface, attributes: Attributes) -> Finish:
    """Hair with strands along the sheet, darker at the roots."""
    azimuth, place = surface.columns("x", "y")
    bent = azimuth + 0.03 * (place * 11).sin()
    strands = 0.55 * (bent * 61).sin() + 0.45 * (bent * 23 + 2 * place).sin()
    shade = (1 + 0.25 * strands) * (0.7 + 0.3 * smoothstep(0.0, 0.4, place))
    tone = linear(attributes.hair)
    return Finish(tone[:, None] * shade, 50, _hair_shine(attributes), 0.25)


def _headwear(surface: Surface, attributes: Attributes) -> Finish:
    """A hood of the costume's cloth, or a helmet of metal in its second colour."""
    azimuth, place = surface.columns("x", "y")
    if attributes.headwear == "helmet":
        rivets = 1 - 0.35 * smoothstep(0.9, 0.93, place)
        return Finish(_plain(surface, attributes.costume2) * rivets, 45, 0.7, 0.05)
    folds = 1 + 0.06 * (azimuth * 17 + 2 * place).sin()
    hem = 1 - 0.3 * smoothstep(0.955, 0.97, place)
    return Finish(_plain(surface, attributes.costume) * (folds * hem), 12, 0.03, 0.15)
