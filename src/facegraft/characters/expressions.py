"""Named expressions as blends of the 52 ARKit shapes."""

from __future__ import annotations

import numpy as np

EXPRESSION_NAMES = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight",
    "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft",
    "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft",
    "mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""The 52 ARKit shapes."""


def _both(stem: str, value: float) -> dict[str, float]:
    return {f"{stem}Left": value, f"{stem}Right": value}


EXPRESSIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": _both("mouthSmile", 0.85) | _both("cheekSquint", 0.6) | _both("mouthDimple", 0.3),
    "laugh": _both("mouthSmile", 0.8)
    | {"jawOpen": 0.4}
    | _both("mouthUpperUp", 0.45)
    | _both("mouthLowerDown", 0.35)
    | _both("eyeSquint", 0.5)
    | _both("cheekSquint", 0.7),
    "sad": _both("mouthFrown", 0.85)
    | {"browInnerUp": 0.9, "mouthShrugLower": 0.4}
    | _both("eyeLookDown", 0.3),
    "angry": _both("browDown", 0.95)
    | _both("noseSneer", 0.55)
    | _both("mouthPress", 0.5)
    | _both("eyeSquint", 0.4),
    "surprise": {"jawOpen": 0.5, "browInnerUp": 0.8, "mouthFunnel": 0.25}
    | _both("eyeWide", 0.9)
    | _both("browOuterUp", 0.8),
    "disgust": _both("noseSneer", 0.9) | _both("mouthUpperUp", 0.5) | _both("browDown", 0.5),
    "fear": _both("eyeWide", 0.8) | {"browInnerUp": 1.0, "jawOpen": 0.15}
    | _both("mouthStretch", 0.7),
    "wink": {"eyeBlinkLeft": 1.0, "mouthSmileLeft": 0.7, "mouthSmileRight": 0.3,
             "cheekSquintLeft": 0.6},
    "pucker": {"mouthPucker": 0.85, "browInnerUp": 0.3},
    "smirk": {"mouthSmileRight": 0.8, "mouthDimpleRight": 0.4, "browOuterUpRight": 0.6},
    "asleep": _both("eyeBlink", 1.0) | _both("mouthSmile", 0.2),
    "shout": {"jawOpen": 0.75} | _both("browDown", 0.7) | _both("mouthUpperUp", 0.3)
    | _both("noseSneer", 0.4),
    "puff": {"cheekPuff": 0.9, "mouthPucker": 0.2},
}  # fmt: skip
"""Expression name -> ARKit weights in [0, 1]."""

GAZES: tuple[dict[str, float], ...] = (
    {},
    {"eyeLookInLeft": 0.7, "eyeLookOutRight": 0.7},
    {"eyeLookOutLeft": 0.7, "eyeLookInRight": 0.7},
    _both("eyeLookUp", 0.6),
    _both("eyeLookDown", 0.6),
)
"""Where the eyes look, as ARKit weights."""

ODDS = {"neutral": 3.0, "smile": 2.0, "laugh": 1.5, "wink": 0.4, "asleep": 0.3}
"""How often `sample_expression` starts from an expression, relative to 1."""


COMPANIONS = {"tongueOut": {"jawOpen": 0.45}, "mouthClose": {"jawOpen": 0.85}}
"""Shapes that mean something only beside another."""

ALONE = 0.15
"""How often `sample_expression` takes single ARKit shapes instead of a named expression."""

RESERVED_MOVES: tuple[tuple[str, ...], ...] = (
    ("browOuterUpLeft", "browOuterUpRight"),
    ("eyeWideLeft", "eyeWideRight"),
    ("mouthStretchLeft", "mouthStretchRight"),
    ("jawLeft",),
    ("jawRight",),
)
"""Movements that only the benchmark shows; each changes the picture clearly by itself."""

RESERVED_SHAPES = tuple(shape for move in RESERVED_MOVES for shape in move)
"""ARKit shapes that nothing but the benchmark ever draws, alone or in a blend."""

COMMON_SHAPES = tuple(name for name in EXPRESSION_NAMES if name not in RESERVED_SHAPES)
"""All others."""

CLEARLY = 0.5
"""Least weight of the reserved movement in a reserved expression."""


def sample_reserved_expression(rng: np.random.Generator) -> dict[str, float]:
    """One of `RESERVED_MOVES` at `CLEARLY` or more, over a common expression at half strength."""
    blend = {shape: round(weight / 2, 4) for shape, weight in sample_expression(rng).items()}
    move = RESERVED_MOVES[int(rng.integers(len(RESERVED_MOVES)))]
    weight = round(float(rng.uniform(CLEARLY, 1.0)), 4)
    return dict(sorted((blend | dict.fromkeys(move, weight)).items()))


def sample_expression(rng: np.random.Generator) -> dict[str, float]:
    """One expression at a random strength, now and then blended with a second, and a gaze.

    Now and then one or two single shapes instead. `RESERVED_SHAPES` are left out of every blend.
    """
    if rng.random() < ALONE:
        return _single_shapes(rng)
    names = list(EXPRESSIONS)
    odds = np.array([ODDS.get(name, 1.0) for name in names])
    first, second = rng.choice(len(names), size=2, p=odds / odds.sum())
    strength = rng.uniform(0.45, 1.0)
    share = rng.uniform(0.3, 0.5) if rng.random() < 0.35 else 0.0
    parts = [
        (EXPRESSIONS[names[first]], strength * (1 - share)),
        (EXPRESSIONS[names[second]], share),
        (GAZES[int(rng.integers(len(GAZES)))], rng.uniform(0, 1)),
    ]
    blend: dict[str, float] = {}
    for weights, factor in parts:
        for shape, weight in weights.items():
            blend[shape] = min(1.0, blend.get(shape, 0.0) + factor * weight)
    return {
        shape: round(weight, 4)
        for shape, weight in sorted(blend.items())
        if weight > 0.01 and shape not in RESERVED_SHAPES
    }


def _single_shapes(rng: np.random.Generator) -> dict[str, float]:
    """One or two of `COMMON_SHAPES`, each with what it needs beside it."""
    blend: dict[str, float] = {}
    for name in rng.choice(COMMON_SHAPES, size=int(rng.integers(1, 3)), replace=False).tolist():
        weight = float(rng.uniform(0.4, 1.0))
        for shape, share in ({name: 1.0} | COMPANIONS.get(name, {})).items():
            blend[shape] = max(blend.get(shape, 0.0), round(weight * share, 4))
    return dict(sorted(blend.items()))
