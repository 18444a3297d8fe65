"""Reads MakeHuman's proxies (.mhclo): a mesh of hair or clothes bound to the base mesh."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegraft.characters.base_mesh import VERTICES
from facegraft.characters.errors import CharacterError

BASE = "hm08"
SECTIONS = ("verts", "weights", "delete_verts")
SCALES = ("x_scale", "y_scale", "z_scale")


@dataclass(frozen=True)
class Proxy:
    """What a .mhclo says.

    Attributes:
        path: the file.
        mesh, material: paths of the .obj and the .mhmat.
        index: int64 (M, 3), base vertices that each vertex lies between.
        weight: float32 (M, 3), their shares, adding up to 1.
        offset: float32 (M, 3), from there, decimetres on the base mesh.
        scales: for x, y, z the two base vertices whose distance along that axis scales the
            offset, and the distance that the file was made for; None if it does not scale.
        hidden: int64, base vertices that it covers.
    """

    path: Path
    mesh: Path
    material: Path
    index: np.ndarray
    weight: np.ndarray
    offset: np.ndarray
    scales: tuple[tuple[int, int, float] | None, ...]
    hidden: np.ndarray


def read_proxy(path: Path) -> Proxy:
    """Read a .mhclo.

    Raises:
        CharacterError: a line cannot be read, names a vertex that the base mesh lacks, or a
            file is missing that it names.
    """
    header, rows = _sections(path)
    if header.get("basemesh", [BASE]) != [BASE]:
        raise CharacterError(f"{path}: made for another base mesh; export it for {BASE}")
    if any("shear_" in key for key in header):
        raise CharacterError(f"{path}: sheared, which is not read; export it with x_scale")
    try:
        index, weight, offset = _bindings(rows["verts"])
        scales = tuple(_scale(header.get(name)) for name in SCALES)
        hidden = _ranges(rows["delete_verts"])
    except ValueError as error:
        raise CharacterError(f"{path}: {error}; export it anew from MakeHuman's tools") from error
    named = [vertex for scale in scales if scale for vertex in scale[:2]]
    highest = max(index.max(initial=0), hidden.max(initial=0), *named, 0)
    if highest >= VERTICES or min(index.min(initial=0), hidden.min(initial=0), *named, 0) < 0:
        raise CharacterError(
            f"{path}: names vertex {highest}, but {BASE} has {VERTICES}; export it for {BASE}"
        )
    return Proxy(
        path,
        _beside(path, header, "obj_file", ".obj"),
        _beside(path, header, "material", ".mhmat"),
        index,
        weight,
        offset,
        scales,
        hidden,
    )


def inside(path: Path, named: str, owner: Path) -> Path:
    """A file that `path` names, which must lie in the folder of `owner`.

    Raises:
        CharacterError: it lies elsewhere.
    """
    found = path.parent / named.strip()
    if not found.resolve().is_relative_to(owner.parent.resolve()):
        raise CharacterError(f"{path}: {named.strip()} lies outside its folder; move it there")
    return found


def read_lines(path: Path, kind: str) -> list[str]:
    """The lines of a text file without comments and empty ones.

    Raises:
        CharacterError: the file is missing or no text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise CharacterError(f"{path}: not found; put the {kind} there") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CharacterError(f"{path}: no MakeHuman {kind}; remove the file") from error
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _sections(path: Path) -> tuple[dict[str, list[str]], dict[str, list[list[str]]]]:
    """Words by key, and the rows of each section."""
    header: dict[str, list[str]] = {}
    rows: dict[str, list[list[str]]] = {name: [] for name in SECTIONS}
    section = None
    for line in read_lines(path, "proxy"):
        key, *words = line.split()
        if key in SECTIONS:
            section = key
        elif section is None or key[0].isalpha():
            section = None
            header[key] = words
        else:
            rows[section].append([key, *words])
    return header, rows


def _bindings(rows: list[list[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A vertex on one base vertex ("17"), or between three with an offset (nine numbers)."""
    if not rows:
        raise ValueError("binds no vertices")
    table = np.zeros((len(rows), 9))
    for place, row in enumerate(rows):
        if len(row) not in (1, 9):
            raise ValueError(f"vertex {place} has {len(row)} numbers, not 1 or 9")
        table[place, : len(row)] = [float(word) for word in row]
        if len(row) == 1:
            table[place, 1:4] = (table[place, 0], table[place, 0], 1)
    if not np.isfinite(table).all():
        raise ValueError("holds a number that is not finite")
    return (
        table[:, :3].astype(np.int64),
        table[:, 3:6].astype(np.float32),
        table[:, 6:].astype(np.float32),
    )


def _scale(words: list[str] | None) -> tuple[int, int, float] | None:
    if words is None:
        return None
    if len(words) != 3 or not float(words[2]) > 0:
        raise ValueError(f"cannot be scaled by {' '.join(words)}")
    return int(words[0]), int(words[1]), float(words[2])


def _ranges(rows: list[list[str]]) -> np.ndarray:
    """Vertices of "3 - 5 9": 3, 4, 5, 9."""
    found: list[int] = []
    after_dash = False
    for word in (word for row in rows for word in row):
        if word == "-":
            after_dash = True
        elif after_dash and found:
            found.extend(range(found[-1] + 1, min(int(word), VERTICES) + 1))
            after_dash = False
        else:
            found.append(int(word))
    return np.array(found, np.int64)


def _beside(path: Path, header: dict[str, list[str]], key: str, suffix: str) -> Path:
    """The file that `key` names, else the only one of its kind in the folder."""
    words = header.get(key)
    if words:
        return inside(path, " ".join(words), path)
    found = sorted(path.parent.glob(f"*{suffix}"))
    if len(found) != 1:
        raise CharacterError(f"{path}: names no {key}; put one {suffix} beside it")
    return found[0]
