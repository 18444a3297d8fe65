"""Who a character is: the shape of each facial region, the iris, the brows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from facegraft.characters.assets import Assets
from facegraft.characters.errors import CharacterError
from facegraft.characters.identity_spread import ONE_SIDED, axis_spread
from facegraft.characters.regions import IDENTITY_REGIONS, region_of

PAINT_REGION = {
    "iris_hue": "eyes",
    "iris_lightness": "eyes",
    "brow_thickness": "brows",
    "brow_arch": "brows",
    "brow_tilt": "brows",
    "brow_gap": "brows",
}
"""Painted identity parameters, each in [-1, 1], and the region that owns them."""

CENTRE = {"eyes/eye_scale": 0.35, "eyes/eye_height2": 0.35, "eyes/eye_height1": 0.2}
"""Axes whose mean is not 0: characters have larger eyes than the mean person."""


@dataclass(frozen=True)
class Identity:
    """A character's face, free of skin, hair and pose.

    Attributes:
        names: axis names (P,), "region/stem", as `Assets.identity_names`.
        axes: float32 (P,) in [-1, 1]; 0 is the mean head.
        iris_hue: -1 brown, 0 green, +1 blue.
        iris_lightness, brow_thickness, brow_arch, brow_tilt, brow_gap: in [-1, 1].
    """

    names: tuple[str, ...]
    axes: np.ndarray
    iris_hue: float = 0.0
    iris_lightness: float = 0.0
    brow_thickness: float = 0.0
    brow_arch: float = 0.0
    brow_tilt: float = 0.0
    brow_gap: float = 0.0

    def __post_init__(self) -> None:
        axes = np.asarray(self.axes, np.float32)
        if axes.shape != (len(self.names),):
            raise CharacterError(f"identity has {axes.shape} axes; expected ({len(self.names)},)")
        paint = [float(getattr(self, name)) for name in PAINT_REGION]
        if not (np.abs(axes) <= 1).all() or not (np.abs(paint) <= 1).all():
            raise CharacterError("identity parameters must lie in [-1, 1]")
        axes.setflags(write=False)
        object.__setattr__(self, "axes", axes)

    def mix(self, other: Identity, regions: Iterable[str]) -> Identity:
        """This identity with the named regions taken from `other`.

        Raises:
            CharacterError: a region is not one of `IDENTITY_REGIONS`, or the axes differ.
        """
        wanted = set(regions)
        unknown = sorted(wanted - set(IDENTITY_REGIONS))
        if unknown:
            known = ", ".join(IDENTITY_REGIONS)
            raise CharacterError(f"unknown region {unknown[0]!r}; choose from {known}")
        if self.names != other.names:
            raise CharacterError("identities come from different assets; load them alike")
        taken = np.array([region_of(name) in wanted for name in self.names])
        paint = {
            name: getattr(other, name) for name, region in PAINT_REGION.items() if region in wanted
        }
        return replace(self, axes=np.where(taken, other.axes, self.axes), **paint)


def sample_identity(assets: Assets, rng: np.random.Generator) -> Identity:
    """Draw a character: axes about normal, spread as `axis_spread` says, clipped to [-1, 1]."""
    names = assets.identity_names
    axes = rng.normal(0, 1, len(names)) * axis_spread(names)
    one_sided = np.array([name.endswith(ONE_SIDED) for name in names])
    seldom = rng.random(len(names)) < 0.3
    axes = np.where(one_sided, np.abs(axes) * seldom, axes)
    ears = np.array([name.startswith("ears/ear_shape") for name in names])
    axes = np.where(ears, np.abs(axes) * seldom, axes)
    for k, name in enumerate(names):
        axes[k] += CENTRE.get(name, 0.0)
    axes = _with_macros(names, axes, rng)
    paint = {name: float(np.clip(rng.normal(0, 0.75), -1, 1)) for name in PAINT_REGION}
    paint["iris_hue"] = float(rng.uniform(-1, 1))
    return Identity(names, np.clip(axes, -1, 1).astype(np.float32), **paint)


def _with_macros(names: tuple[str, ...], axes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One gender, age and descent for the whole head, with a little freedom per region."""
    race = rng.dirichlet([0.5, 0.5, 0.5])
    whole = {
        "gender": 2 * rng.beta(0.45, 0.45) - 1,
        "age": 1.4 * rng.beta(0.8, 1.8) - 0.6,
        "african": 1.6 * race[0] - 0.4,
        "asian": 1.6 * race[1] - 0.4,
    }
    free = rng.normal(0, 0.15, len(names))
    values = [
        whole[name.split("/macro_")[1]] + free[k] if "/macro_" in name else axes[k]
        for k, name in enumerate(names)
    ]
    return np.array(values)


def identity_values(identity: Identity) -> dict[str, float]:
    """Every parameter by name, for the manifest."""
    values = {name: float(value) for name, value in zip(identity.names, identity.axes, strict=True)}
    return values | {name: float(getattr(identity, name)) for name in PAINT_REGION}


def identity_code(assets: Assets, identity: Identity) -> np.ndarray:
    """What the identity looks like, float32 (C,), about unit variance.

    The principal components of visible shape per group, with the group's painted parameters;
    `identity_code_groups` says which entries belong to which group.
    """
    halves = np.concatenate([np.maximum(identity.axes, 0), np.maximum(-identity.axes, 0)])
    # float64 and a fixed order: BLAS may round differently from one machine to the next.
    shape = np.array([float((row * halves).sum()) for row in assets.code_basis.astype(np.float64)])
    parts = []
    for group, rows in assets.code_groups.items():
        parts.append(shape[rows])
        owned = [name for name, region in PAINT_REGION.items() if region == group]
        parts.append(np.array([2.0 * getattr(identity, name) for name in owned]))
    return np.concatenate(parts).astype(np.float32)


def identity_code_groups(assets: Assets) -> dict[str, slice]:
    """Which entries of `identity_code` belong to face_shape, eyes, brows, nose and mouth."""
    groups: dict[str, slice] = {}
    first = 0
    for group, rows in assets.code_groups.items():
        painted = sum(region == group for region in PAINT_REGION.values())
        stop = first + rows.stop - rows.start + painted
        groups[group] = slice(first, stop)
        first = stop
    return groups


IDENTITY_CODE_GROUPS = identity_code_groups
"""The name that the shared interface uses."""
