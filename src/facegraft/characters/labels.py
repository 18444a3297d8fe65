"""Which region of the face each sampled pixel belongs to."""

from __future__ import annotations

import torch

from facegraft.characters.attributes import Attributes
from facegraft.characters.brows import brow_opacity
from facegraft.characters.identity import Identity
from facegraft.characters.surface import Surface
from facegraft.data.grids import REGIONS

LABEL = {name: value for value, name in enumerate(REGIONS)}

MATERIAL_LABEL = {
    "eye": "eyes",
    "teeth": "mouth",
    "tongue": "mouth",
    "lash": "skin",
    "hair": "hair",
    "frame": "accessory",
    "lens": "accessory",
    "hair_asset": "hair",
    "costume_asset": "costume",
}
"""Region of each material of `sculpt.MATERIALS` but the skin, which has many."""


def label_pixels(
    material: str, surface: Surface, identity: Identity, attributes: Attributes
) -> torch.Tensor:
    """Labels uint8 (N,) of `dataset.REGIONS` for pixels of one material."""
    if material == "skin":
        return _skin_labels(surface, identity, attributes)
    worn = material == "hair" and attributes.headwear != "none"
    name = "accessory" if worn else MATERIAL_LABEL[material]
    return torch.full((len(surface),), LABEL[name], dtype=torch.uint8)


def _skin_labels(surface: Surface, identity: Identity, attributes: Attributes) -> torch.Tensor:
    x, y, z, feature, lips, mouth, cloth = surface.columns(
        "x", "y", "z", "feature", "lips", "mouth", "cloth"
    )
    label = torch.full(y.shape, LABEL["skin"], dtype=torch.uint8)
    jaw = 6.15 + (1.35 - z).clamp_min(0) * 0.53
    label[(y < jaw) | ((z < 0.2) & (y < 6.9))] = LABEL["neck"]
    if attributes.facial_hair != "none":
        label[(surface.column("beard") > 0) & (label == LABEL["neck"])] = LABEL["skin"]
    label[feature > 0.5] = LABEL["nose"]
    label[feature < -0.4] = LABEL["ears"]
    label[(lips > 0.45) | (mouth > 0.45)] = LABEL["mouth"]
    label[brow_opacity(identity, x, y, z) > 0.4] = LABEL["brows"]
    if attributes.hair_style == "buzz":
        label[(surface.column("scalp") > 0.25) & (feature > -0.3)] = LABEL["hair"]
    label[cloth > 0] = LABEL["costume"]
    return label
