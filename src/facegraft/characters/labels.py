"""Which region of the face each sampled pixel belongs to."""

from __future__ import annotations

import torch

from facegraft.characters.attributes import Attributes
from facegraft.characters.brows import brow_opacity
from facegraft.characters.identity import Identity
from facegraft.characters.sculpt import MATERIALS
from facegraft.characters.surface import Surface
from facegraft.dataset import REGIONS

LABEL = {name: value for value, name in enumerate(REGIONS)}

MATERIAL_LABEL = torch.tensor(
    [
        LABEL[name]
        for name in ("skin", "eyes", "mouth", "mouth", "skin", "hair", "accessory", "accessory")
    ],
    dtype=torch.uint8,
)
"""Label by material, in the order of `sculpt.MATERIALS`; lashes count as skin."""


def label_pixels(
    surface: Surface, material: torch.Tensor, identity: Identity, attributes: Attributes
) -> torch.Tensor:
    """Labels uint8 (N,) of `dataset.REGIONS` for pixels of any material (uint8 (N,))."""
    label = MATERIAL_LABEL[material.long()]
    if attributes.headwear != "none":
        label[material == MATERIALS.index("hair")] = LABEL["accessory"]
    chosen = torch.nonzero(material == MATERIALS.index("skin")).flatten()
    label[chosen] = _skin_labels(surface.take(chosen), identity, attributes)
    return label


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
