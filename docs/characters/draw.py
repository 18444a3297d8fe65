"""Draws the sheets in this folder: python docs/characters/draw.py"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from facegraft.characters import (
    EXPRESSION_NAMES,
    EXPRESSIONS,
    IDENTITY_REGIONS,
    Assets,
    Attributes,
    load_assets,
    neutral_head,
    render,
    render_head,
    sample_attributes,
    sample_identity,
)
from facegraft.characters.expressions import COMPANIONS

HERE = Path(__file__).parent


SIZE = 256
"""Pixels of a character on the sheets that are looked at closely."""


def main() -> None:
    torch.set_num_threads(1)
    assets = load_assets()
    rng = np.random.default_rng(64)
    for number in range(1, 5):
        _save(f"random_{number}.jpg", _random(assets, rng))
    rng = np.random.default_rng(52)
    for number in range(1, 5):
        _save(f"expressions_{number}.jpg", _expressions(assets, rng))
    _save("shapes.jpg", _shapes(assets, np.random.default_rng(8)))
    _save("poses.jpg", _poses(assets, np.random.default_rng(21)))
    _save("swaps.jpg", _swaps(assets, np.random.default_rng(15)))


def _random(assets: Assets, rng: np.random.Generator) -> list[list[np.ndarray]]:
    """50 random characters."""
    return [
        [
            render(assets, sample_identity(assets, rng), sample_attributes(rng), SIZE).image
            for _ in range(10)
        ]
        for _ in range(5)
    ]


def _bare(rng: np.random.Generator) -> Attributes:
    """A look that hides nothing of the face."""
    return replace(
        sample_attributes(rng), yaw=float(rng.uniform(-12, 12)), pitch=0.0, face_paint="none",
        glasses="none", headwear="none", facial_hair="none",
    )  # fmt: skip


def _expressions(assets: Assets, rng: np.random.Generator) -> list[list[np.ndarray]]:
    """Rows: 5 identities; columns: the named expressions in order."""
    return [_shown(assets, rng, list(EXPRESSIONS.values())) for _ in range(5)]


def _shown(
    assets: Assets, rng: np.random.Generator, blends: list[dict[str, float]]
) -> list[np.ndarray]:
    """One identity under each blend."""
    person, look = sample_identity(assets, rng), _bare(rng)
    head = neutral_head(assets, person)
    return [
        render_head(assets, head, person, replace(look, expression=blend), SIZE).image
        for blend in blends
    ]


def _shapes(assets: Assets, rng: np.random.Generator) -> list[list[np.ndarray]]:
    """Every ARKit shape alone, with what it needs beside it: 4 rows of 13."""
    blends = [{name: 1.0} | COMPANIONS.get(name, {}) for name in EXPRESSION_NAMES]
    tiles = _shown(assets, rng, blends)
    return [tiles[first : first + 13] for first in range(0, len(tiles), 13)]


def _poses(assets: Assets, rng: np.random.Generator) -> list[list[np.ndarray]]:
    """Columns: the bounds of yaw, pitch and roll; rows: hood, helmet, glasses, shades, beard."""
    turns = [(-45, 0, 0), (45, 0, 0), (0, -20, 0), (0, 20, 0), (0, 0, -15), (0, 0, 15),
             (-45, 20, 15), (45, -20, -15)]  # fmt: skip
    worn = [{"headwear": "hood"}, {"headwear": "helmet"}, {"glasses": "square"},
            {"glasses": "shades"}, {"facial_hair": "full"}]  # fmt: skip
    rows = []
    for wear in worn:
        person = sample_identity(assets, rng)
        looks = [
            replace(sample_attributes(rng), yaw=yaw, pitch=pitch, roll=roll, **wear)
            for yaw, pitch, roll in turns
        ]
        rows.append([render(assets, person, look, SIZE).image for look in looks])
    return rows


def _swaps(assets: Assets, rng: np.random.Generator) -> list[list[np.ndarray]]:
    """Columns: source, target, true swap, then only face shape, eyes, brows, nose, mouth, ears."""
    rows = []
    for _ in range(8):
        source, target = sample_identity(assets, rng), sample_identity(assets, rng)
        own, look = sample_attributes(rng), sample_attributes(rng)
        shown = [(source, own), (target, look), (source, look)]
        shown += [(target.mix(source, [region]), look) for region in IDENTITY_REGIONS]
        rows.append([render(assets, person, worn, 112).image for person, worn in shown])
    return rows


def _save(name: str, rows: list[list[np.ndarray]]) -> None:
    sheet = Image.fromarray(np.concatenate([np.concatenate(row, axis=1) for row in rows]))
    sheet.save(HERE / name, quality=80, optimize=True)


if __name__ == "__main__":
    main()
