"""Everything about a picture that is not who the character is."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from facegraft.characters.errors import CharacterError
from facegraft.characters.expressions import (
    EXPRESSION_NAMES,
    sample_expression,
    sample_reserved_expression,
)
from facegraft.characters.face_paint import FACE_PAINTS, SCARS
from facegraft.characters.facial_hair import FACIAL_HAIR
from facegraft.characters.glasses import GLASSES
from facegraft.characters.hairstyles import HAIR_STYLES, HEADWEAR
from facegraft.characters.skins import PLAIN
from facegraft.characters.wardrobe import NONE

Colour = tuple[float, float, float]
"""sRGB in [0, 1]."""

BACKGROUND_STYLES = ("plain", "gradient", "halo", "stripes", "checks", "clouds")
COSTUME_STYLES = ("crew", "vneck", "turtleneck", "yoke")
COSTUME_PATTERNS = ("plain", "stripes", "checks", "trim")

RANGES: dict[str, tuple[float, float]] = {
    "yaw": (-45, 45),
    "pitch": (-20, 20),
    "roll": (-15, 15),
    "hair_volume": (0, 1),
    "lip_tint": (0, 1),
    "background_scale": (0, 1),
    "background_angle": (0, 180),
    "light_azimuth": (-90, 90),
    "light_elevation": (-20, 80),
    "key": (0, 1.5),
    "fill": (0, 1),
    "rim": (0, 1),
    "ambient": (0.1, 0.8),
    "warmth": (-1, 1),
}
"""Scalar attributes and their bounds (angles in degrees)."""

COLOURS = (
    "skin", "lip", "hair", "brow", "background", "background2", "costume", "costume2",
    "paint", "accessory",
)  # fmt: skip
"""Colour attributes."""

CHOICES: dict[str, tuple[str, ...]] = {
    "hair_style": tuple(HAIR_STYLES),
    "background_style": BACKGROUND_STYLES,
    "costume_style": COSTUME_STYLES,
    "costume_pattern": COSTUME_PATTERNS,
    "facial_hair": FACIAL_HAIR,
    "face_paint": FACE_PAINTS,
    "scar": SCARS,
    "glasses": GLASSES,
    "headwear": tuple(HEADWEAR),
}
"""Attributes that are one of a few words."""


@dataclass(frozen=True)
class Attributes:
    """Pose, expression, colours, hair, costume, accessories, background and light.

    Attributes:
        expression: ARKit shape -> weight in [0, 1]; shapes left out are 0.
        yaw: degrees, positive turns the face to the picture's right; pitch: positive looks
            down; roll: positive leans the head to the picture's right.
        skin_texture: "plain", or a texture that the user brings (`Assets.skins`), in the tone of
            `skin`; not part of the code.
        hair_asset, costume_asset: "none", or hair or clothes that the user brings
            (`Assets.wardrobe`) instead of `hair_style` (unless headwear hides both) or of the
            painted costume, in the tone of `hair` or `costume`; the code then shows no word of
            what they replace.
        skin, lip, hair, brow, background, background2, costume, costume2, paint, accessory:
            sRGB in [0, 1]; headwear takes the costume's colours, a beard the brows'.
        hair_style, background_style, costume_style, costume_pattern, facial_hair, face_paint,
            scar, glasses, headwear: words of `CHOICES`.
        hair_volume, lip_tint, background_scale: in [0, 1]; background_angle in degrees.
        light_azimuth, light_elevation: degrees from the camera towards the picture's right and
            up; key, fill, rim, ambient: strengths; warmth: -1 cold to +1 warm key light.
        All scalars keep to `RANGES`.
    """

    expression: Mapping[str, float] = field(default_factory=dict)
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    skin: Colour = (0.86, 0.68, 0.57)
    skin_texture: str = PLAIN
    lip: Colour = (0.72, 0.36, 0.34)
    lip_tint: float = 0.5
    hair_style: str = "short"
    hair_asset: str = NONE
    hair: Colour = (0.25, 0.15, 0.09)
    hair_volume: float = 0.5
    brow: Colour = (0.18, 0.11, 0.07)
    background_style: str = "plain"
    background: Colour = (0.55, 0.62, 0.68)
    background2: Colour = (0.35, 0.42, 0.5)
    background_scale: float = 0.5
    background_angle: float = 0.0
    costume_asset: str = NONE
    costume_style: str = "crew"
    costume_pattern: str = "plain"
    costume: Colour = (0.25, 0.3, 0.45)
    costume2: Colour = (0.7, 0.65, 0.5)
    facial_hair: str = "none"
    face_paint: str = "none"
    paint: Colour = (0.7, 0.2, 0.15)
    scar: str = "none"
    glasses: str = "none"
    accessory: Colour = (0.12, 0.12, 0.14)
    headwear: str = "none"
    light_azimuth: float = 25.0
    light_elevation: float = 30.0
    key: float = 0.9
    fill: float = 0.3
    rim: float = 0.3
    ambient: float = 0.35
    warmth: float = 0.2

    def __post_init__(self) -> None:
        object.__setattr__(self, "expression", MappingProxyType(dict(self.expression)))
        self._check_expression()
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise CharacterError(
                    f"attribute {name} is {getattr(self, name)}; it lies in [{low}, {high}]"
                )
        for name in COLOURS:
            colour = getattr(self, name)
            if len(colour) != 3 or not all(0 <= part <= 1 for part in colour):
                raise CharacterError(f"attribute {name} is {colour}; expected sRGB in [0, 1]")
        for name, words in CHOICES.items():
            if getattr(self, name) not in words:
                raise CharacterError(
                    f"attribute {name} is {getattr(self, name)!r}; choose from {', '.join(words)}"
                )

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by value: a read-only mapping does not pickle by itself."""
        values = dict(self.__dict__, expression=dict(self.expression))
        return _rebuild, (values,)

    def _check_expression(self) -> None:
        for name, weight in self.expression.items():
            if name not in EXPRESSION_NAMES:
                raise CharacterError(f"unknown expression {name!r}; use ARKit's 52 names")
            if not 0 <= weight <= 1:
                raise CharacterError(f"expression {name} is {weight}; it lies in [0, 1]")


def _rebuild(values: dict[str, object]) -> Attributes:
    return Attributes(**values)  # type: ignore[arg-type]


RESERVED_HAIR_STYLES = ("crop", "bob")
"""Hair styles that only the benchmark shows: one short, one long, neither odd."""

COMMON_HAIR_STYLES = tuple(style for style in HAIR_STYLES if style not in RESERVED_HAIR_STYLES)
"""All others."""


OWN = {"skin_texture": PLAIN, "hair_asset": NONE, "costume_asset": NONE}
"""Attributes whose words are what the user brings, and their word for nothing."""

REPLACED = {
    "hair_style": "hair_asset",
    "costume_style": "costume_asset",
    "costume_pattern": "costume_asset",
}
"""Attributes whose words mean nothing while another wears something."""


def sample_attributes(
    rng: np.random.Generator,
    own: Mapping[str, Sequence[str]] = MappingProxyType({}),
    *,
    reserved: bool = False,
) -> Attributes:
    """Draw an attribute set: any expression, any pose of `RANGES`, most often near frontal.

    Args:
        own: what the user brings, by attribute of `OWN` (`Assets.own_words`), to draw from as
            often as nothing; it changes no other draw. Hair is left to `reserved`.
        reserved: draw what nothing is ever trained on: one of `RESERVED_HAIR_STYLES`, and an
            expression with one of `expressions.RESERVED_MOVES`. Else neither is drawn.
    """
    hair = _hair_colour(rng)
    skin = _skin_colour(rng)
    lip = (0.88 * skin[0], 0.55 * skin[1], 0.56 * skin[2])
    brow = (0.62 * hair[0], 0.62 * hair[1], 0.62 * hair[2])
    light_azimuth = rng.normal(0, 26)
    return Attributes(
        expression=sample_reserved_expression(rng) if reserved else sample_expression(rng),
        yaw=_angle(rng, "yaw", 12),
        pitch=_angle(rng, "pitch", 5),
        roll=_angle(rng, "roll", 5),
        skin=skin,
        lip=lip,
        lip_tint=_between(rng, 0.3, 0.9),
        hair_style=_choice(rng, RESERVED_HAIR_STYLES if reserved else COMMON_HAIR_STYLES),
        hair=hair,
        hair_volume=_between(rng, 0, 1),
        brow=brow,
        background_style=_choice(rng, BACKGROUND_STYLES),
        background=_colour(rng, 0.7),
        background2=_colour(rng, 0.7),
        background_scale=_between(rng, 0, 1),
        background_angle=_between(rng, 0, 180),
        costume_style=_choice(rng, COSTUME_STYLES),
        costume_pattern=_choice(rng, COSTUME_PATTERNS),
        costume=_colour(rng, 0.85),
        costume2=_colour(rng, 0.85),
        facial_hair=_seldom(rng, FACIAL_HAIR, 0.1),
        face_paint=_seldom(rng, FACE_PAINTS, 0.05),
        paint=_colour(rng, 0.9),
        scar=_seldom(rng, SCARS, 0.08),
        glasses=_glasses(rng),
        accessory=_colour(rng, 0.6),
        headwear=_seldom(rng, tuple(HEADWEAR), 0.06),
        light_azimuth=float(np.clip(light_azimuth, -75, 75)),
        light_elevation=_between(rng, 0, 55),
        key=_between(rng, 0.7, 1.1),
        fill=_between(rng, 0.1, 0.5),
        rim=_between(rng, 0, 0.8),
        ambient=_between(rng, 0.15, 0.32),
        warmth=_between(rng, -0.6, 0.8),
        **{
            name: _choice(rng, (nothing, *own[name])) if own.get(name) else nothing
            for name, nothing in OWN.items()
            if not (reserved and name == "hair_asset")
        },
    )


def attribute_values(
    attributes: Attributes, own: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> dict[str, float]:
    """Every parameter by name as a number, for the manifest; words become 0 or 1 each.

    Args:
        own: what was drawn from besides, see `sample_attributes`; a word each.
    """
    values = {
        f"expression.{name}": float(attributes.expression.get(name, 0.0))
        for name in EXPRESSION_NAMES
    }
    values |= {name: float(getattr(attributes, name)) for name in RANGES}
    for name in COLOURS:
        for channel, part in zip("rgb", getattr(attributes, name), strict=True):
            values[f"{name}.{channel}"] = float(part)
    for name, words in CHOICES.items():
        for word in words:
            values[f"{name}.{word}"] = float(getattr(attributes, name) == word)
    for name, brought in own.items():
        for word in brought:
            values[f"{name}.{word}"] = float(getattr(attributes, name) == word)
    return values


CODE_MEMBERS: dict[str, tuple[str, ...]] = {
    "expression": ("expression",),
    "pose": ("yaw", "pitch", "roll"),
    "lighting": ("light_azimuth", "light_elevation", "key", "fill", "rim", "ambient", "warmth"),
    "skin": ("skin", "lip", "lip_tint", "face_paint", "paint", "scar"),
    "hair": ("hair_style", "hair", "hair_volume", "brow", "facial_hair"),
    "background": (
        "background_style", "background", "background2", "background_scale", "background_angle",
    ),
    "costume": (
        "costume_style", "costume_pattern", "costume", "costume2", "glasses", "accessory",
        "headwear",
    ),
}  # fmt: skip
"""Group of the attribute code -> the attributes it holds, in order."""


def attribute_code(attributes: Attributes) -> np.ndarray:
    """The parameters as float32 (Q,), each shifted and scaled to about unit range.

    Expression weights x 2, scalars over their range in [-1, 1] x 2, colours in [-1, 1] x 1.5,
    words one-hot; in the order of `CODE_MEMBERS`.
    """
    parts = [_code(attributes, name) for names in CODE_MEMBERS.values() for name in names]
    return np.array([value for part in parts for value in part], np.float32)


def attribute_code_groups() -> dict[str, slice]:
    """Group of the attribute code -> its part of `attribute_code`."""
    groups, start, anyone = {}, 0, Attributes()
    for group, names in CODE_MEMBERS.items():
        stop = start + sum(len(_code(anyone, name)) for name in names)
        groups[group] = slice(start, stop)
        start = stop
    return groups


def _code(attributes: Attributes, name: str) -> list[float]:
    """One attribute's part of the code."""
    if name == "expression":
        return [2 * attributes.expression.get(shape, 0.0) for shape in EXPRESSION_NAMES]
    value = getattr(attributes, name)
    if name in RANGES:
        low, high = RANGES[name]
        return [2 * (2 * (value - low) / (high - low) - 1)]
    if name in COLOURS:
        return [1.5 * (2 * part - 1) for part in value]
    replaced = name in REPLACED and getattr(attributes, REPLACED[name]) != NONE
    return [float(value == word and not replaced) for word in CHOICES[name]]


GLASSES_ODDS = (0.96, 0.015, 0.015, 0.01)
"""How often `sample_attributes` draws each word of `GLASSES`."""


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _glasses(rng: np.random.Generator) -> str:
    """Glasses now and then; shades, which hide who looks through them, more seldom still."""
    return str(rng.choice(GLASSES, p=GLASSES_ODDS))


def _angle(rng: np.random.Generator, name: str, deviation: float) -> float:
    """Normal about frontal, drawn again beyond the bounds of `RANGES`, degrees."""
    low, high = RANGES[name]
    while not low <= (angle := float(rng.normal(0, deviation))) <= high:
        pass
    return angle


def _choice(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]


def _seldom(rng: np.random.Generator, words: tuple[str, ...], chance: float) -> str:
    """The first word (none), or with this chance one of the others."""
    return _choice(rng, words[1:]) if rng.random() < chance else words[0]


def _colour(rng: np.random.Generator, saturation: float) -> Colour:
    return colorsys.hsv_to_rgb(
        float(rng.random()), saturation * float(rng.random()), float(rng.uniform(0.15, 0.95))
    )


SKIN_RAMP = np.array(
    [
        (0.29, 0.19, 0.15), (0.39, 0.26, 0.19), (0.50, 0.34, 0.25), (0.62, 0.43, 0.31),
        (0.76, 0.56, 0.43), (0.86, 0.67, 0.55), (0.90, 0.74, 0.64), (0.93, 0.80, 0.72),
    ]
)  # fmt: skip
"""Human skin from dark to light, sRGB."""

HAIR_RAMP = (
    (0.06, 0.05, 0.05), (0.16, 0.10, 0.07), (0.30, 0.18, 0.10), (0.45, 0.28, 0.15),
    (0.78, 0.62, 0.36), (0.58, 0.22, 0.10), (0.72, 0.72, 0.74), (0.92, 0.90, 0.86),
)  # fmt: skip


def _skin_colour(rng: np.random.Generator) -> Colour:
    if rng.random() < 0.12:
        hue = float(rng.choice([0.28, 0.35, 0.5, 0.58, 0.66, 0.78, 0.02]))
        return colorsys.hsv_to_rgb(hue, float(rng.uniform(0.2, 0.5)), float(rng.uniform(0.5, 0.9)))
    place = float(rng.uniform(0, len(SKIN_RAMP) - 1))
    tone = [np.interp(place, np.arange(len(SKIN_RAMP)), SKIN_RAMP[:, k]) for k in range(3)]
    warm = rng.normal(0, 0.02)
    red, green, blue = np.clip(np.add(tone, [warm, 0, -warm]), 0, 1)
    return float(red), float(green), float(blue)


def _hair_colour(rng: np.random.Generator) -> Colour:
    if rng.random() < 0.3:
        return colorsys.hsv_to_rgb(
            float(rng.random()), float(rng.uniform(0.4, 0.85)), float(rng.uniform(0.3, 0.85))
        )
    red, green, blue = np.clip(
        np.array(HAIR_RAMP[int(rng.integers(len(HAIR_RAMP)))]) * rng.uniform(0.85, 1.15), 0, 1
    )
    return float(red), float(green), float(blue)
