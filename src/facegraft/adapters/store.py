"""The dataset on disk: packed grids that training maps into memory, and a Parquet manifest.

data/manifest.parquet            one row per image, columns of `MANIFEST` and parameters
data/grids/<grid>.images.npy     uint8 (I, A, 3, S, S)
data/grids/<grid>.regions.npy    uint8 (I, A, S, S)
data/grids/<grid>.anchors.npy    float16 (I, A, K, 3); may be absent
data/albums/                     imported pictures, see `adapters.albums`
data/groups.json                 what codes and anchors mean: "identity" and "attribute", each name
                                 -> [start, stop] in the code; "anchor_set", these points' name;
                                 "strokes", how many, the last ones, are painted outlines
data/preview.png                 what a person browses
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facegraft.core.atomic import replacing
from facegraft.core.errors import FacegraftError
from facegraft.data.grids import ALIGNMENT_POINTS, Grid, Mix

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SPLITS = ("train", "validation", "test")
SUBJECT_KINDS = ("game_character", "cartoon", "real_person")

MANIFEST = {
    "key": "string",  # "train-003/i07/a02"
    "shard": "string",  # "grids/train-003.images.npy", relative to data/
    "row": "int32",  # identity's place in the grid
    "column": "int32",  # attribute set's place in the grid
    "sha256": "string",  # of the cell's raw bytes, uint8 (3, S, S)
    "size": "int32",  # pixels
    "split": "string",
    "grid": "string",
    "identity_id": "string",
    "attribute_id": "string",
    "subject_kind": "string",
    "licence": "string",  # SPDX id
    "consent": "string",  # reference to the consent; required for real_person, else null
    "mix_base": "string",  # identity that a mixed one is made of; else null
    "mix_donor": "string",  # identity that lent it one sub-dimension; else null
    "mix_region": "string",  # that sub-dimension, e.g. "eyes"; else null
    "landmarks": "floats",  # 10: x, y of data.grids.ALIGNMENT_POINTS
    "identity_code": "floats",
    "attribute_code": "floats",
}
"""The manifest's columns; any further column is a parameter, "identity.*" or "attribute.*"."""

GROUPS = "groups.json"

MEND = "run `facegraft data` to render or fetch the dataset"


class DataError(FacegraftError):
    """The dataset cannot be used; the message is one line that names the file and the mend."""


def sha256(cell: np.ndarray) -> str:
    """The digest of an image's raw bytes, uint8 (3, S, S)."""
    return hashlib.sha256(np.ascontiguousarray(cell).tobytes()).hexdigest()


def shard_name(grid: str) -> str:
    return f"grids/{grid}.images.npy"


def write_grid(data_dir: Path, grid: Grid) -> None:
    """Write a grid's arrays below `data_dir`, each atomically."""
    arrays: dict[str, np.ndarray] = {
        "images": grid.images.astype(np.uint8, copy=False),
        "regions": grid.regions.astype(np.uint8, copy=False),
        "anchors": grid.anchors.astype(np.float16, copy=False),
    }
    for kind, array in arrays.items():
        if array.size:
            with replacing(data_dir / "grids" / f"{grid.name}.{kind}.npy") as temporary:
                np.save(temporary, np.ascontiguousarray(array))
    if grid.identity_groups or grid.attribute_groups or grid.anchor_set:
        write_groups(data_dir, grid)


def write_groups(data_dir: Path, grid: Grid) -> None:
    """Write data/groups.json: what codes and anchors of all grids mean."""
    meaning = {
        "identity": grid.identity_groups,
        "attribute": grid.attribute_groups,
        "anchor_set": grid.anchor_set,
        "strokes": grid.strokes,
    }
    with replacing(data_dir / GROUPS) as temporary:
        temporary.write_text(json.dumps(meaning, indent=2) + "\n", encoding="utf-8")


def read_groups(data_dir: Path) -> dict[str, Any]:
    """What `write_groups` wrote, as arguments of `Grid`; empty where the dataset has none.

    Raises:
        DataError: the file is damaged.
    """
    path = data_dir / GROUPS
    if not path.exists():
        return {}
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        groups = {
            f"{side}_groups": {
                name: (int(start), int(stop)) for name, (start, stop) in held[side].items()
            }
            for side in ("identity", "attribute")
        }
        points = {
            "anchor_set": str(held.get("anchor_set", "")),
            "strokes": int(held.get("strokes", 0)),
        }
        return groups | points
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: damaged ({error}); {MEND}") from error


def manifest_rows(
    grid: Grid,
    split: str,
    *,
    identities: Sequence[Mapping[str, float]] = (),
    attributes: Sequence[Mapping[str, float]] = (),
    subject_kind: str = "game_character",
    licence: str,
    consent: str | None = None,
) -> pd.DataFrame:
    """A grid's part of the manifest, one row per cell.

    Args:
        identities: per row of the grid, all parameters by name (may be empty).
        attributes: per column of the grid, likewise.
        consent: reference to the person's consent, for `real_person`.
    """
    import pandas as pd

    rows = []
    mixes = {mix.row: mix for mix in grid.mixes}
    for i, identity_id in enumerate(grid.identity_ids):
        mix = mixes.get(i)
        for a, attribute_id in enumerate(grid.attribute_ids):
            row: dict[str, object] = {
                "key": grid.keys[i, a],
                "shard": shard_name(grid.name),
                "row": i,
                "column": a,
                "sha256": sha256(grid.images[i, a]),
                "size": grid.size,
                "split": split,
                "grid": grid.name,
                "identity_id": identity_id,
                "attribute_id": attribute_id,
                "subject_kind": subject_kind,
                "licence": licence,
                "consent": consent,
                "mix_base": grid.identity_ids[mix.base] if mix else None,
                "mix_donor": grid.identity_ids[mix.donor] if mix else None,
                "mix_region": mix.region if mix else None,
                "landmarks": np.asarray(grid.landmarks[i, a], np.float32).ravel(),
                "identity_code": np.asarray(grid.identity_code[i], np.float32),
                "attribute_code": np.asarray(grid.attribute_code[a], np.float32),
            }
            row |= {f"identity.{k}": v for k, v in (identities[i] if identities else {}).items()}
            row |= {f"attribute.{k}": v for k, v in (attributes[a] if attributes else {}).items()}
            rows.append(row)
    return pd.DataFrame(rows)


def write_manifest(data_dir: Path, manifest: pd.DataFrame) -> None:
    """Write data/manifest.parquet atomically; parameters are stored as float32."""
    write_rows(manifest_path(data_dir), manifest)


def write_rows(path: Path, rows: pd.DataFrame) -> None:
    """Write manifest rows to any Parquet file, atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {
        name: pa.array(list(rows[name]), type=_arrow_type(kind), from_pandas=True)
        for name, kind in MANIFEST.items()
    }
    for name in rows.columns:
        if name not in arrays:
            arrays[name] = pa.array(rows[name].to_numpy(np.float32), type=pa.float32())
    with replacing(path) as temporary:
        pq.write_table(pa.table(arrays), temporary, compression="zstd")


def manifest_path(data_dir: Path) -> Path:
    return data_dir / "manifest.parquet"


def read_manifest(
    data_dir: Path, columns: Iterable[str] | None = None, *, without: Iterable[str] = ()
) -> pd.DataFrame:
    """The manifest, or the named columns of it, or all but those of `without`.

    Raises:
        DataError: the file is missing, damaged, or lacks a column of `MANIFEST`.
    """
    return read_rows(manifest_path(data_dir), columns, without=without)


def read_rows(
    path: Path, columns: Iterable[str] | None = None, *, without: Iterable[str] = ()
) -> pd.DataFrame:
    """Rows that `write_rows` wrote; raises as `read_manifest` does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = None if columns is None else list(columns)
    try:
        present = pq.read_schema(path).names
        missing = sorted(set(wanted if wanted is not None else MANIFEST) - set(present))
        if missing:
            raise DataError(f"{path}: lacks the column {', '.join(missing)}; {MEND}")
        wanted = wanted if wanted is not None else [c for c in present if c not in set(without)]
        table = pq.read_table(path, columns=wanted)
        # Hundreds of parameter columns are taken as they are, not copied into one block.
        frame: pd.DataFrame = table.to_pandas(split_blocks=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: not found; {MEND}") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: no Parquet file that can be read; {MEND}") from error
    return frame


def load_grids(data_dir: Path, split: str) -> list[Grid]:
    """The grids of a split, in order of name, their images mapped into memory, read-only.

    Raises:
        DataError: the manifest or a shard is missing, damaged or of another shape, or the split
            holds no grid.
    """
    manifest = read_manifest(data_dir, MANIFEST)
    grids = manifest[manifest["shard"].str.startswith("grids/", na=False)]  # albums have no truth
    chosen = grids[grids["split"] == split]
    if chosen.empty:
        held = ", ".join(sorted(grids["split"].dropna().unique())) or "none"
        raise DataError(
            f"{manifest_path(data_dir)}: no grid of split {split!r} (it holds: {held}); {MEND}"
        )
    groups = read_groups(data_dir)
    return [
        replace(_grid(data_dir, str(name), rows), **groups)
        for name, rows in chosen.groupby("grid", sort=True)
    ]


def load_image(data_dir: Path, key: str) -> np.ndarray:
    """One image of the dataset by its key, uint8 (3, S, S).

    Raises:
        DataError: the key is unknown (the message suggests close ones), or the shard is unusable.
    """
    places = read_manifest(data_dir, ("key", "shard", "row", "column"))
    found = places[places["key"] == key]
    if found.empty:
        raise DataError(_unknown_id(data_dir, key, places["key"]))
    place = found.iloc[0]
    images = open_shard(data_dir / str(place["shard"]))
    try:
        return np.array(images[int(place["row"]), int(place["column"])])
    except IndexError as error:
        raise DataError(
            f"{data_dir / str(place['shard'])}: holds no cell for {key} "
            f"(shape {images.shape}); {MEND}"
        ) from error


def open_shard(path: Path, kind: type[np.generic] = np.uint8) -> np.ndarray:
    """A packed array, mapped into memory read-only.

    Args:
        kind: the element type that it must have.

    Raises:
        DataError: the file is missing, truncated, or no array of that type.
    """
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: not found; run `dvc checkout`, or {MEND}") from error
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f"{path}: truncated or no NumPy array; delete it and run `dvc checkout`, or {MEND}"
        ) from error
    if array.dtype != kind:
        wanted = np.dtype(kind).name
        raise DataError(f"{path}: holds {array.dtype} instead of {wanted}; {MEND}")
    return array


def cell_at(shard: np.ndarray, row: int, column: int) -> np.ndarray:
    """One picture of a shard: of a grid (I, A, C, H, W), or by its row alone of (N, C, H, W).

    Raises:
        IndexError: the shard holds no such place.
    """
    return np.array(shard[row, column] if shard.ndim == 5 else shard[row])


def _grid(data_dir: Path, name: str, rows: pd.DataFrame) -> Grid:
    """One grid from its manifest rows and shards."""
    rows = rows.sort_values(["row", "column"])
    shape = int(rows["row"].max()) + 1, int(rows["column"].max()) + 1
    size = int(rows["size"].iloc[0])
    if len(rows) != shape[0] * shape[1]:
        raise DataError(
            f"{manifest_path(data_dir)}: grid {name} lists {len(rows)} images for "
            f"{shape[0]} x {shape[1]} cells; {MEND}"
        )
    images_path = data_dir / str(rows["shard"].iloc[0])
    images, regions_path = open_shard(images_path), data_dir / "grids" / f"{name}.regions.npy"
    regions = open_shard(regions_path)
    _require_shape(images_path, images, (*shape, 3, size, size))
    _require_shape(regions_path, regions, (*shape, size, size))
    anchors = _anchors(data_dir / "grids" / f"{name}.anchors.npy", shape)
    first_row, first_column = rows[rows["column"] == 0], rows[rows["row"] == 0]
    return Grid(
        name=name,
        images=images,
        regions=regions,
        landmarks=_stacked(rows["landmarks"]).reshape(*shape, len(ALIGNMENT_POINTS), 2),
        anchors=anchors,
        identity_ids=tuple(first_row["identity_id"]),
        attribute_ids=tuple(first_column["attribute_id"]),
        identity_code=_stacked(first_row["identity_code"]),
        attribute_code=_stacked(first_column["attribute_code"]),
        keys=rows["key"].to_numpy(object).reshape(shape),
        mixes=_mixes(first_row),
    )


def _anchors(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """The grid's surface points; none where the file is absent, as for imported grids."""
    if not path.exists():
        return np.zeros((*shape, 0, 3), np.float16)
    anchors = open_shard(path, np.float16)
    _require_shape(path, anchors, (*shape, anchors.shape[2] if anchors.ndim == 4 else 0, 3))
    return anchors


def _mixes(first_row: pd.DataFrame) -> tuple[Mix, ...]:
    """The mixed rows of a grid, from its manifest rows of column 0."""
    place = {str(name): row for row, name in enumerate(first_row["identity_id"])}
    mixed = first_row[first_row["mix_region"].notna()]
    return tuple(
        Mix(place[str(own)], place[str(base)], place[str(donor)], str(region))
        for own, base, donor, region in zip(
            *(mixed[name] for name in ("identity_id", "mix_base", "mix_donor", "mix_region")),
            strict=True,
        )
    )


def _require_shape(path: Path, array: np.ndarray, expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise DataError(f"{path}: shape {array.shape}, the manifest says {expected}; {MEND}")


def _stacked(column: pd.Series) -> np.ndarray:
    return np.stack([np.asarray(value, np.float32) for value in column])


def _unknown_id(data_dir: Path, key: str, keys: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, list(keys), n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else f"ids look like {keys[0]}"
    return f"unknown id {key!r}: not in {manifest_path(data_dir)}; {hint}"


def _arrow_type(kind: str) -> pa.DataType:
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "string": pa.string(),
        "int32": pa.int32(),
        "floats": pa.list_(pa.float32()),
    }
    return types[kind]
