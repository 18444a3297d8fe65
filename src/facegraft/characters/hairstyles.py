"""Hair styles as data: where the hairline runs, how thick the hair is, how far it falls."""

from __future__ import annotations

from dataclasses import dataclass

KNOTS = (0.0, 25.0, 48.0, 60.0, 74.0, 92.0, 112.0, 180.0)
"""Degrees from the face's middle line at which a style gives its numbers."""

Profile = tuple[float, float, float, float, float, float, float, float]

NATURAL: Profile = (24, 23, 17, -8, 0, -6, -30, -44)
"""A natural hairline: elevation in degrees seen from the skull's centre, at `KNOTS`."""


@dataclass(frozen=True)
class HairStyle:
    """A sheet of hair from the crown over the skull, perhaps falling beyond it.

    Attributes:
        edge: where the hair leaves the skull, degrees of elevation at `KNOTS`.
        fall: how far it hangs below that edge, decimetres at `KNOTS`.
        thickness: above the skull, decimetres; `front`, `top`, `side`: factors on it.
        flare: how far the hanging part leans outwards, per decimetre.
        clumps: locks around the head; clump_depth: their relief, as a share of the thickness.
        tips: jaggedness of the lower edge, decimetres.
        wave: sideways amplitude of the hanging part, decimetres.
        crest: height of a ridge along the middle line, decimetres; crest_width likewise.
        painted: drawn on the scalp only.
        closed: the edge tucks in to the skin; else it stands off, a rim of cloth or metal.
    """

    edge: Profile = NATURAL
    fall: Profile = (0, 0, 0, 0, 0, 0, 0, 0)
    thickness: float = 0.1
    front: float = 1.0
    top: float = 1.0
    side: float = 1.0
    flare: float = 0.0
    clumps: int = 14
    clump_depth: float = 0.2
    tips: float = 0.0
    wave: float = 0.0
    crest: float = 0.0
    crest_width: float = 0.2
    painted: bool = False
    closed: bool = True


HAIR_STYLES: dict[str, HairStyle | None] = {
    "bald": None,
    "buzz": HairStyle(painted=True, thickness=0.0),
    "short": HairStyle(thickness=0.12, top=1.3, side=0.6),
    "crop": HairStyle(edge=(15, 14, 12, -6, 0, -6, -28, -42), thickness=0.11, tips=0.07),
    "bowl": HairStyle(
        edge=(8, 7, 3, -10, -12, -14, -18, -22), thickness=0.17, clumps=20, clump_depth=0.08
    ),
    "bob": HairStyle(
        edge=(12, 11, 8, -8, -12, -16, -30, -40),
        fall=(0, 0, 0.1, 0.7, 0.75, 0.7, 0.6, 0.5),
        thickness=0.16, flare=0.08, clumps=18, tips=0.05,
    ),
    "long": HairStyle(
        edge=(25, 22, 12, -6, -10, -14, -30, -40),
        fall=(0, 0, 0.5, 1.5, 1.7, 1.7, 1.6, 1.5),
        thickness=0.13, flare=0.1, tips=0.15, wave=0.03,
    ),
    "long_fringe": HairStyle(
        edge=(10, 9, 3, -8, -10, -14, -30, -40),
        fall=(0, 0, 0.3, 1.4, 1.7, 1.7, 1.6, 1.5),
        thickness=0.14, flare=0.08, clumps=22, tips=0.12,
    ),
    "wavy": HairStyle(
        edge=(25, 21, 10, -6, -10, -14, -30, -40),
        fall=(0, 0.1, 0.5, 1.2, 1.3, 1.3, 1.2, 1.1),
        thickness=0.2, flare=0.2, clumps=12, clump_depth=0.35, wave=0.09, tips=0.1,
    ),
    "afro": HairStyle(
        edge=(24, 22, 15, -4, -2, -8, -24, -36), thickness=0.5, front=0.8, clumps=24,
        clump_depth=0.08,
    ),
    "mohawk": HairStyle(thickness=0.02, crest=0.6, crest_width=0.17, clumps=4, clump_depth=0.0),
    "quiff": HairStyle(thickness=0.13, front=2.4, top=1.4, side=0.35, clump_depth=0.25),
    "slick": HairStyle(
        edge=(29, 28, 20, -4, 3, -6, -30, -44), thickness=0.08, clumps=26, clump_depth=0.12
    ),
    "spiky": HairStyle(
        edge=(13, 13, 9, -8, -2, -8, -30, -42), thickness=0.26, clumps=12, clump_depth=0.6,
        tips=0.14, side=0.7,
    ),
}  # fmt: skip
"""Hair style by name; None is a bald head."""

HEADWEAR: dict[str, HairStyle | None] = {
    "none": None,
    "hood": HairStyle(
        edge=(22, 20, 8, -22, -45, -48, -50, -55),
        fall=(0, 0, 0, 0.25, 0.45, 0.5, 0.5, 0.5),
        thickness=0.26, front=1.1, side=0.9, flare=0.35, clumps=3, clump_depth=0.05, closed=False,
    ),
    "helmet": HairStyle(
        edge=(14, 13, 8, -22, -34, -38, -40, -46), thickness=0.13, clumps=2, clump_depth=0.0,
        crest=0.12, crest_width=0.09, closed=False,
    ),
}  # fmt: skip
"""What covers the head instead of hair; laid like a hair style."""
