"""Measure every picture of the dataset for the gate, in several processes, each picture once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facegraft.adapters import store
from facegraft.adapters.judge import Judge
from facegraft.adapters.store import DataError
from facegraft.core.atomic import replacing
from facegraft.core.parallel import parallel_map
from facegraft.core.progress import Progress
from facegraft.imaging.perceptual_hash import fingerprint
from facegraft.imaging.quality import brightness, clipped, sharpness

MEASURES = (
    "pixel_std", "brightness", "clipped", "sharpness", "fingerprint",
    "face_found", "face_score", "face_fraction",
)  # fmt: skip
"""What depends on a picture's bytes alone, and is remembered by their sha256."""

COLUMNS = (
    "key", "decodable", "problem", "channels", "width", "height", "size", "sha256_matches",
    *MEASURES,
)  # fmt: skip

PARALLEL_FROM = 256
"""New pictures from which starting processes pays."""

NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(MEASURES, np.nan),
    "pixel_std": 0.0,
    "fingerprint": None,
    "face_found": False,
}
"""`MEASURES` of a picture that cannot be read."""

Measures = Mapping[str, Mapping[str, Any]]
"""sha256 of a picture's bytes -> its `MEASURES`."""


@dataclass(frozen=True)
class Shard:
    """The manifest's rows of one packed file."""

    path: Path
    rows: tuple[Mapping[str, Any], ...]


def image_statistics(
    data_dir: Path, manifest: pd.DataFrame, memory: Path, report: Progress, threads: int = 0
) -> pd.DataFrame:
    """One row per manifest row, columns `COLUMNS`, in the manifest's order.

    Bytes are always read and hashed; what is slow (the face) is remembered in the Parquet file
    `memory` by sha256.

    Args:
        threads: `runtime.threads`.

    Raises:
        WorkerDied: a process was killed.
    """
    known = _remembered(memory)
    shards = _shards(data_dir, manifest)
    missing = {str(digest) for digest in manifest["sha256"]} - known.keys()
    rows: list[dict[str, Any]] = []
    todo = [(shard, _relevant(shard, known)) for shard in shards]
    in_process = len(missing) <= PARALLEL_FROM
    for part in parallel_map(
        measure_shard, todo, task="measuring pictures", in_process=in_process, threads=threads
    ):
        rows += part
        report(len(rows), len(manifest), "pictures measured")
    frame = pd.DataFrame(rows, columns=[*COLUMNS, "content_sha256", "place"])
    _remember(memory, frame, known)
    return frame.sort_values("place", ignore_index=True)[list(COLUMNS)]


def measure_shard(shard: Shard, known: Measures) -> list[dict[str, Any]]:
    """Statistics of one shard's pictures; an unreadable file makes them all undecodable."""
    try:
        images = store.open_shard(shard.path)
    except DataError as error:
        problem = str(error).split(";")[0].removeprefix(f"{shard.path.parent}/")
        return [_undecodable(row, problem) for row in shard.rows]
    return [_measure(images, row, known) for row in shard.rows]


def _measure(images: np.ndarray, row: Mapping[str, Any], known: Measures) -> dict[str, Any]:
    try:
        cell = store.cell_at(images, int(row["row"]), int(row["column"]))
    except (IndexError, ValueError, TypeError):  # beyond the array, or the manifest has no number
        return _undecodable(row, f"no such cell in {images.shape}")
    if cell.ndim != 3:
        return _undecodable(row, f"a cell of shape {cell.shape}")
    digest = hashlib.sha256(cell.tobytes()).hexdigest()
    measures = known.get(digest) or _look_at(cell)
    return {
        "key": row["key"],
        "decodable": True,
        "problem": "",
        "channels": cell.shape[0],
        "width": cell.shape[2],
        "height": cell.shape[1],
        "size": row["size"],
        "sha256_matches": digest == row["sha256"],
        "content_sha256": digest,
        "place": row["place"],
        **measures,
    }


def _look_at(cell: np.ndarray) -> dict[str, Any]:
    """`MEASURES` of uint8 (C, H, W)."""
    face = _judge().detect(cell.transpose(1, 2, 0)) if cell.shape[0] == 3 else None
    return {
        "pixel_std": float(cell.mean(axis=0).std()),
        "brightness": brightness(cell),
        "clipped": clipped(cell),
        "sharpness": sharpness(cell),
        "fingerprint": fingerprint(cell),
        "face_found": face is not None,
        "face_score": face.score if face else np.nan,
        "face_fraction": min(1.0, face.box[3] / cell.shape[1]) if face else np.nan,
    }


def _undecodable(row: Mapping[str, Any], problem: str) -> dict[str, Any]:
    return {
        "key": row["key"],
        "decodable": False,
        "problem": problem,
        "channels": 0,
        "width": 0,
        "height": 0,
        "size": row["size"],
        "sha256_matches": False,
        "content_sha256": None,
        "place": row["place"],
        **NOTHING,
    }


@cache
def _judge() -> Judge:
    """The detector of this process, on one thread: the processes share the cores already.

    At 128 pixels it takes less than half the time that it takes at 224.
    """
    return Judge(crop_sides=(128, 224), threads=1)


def _shards(data_dir: Path, manifest: pd.DataFrame) -> Iterator[Shard]:
    """The manifest's rows by file; a row without a file is one that cannot be read."""
    rows = manifest[["key", "row", "column", "size", "sha256"]].reset_index(drop=True)
    rows["place"] = rows.index
    for name, group in rows.groupby(manifest["shard"].fillna("").to_numpy(), sort=True):
        yield Shard(data_dir / str(name), tuple(group.to_dict("records")))


def _relevant(shard: Shard, known: Measures) -> Measures:
    digests = {row["sha256"] for row in shard.rows}
    return {digest: known[digest] for digest in digests & known.keys()}


def _remembered(memory: Path) -> dict[str, Mapping[str, Any]]:
    """Measures by sha256; a file that cannot be read is measured anew."""
    try:
        frame = pd.read_parquet(memory)
        records = frame.set_index("content_sha256")[list(MEASURES)].to_dict("index")
    except (OSError, ValueError, KeyError):
        return {}
    return {str(digest): measures for digest, measures in records.items()}


def _remember(memory: Path, frame: pd.DataFrame, known: Measures) -> None:
    seen = frame.dropna(subset=["content_sha256"])[["content_sha256", *MEASURES]]
    if set(seen["content_sha256"]) <= known.keys():
        return
    with replacing(memory) as temporary:
        seen.drop_duplicates("content_sha256").to_parquet(temporary, index=False)
