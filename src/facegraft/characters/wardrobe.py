"""Hair and clothes that the user brings, in MakeHuman's format: a folder for each.

Below the folder that `FACEGRAFT_ASSETS` names, `hair/` and `clothes/` hold folders of one or more
`.mhclo` with their `.obj`, `.mhmat` and picture. Each `.mhclo` is one item.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from facegraft.characters.base_mesh import BaseMesh
from facegraft.characters.errors import CharacterError
from facegraft.characters.normals import Fans, find_fans
from facegraft.characters.proxies import Proxy, inside, read_lines, read_proxy
from facegraft.characters.textures import Texture, read_texture
from facegraft.characters.wavefront import read_mesh

NONE = "none"
"""The word for no item."""

KINDS = {"hair": "hair_asset", "clothes": "costume_asset"}
"""Folder -> the attribute that names its items, which is also their material."""

LOWEST = {"hair": 6.0, "clothes": 4.0}
HIGHEST = {"hair": 9.9, "clothes": 5.6}
"""An item has a vertex between these heights on the mean head (decimetres): no shoes, no hats."""


@dataclass(frozen=True)
class Item:
    """A mesh (M vertices, T triangles) that is fitted to the base mesh.

    Attributes:
        material: "hair_asset" or "costume_asset".
        proxy: how it is bound to the base mesh.
        triangles: int64 (T, 3); corner_texture: float32 (3, 2, T), as in `Assets`.
        fans: the triangles that meet at each vertex.
        follows: float32 (M,), how far a vertex follows the head's rotation.
        texture: its diffuse map.
        hidden: int64, triangles of the body that it covers.
    """

    material: str
    proxy: Proxy
    triangles: torch.Tensor
    corner_texture: torch.Tensor
    fans: Fans
    follows: torch.Tensor
    texture: Texture
    hidden: np.ndarray

    def texture_place(self, triangle: np.ndarray, weights: np.ndarray) -> torch.Tensor:
        """Texture coordinates float32 (2, N) at weights (3, N) within triangles int64 (N,)."""
        chosen = torch.from_numpy(triangle)
        place = torch.zeros(2, len(triangle))
        for values, weight in zip(self.corner_texture, torch.from_numpy(weights), strict=True):
            place += values.index_select(1, chosen) * weight
        return place

    def fitted(self, base: torch.Tensor) -> torch.Tensor:
        """Vertices float32 (M, 3) on a base mesh (B, 3)."""
        return fit(self.proxy, base)


def fit(proxy: Proxy, base: torch.Tensor) -> torch.Tensor:
    """Where a proxy's vertices lie on a base mesh float32 (B, 3): float32 (M, 3)."""
    corners = base[torch.from_numpy(proxy.index)]
    weight = torch.from_numpy(proxy.weight)[..., None]
    # Written out: a sum may round differently with the number of threads.
    place = (
        corners[:, 0] * weight[:, 0] + corners[:, 1] * weight[:, 1] + corners[:, 2] * weight[:, 2]
    )
    scale = torch.ones(3)
    for axis, known in enumerate(proxy.scales):
        if known is not None:
            first, second, length = known
            scale[axis] = (base[first, axis] - base[second, axis]).abs() / length
    return place + torch.from_numpy(proxy.offset) * scale


def load_wardrobe(
    root: Path | None, base: BaseMesh, body: np.ndarray
) -> dict[str, dict[str, Item]]:
    """The items by attribute ("hair_asset", "costume_asset") and name.

    Args:
        root: the folder that holds `hair/` and `clothes/`; either may be missing.
        body: int64 (T, 3), the rendered body's triangles, corners as base vertices.

    Raises:
        CharacterError: a file cannot be used.
    """
    found: dict[str, dict[str, Item]] = {word: {} for word in KINDS.values()}
    for kind, attribute in KINDS.items():
        folder = root / kind if root else None
        if folder is None or not folder.is_dir():
            continue
        for entry in sorted(path for path in folder.iterdir() if path.is_dir()):
            for path in _proxies(entry):
                if path.stem in found[attribute] or path.stem == NONE:
                    raise CharacterError(f"{path}: the name {path.stem} is taken; rename the file")
                found[attribute][path.stem] = _item(path, kind, base, body)
    return found


def _proxies(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.mhclo"))
    if not found:
        raise CharacterError(f"{folder}: holds no .mhclo; put MakeHuman's files there or remove it")
    return found


def _item(path: Path, kind: str, base: BaseMesh, body: np.ndarray) -> Item:
    proxy = read_proxy(path)
    mesh = read_mesh(proxy.mesh, "export it anew from MakeHuman's tools")
    if len(mesh.vertices) != len(proxy.index):
        raise CharacterError(
            f"{path}: binds {len(proxy.index)} vertices, but {proxy.mesh.name} has "
            f"{len(mesh.vertices)}; export both together"
        )
    height = fit(proxy, base.rest)[:, 1]
    if not ((height > LOWEST[kind]) & (height < HIGHEST[kind])).any():
        raise CharacterError(f"{path}: no part of it is {kind} that a portrait shows; remove it")
    triangles = torch.from_numpy(mesh.triangles)
    weight = torch.from_numpy(proxy.weight)
    follows = (base.head_weight[torch.from_numpy(proxy.index)] * weight).sum(dim=1).clamp(0, 1)
    return Item(
        KINDS[kind],
        proxy,
        triangles,
        torch.from_numpy(np.ascontiguousarray(mesh.corner_texture.transpose(1, 2, 0))),
        find_fans(triangles, len(mesh.vertices)),
        follows,
        _texture(proxy),
        np.flatnonzero(np.isin(body, proxy.hidden).all(axis=1)),
    )


def _texture(proxy: Proxy) -> Texture:
    """The diffuse map that the item's material names; its alpha counts unless it says no."""
    lines = [line.split(None, 1) for line in read_lines(proxy.material, "material")]
    words = {line[0]: line[1] for line in lines if len(line) == 2}
    named = words.get("diffuseTexture")
    if not named:
        raise CharacterError(f"{proxy.material}: names no diffuseTexture; give it a picture")
    transparent = words.get("transparent", "True").strip().lower() not in ("false", "0", "no")
    return read_texture(inside(proxy.material, named, proxy.path), transparent=transparent)
