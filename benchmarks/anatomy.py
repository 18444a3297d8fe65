"""Whether teeth come through the skin, over many faces and expressions.

Run: python -m benchmarks.anatomy [--people N] [--size PIXELS]. Poses each person in every named
expression from the front and from both sides, and asks of each sample that shows a tooth what it
would show without teeth. The inside of the mouth is as it should be; outer skin means that a tooth
pokes through. About 0.1 s a view.

Counted are samples (`SUPERSAMPLE` squared to a pixel), the views in which there are any, by
expression, and specks: groups of samples smaller than two pixels.
"""

from __future__ import annotations

import argparse
from collections import Counter

import cv2
import numpy as np
import torch

from facegraft.characters import (
    Assets,
    Attributes,
    camera,
    load_assets,
    neutral_head,
    sample_identity,
)
from facegraft.characters.deform import Head, pose
from facegraft.characters.expressions import EXPRESSIONS
from facegraft.characters.raster import rasterise
from facegraft.characters.sculpt import MATERIALS
from facegraft.characters.visibility import see

SEED = 2026
SUPERSAMPLE = 2
YAWS = (-30.0, 0.0, 30.0)
SPECK = 8
"""Samples, two pixels: what is smaller looks like dirt."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--size", type=int, default=256, help="pixels")
    options = parser.parse_args()
    torch.set_num_threads(1)
    assets, found = load_assets(), Counter[str]()
    for k in range(options.people):
        head = neutral_head(assets, sample_identity(assets, np.random.default_rng((SEED, k))))
        for name, expression in EXPRESSIONS.items():
            for yaw in YAWS:
                look = Attributes(yaw=yaw, expression=expression)
                counted = count(assets, head, look, options.size * SUPERSAMPLE)
                found.update(counted, views=1)
                found["views with teeth through skin"] += counted["teeth through skin"] > 0
                found[f"views with teeth, {name}"] += counted["teeth"] > 0
    for name, value in found.items():
        print(f"{name}: {value}")


def count(assets: Assets, head: Head, look: Attributes, side: int) -> dict[str, int]:
    """Samples of one view, (side, side) of them."""
    posed = pose(assets, head, look)
    view = camera.frame("crop", side, posed.turned)
    seen = see(assets, look, view, posed)
    shown, skin = seen.fragments, assets.material.numpy() == MATERIALS.index("skin")
    behind = np.full(side * side, -1)
    places = np.flatnonzero(skin)
    under = rasterise(seen.screen, seen.order, assets.triangles.numpy()[skin],
                      np.zeros(len(places), bool), side, None)  # fmt: skip
    behind[under.pixel.numpy()] = under.triangle.numpy()
    inner = (assets.recess.numpy()[assets.triangles.numpy()[places]] > 0).any(axis=1)
    material, pixel = assets.material[shown.triangle].numpy(), shown.pixel.numpy()
    tooth = pixel[material == MATERIALS.index("teeth")]
    through = behind[tooth]
    through = through[through >= 0]
    picture = np.zeros(side * side, np.uint8)
    picture[tooth] = 1
    groups = cv2.connectedComponentsWithStats(picture.reshape(side, side), connectivity=8)[2]
    sizes = groups[1:, cv2.CC_STAT_AREA]  # the first is what shows no tooth
    return {
        "teeth": len(tooth),
        "teeth through skin": int((~inner[through]).sum()),
        "specks": int((sizes < SPECK).sum()),
    }


if __name__ == "__main__":
    main()
