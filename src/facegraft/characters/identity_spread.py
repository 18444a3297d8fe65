"""How widely `sample_identity` spreads each axis."""

from __future__ import annotations

import numpy as np

AXIS_DEVIATION = 0.4
"""Characters, not caricatures."""

ONE_SIDED = ("_diamond", "_oval", "_rectangular", "_round", "_square", "_triangular", "_triangle",
             "_invertedtriangular", "_pointed")  # fmt: skip
"""Stems of axes that mean something in one direction only."""


def axis_spread(names: tuple[str, ...]) -> np.ndarray:
    """Standard deviation of each axis, float64 (P,)."""
    return np.array([0.5 if "/macro_" in name else AXIS_DEVIATION for name in names])
