"""Draws the sheets in this folder: python docs/characters/draw.py"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from facegraft.characters import (
    EXPRESSIONS,
    IDENTITY_REGIONS,
    Assets,
    load_assets,
    neutral_head,
    render,
    render_head,
    sample_attributes,
    sample_identity,
)

HERE = Path(__file__).parent


def main() -> None:
    torch.set_num_threads(1)
    assets = load_assets()
    _save("random_64.png", _random(assets, np.random.default_rng(64)))
    _save("expressions.png", _expressions(assets, np.random.default_rng(52)))
    _save("swaps.png", _swaps(assets, np.random.default_rng(15)))


def _random(assets: Assets, rng: np.random.Generator) -> list[list[np.ndarray]]:
    """64 random characters at 128 px."""
    return [
        [
            render(assets, sample_identity(assets, rng), sample_attributes(rng), 128).image
            for _ in range(8)
        ]
        for _ in range(8)
    ]


def _expressions(assets: Assets, rng: np.random.Generator) -> list[list[np.ndarray]]:
    """Rows: identities; columns: the named expressions in order."""
    rows = []
    for _ in range(8):
        person = sample_identity(assets, rng)
        look = replace(
            sample_attributes(rng), yaw=float(rng.uniform(-12, 12)), pitch=0.0, face_paint="none",
            glasses="none", headwear="none", facial_hair="none",
        )  # fmt: skip
        head = neutral_head(assets, person)
        rows.append(
            [
                render_head(assets, head, person, replace(look, expression=blend), 104).image
                for blend in EXPRESSIONS.values()
            ]
        )
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
    sheet.save(HERE / name, optimize=True)


if __name__ == "__main__":
    main()
