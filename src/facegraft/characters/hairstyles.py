"""Hair styles as data: where the hairline runs, how thick the hair is, how far it falls."""

from __future__ import annotations

from dataclasses import dataclass

KNOTS = (0.0, 25.0, 48.0, 60.0, 74.0, 92.0, 112.0, 180.0)
"""Degrees from the face's middle line at which a style gives its numbers."""

Profile = tuple[float, float, float, float, float, float, float, float]

NATURAL: Profile = (29, 27, 20, -6, 2, -6, -30, -44)
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


HAIR_STYLES: dict[str, HairStyle | None] = {
    "bald": None,
    "buzz": HairStyle(painted=True, thickness=0.0),
    "short": HairStyle(thickness=0.12, top=1.3, side=0.6),
    "crop": HairStyle(edge=(17, 16, 14, -4, 2, -6, -28, -42), thickness=0.11, tips=0.06),
    "bowl": HairStyle(
        edge=(9, 8, 4, -10, -12, -14, -18, -22), thickness=0.17, clumps=20, clump_depth=0.08
    ),
    "bob": HairStyle(
        edge=(27, 25, 15, -8, -12, -16, -30, -40),
        fall=(0, 0, 0.25, 0.7, 0.75, 0.7, 0.6, 0.5),
        thickness=0.16, flare=0.08, clumps=18, tips=0.05,
    ),
    "long": HairStyle(
        edge=(29, 26, 14, -6, -10, -14, -30, -40),
        fall=(0, 0, 0.5, 1.5, 1.7, 1.7, 1.6, 1.5),
        thickness=0.13, flare=0.1, tips=0.15, wave=0.03,
    ),
    "long_fringe": HairStyle(
        edge=(11, 10, 4, -8, -10, -14, -30, -40),
        fall=(0, 0, 0.3, 1.4, 1.7, 1.7, 1.6, 1.5),
        thickness=0.14, flare=0.08, clumps=22, tips=0.15,
    ),
    "wavy": HairStyle(
        edge=(28, 25, 12, -6, -10, -14, -30, -40),
        fall=(0, 0.1, 0.5, 1.2, 1.3, 1.3, 1.2, 1.1),
        thickness=0.2, flare=0.2, clumps=12, clump_depth=0.35, wave=0.09, tips=0.1,
    ),
    "afro": HairStyle(
        edge=(27, 25, 18, -4, -2, -8, -24, -36), thickness=0.5, front=0.8, clumps=24,
        clump_depth=0.08,
    ),
    "mohawk": HairStyle(thickness=0.02, crest=0.6, crest_width=0.17, clumps=4, clump_depth=0.0),
    "quiff": HairStyle(thickness=0.13, front=2.4, top=1.4, side=0.35, clump_depth=0.25),
    "slick": HairStyle(
        edge=(32, 32, 24, -4, 4, -6, -30, -44), thickness=0.08, clumps=26, clump_depth=0.12
    ),
}  # fmt: skip
"""Hair style by name; None is a bald head."""
