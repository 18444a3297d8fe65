"""What a view of a posed mesh shows: which triangles are drawn, and which lies before which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from facegraft.characters.assets import Assets
from facegraft.characters.attributes import Attributes
from facegraft.characters.camera import View
from facegraft.characters.deform import Posed, drawn_sheet
from facegraft.characters.raster import Cutout, Fragments, rasterise
from facegraft.characters.sculpt import MATERIALS
from facegraft.characters.wearing import first_triangles

TWO_SIDED = ("hair", "lash", "lens", "hair_asset", "costume_asset")
"""Materials that show their back."""


@dataclass(frozen=True)
class Seen:
    """A mesh in a view.

    Attributes:
        fragments: the samples that show something, and what.
        screen: float64 (N, 2), where each vertex lies, pixels.
        distance: float64 (N,), decimetres from the camera.
        order: float64 (N,), `distance` with `Assets.recess`, by which surfaces hide each other.
    """

    fragments: Fragments
    screen: np.ndarray
    distance: np.ndarray
    order: np.ndarray


def see(assets: Assets, attributes: Attributes, view: View, posed: Posed) -> Seen:
    """Project a posed mesh and find what each sample of the view shows."""
    screen, distance = view.project(posed.vertices.numpy())
    order = distance.copy()
    order[: len(assets.recess)] += _recess(assets, attributes)
    material = assets.material.numpy()
    drawn = np.flatnonzero(~_is_one_of(material, _left_out(attributes)))
    if assets.worn:
        drawn = drawn[~np.isin(drawn, np.concatenate([item.hidden for item in assets.worn]))]
    both = _is_one_of(material[drawn], TWO_SIDED)
    found = rasterise(
        screen, order, assets.triangles.numpy()[drawn], both, view.size, _cutout(assets, drawn)
    )
    triangle = torch.from_numpy(drawn[found.triangle.numpy()])
    fragments = Fragments(found.pixel, triangle, found.weights, found.depth)
    return Seen(fragments, screen, distance, order)


def _cutout(assets: Assets, drawn: np.ndarray) -> Cutout | None:
    """Where the transparent textures of what is worn have holes, among the triangles drawn."""
    if all(item.texture.alpha is None for item in assets.worn):
        return None
    starts = first_triangles(assets)

    def shows(triangle: np.ndarray, weights: np.ndarray) -> np.ndarray:
        found = drawn[triangle]
        out = np.zeros(len(found), bool)
        for start, item in zip(starts, assets.worn, strict=True):
            own = np.flatnonzero((found >= start) & (found < start + len(item.triangles)))
            place = item.texture_place(found[own] - start, weights[:, own])
            out[own] = item.texture.shows(place).numpy()
        return out

    return Cutout(int(np.searchsorted(drawn, starts[0])), shows)


def _recess(assets: Assets, attributes: Attributes) -> np.ndarray:
    """How much further away each vertex of the body is ordered than it is, float32 (V,)."""
    recess = assets.recess.numpy()
    out = attributes.expression.get("tongueOut", 0.0)
    if out:
        recess = recess.copy()
        recess[assets.tongue_vertices.numpy()] *= 1 - out
    return recess


def _left_out(attributes: Attributes) -> tuple[str, ...]:
    absent = {
        "hair": drawn_sheet(attributes) is None,
        "frame": attributes.glasses == "none",
        "lens": attributes.glasses != "shades",
    }
    return tuple(name for name, left_out in absent.items() if left_out)


def _is_one_of(material: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    wanted = np.zeros(len(MATERIALS), bool)
    wanted[[MATERIALS.index(name) for name in names]] = True
    return wanted[material]
