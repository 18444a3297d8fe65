"""Same arguments, same pixels: the proof that a faster renderer draws what the slower one drew.

To accept a change that is meant: raise `facegraft.characters.RENDERING`, draw the default set anew
(`facegraft data --rerender`), `UPDATE_GOLDEN=1 make test`, and say why in the commit.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from facegraft.characters import (
    RENDERING,
    Rendering,
    load_assets,
    render,
    sample_attributes,
    sample_identity,
)

GOLDEN = Path(__file__).with_name("renders.npz")

WORN: dict[str, dict[str, object]] = {
    "plain": {},
    "hood": {"headwear": "hood", "background_style": "clouds", "scar": "cheek"},
    "shades": {"glasses": "shades", "facial_hair": "full", "costume_pattern": "checks"},
    "paint": {"face_paint": "tears", "hair_style": "wavy", "yaw": 40.0, "roll": -12.0},
    "tongue": {"expression": {"tongueOut": 0.8, "jawOpen": 0.5, "eyeBlinkLeft": 1.0}},
}

ODD_PIXELS = 0.002
"""Share of pixels that another processor's rounding may move."""


def test_renders() -> None:
    drawn = {
        f"{name}/{part}": getattr(rendering, part)
        for name, rendering in _drawn().items()
        for part in ("image", "regions")
    }
    with np.load(GOLDEN) as golden:
        number, known = int(golden["number"]), {k: golden[k] for k in golden.files if k != "number"}
    if os.environ.get("UPDATE_GOLDEN") and number != RENDERING:
        np.savez_compressed(GOLDEN, allow_pickle=False, number=np.array(RENDERING), **drawn)
        known, number = drawn, RENDERING
    assert number == RENDERING
    assert set(known) == set(drawn)
    for name, mine in drawn.items():
        moved = np.abs(mine.astype(int) - known[name]).reshape(64, 64, -1).max(axis=2)
        assert (moved > 0).mean() <= ODD_PIXELS, f"{name}: shows, so RENDERING counts it"


def _drawn() -> dict[str, Rendering]:
    assets, out = load_assets(), {}
    for seed, (name, worn) in enumerate(WORN.items()):
        rng = np.random.default_rng(seed)
        person, look = sample_identity(assets, rng), replace(sample_attributes(rng), **worn)
        out[name] = render(assets, person, look, 64)
    return out
