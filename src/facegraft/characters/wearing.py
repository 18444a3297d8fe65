"""Puts hair and clothes that the user brings on a character: a mesh with more triangles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from facegraft.characters.assets import Assets
from facegraft.characters.attributes import Attributes
from facegraft.characters.errors import CharacterError
from facegraft.characters.sculpt import MATERIALS
from facegraft.characters.skins import VARIABLE
from facegraft.characters.surface import COLUMNS
from facegraft.characters.wardrobe import NONE, Item


def dressed(assets: Assets, attributes: Attributes) -> tuple[Assets, Attributes]:
    """The mesh with what the attributes wear, and the attributes of what is left to draw.

    Headwear hides hair that is brought as it hides hair styles. Both are returned as they are
    where nothing that is brought is worn.

    Raises:
        CharacterError: there is no such item.
    """
    if attributes.headwear != NONE and attributes.hair_asset != NONE:
        attributes = replace(attributes, hair_asset=NONE)
    names = {"hair_asset": attributes.hair_asset, "costume_asset": attributes.costume_asset}
    worn = tuple(_item(assets, kind, name) for kind, name in names.items() if name != NONE)
    if not worn:
        return assets, attributes
    if attributes.hair_asset != NONE:
        attributes = replace(attributes, hair_style="bald")
    triangles, material, surface = [assets.triangles], [assets.material], [assets.surface]
    count = len(assets.surface)
    for item in worn:
        triangles.append(item.triangles + count)
        material.append(
            torch.full((len(item.triangles),), MATERIALS.index(item.material), dtype=torch.uint8)
        )
        surface.append(_surface(item, assets.surface.shape[1]))
        count += len(item.follows)
    return (
        replace(
            assets,
            triangles=torch.cat(triangles),
            material=torch.cat(material),
            surface=torch.cat(surface),
            worn=worn,
        ),
        attributes,
    )


def fitted(assets: Assets, base: torch.Tensor | None, body: torch.Tensor) -> list[torch.Tensor]:
    """Vertices (M, 3) of each item that is worn.

    Args:
        base: `deform.Head.base`; body: float32 (V, 3), with its expression and before it turns.
    """
    if not assets.worn or base is None:
        return []
    whole = assets.base.with_body(base, body)
    return [item.fitted(whole) for item in assets.worn]


def first_triangles(assets: Assets) -> list[int]:
    """The first triangle of each item that is worn."""
    lengths = [len(item.triangles) for item in assets.worn]
    before = np.cumsum([0, *lengths[:-1]]) if lengths else np.zeros(0, np.int64)
    return (before + len(assets.triangles) - sum(lengths)).tolist()


def _item(assets: Assets, kind: str, name: str) -> Item:
    items = assets.wardrobe[kind]
    if name not in items:
        known = ", ".join((NONE, *items))
        raise CharacterError(f"unknown {kind} {name!r}; there are: {known} (see {VARIABLE})")
    return items[name]


def _surface(item: Item, columns: int) -> torch.Tensor:
    """Rows of `Assets.surface`: lit by the whole sky, without paint."""
    rows = torch.zeros(len(item.follows), columns)
    rows[:, COLUMNS.index("light")] = 1
    return rows
