"""What only a comparison shows: copies across splits, and identities that are two people."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from facegraft.adapters import store
from facegraft.adapters.judge import EMBEDDING, Judge
from facegraft.adapters.store import DataError
from facegraft.core.atomic import replacing
from facegraft.core.config import ValidateParams
from facegraft.core.parallel import parallel_map
from facegraft.core.progress import Progress
from facegraft.data.identity_agreement import identity_margins
from facegraft.imaging.perceptual_hash import BITS, nearest_elsewhere, unpacked

PARALLEL_FROM = 64
"""New embeddings from which starting processes pays."""

CHUNK = 16
"""Pictures that a process embeds at a time."""

Place = tuple[Path, int, int, str]
"""Shard, row, column, and the sha256 that the manifest promises."""


def nearest_pictures(manifest: pd.DataFrame, fingerprints: pd.Series) -> pd.DataFrame:
    """Columns `nearest` (bits) and `nearest_key`, in the manifest's order.

    NaN for a picture without a fingerprint. Pictures with the very same bytes in two splits are
    left out: they break a rule already.
    """
    frame = pd.DataFrame({"nearest": np.nan, "nearest_key": None}, index=range(len(manifest)))
    known = fingerprints.notna().to_numpy()
    splits = manifest["split"].fillna("").to_numpy(object)
    doubled = manifest.groupby("sha256")["split"].transform("nunique").to_numpy() > 1
    frame.loc[known, "nearest"] = BITS + 1.0
    chosen = np.flatnonzero(known & ~doubled)
    words = unpacked(list(fingerprints.iloc[chosen]))
    distance, place = nearest_elsewhere(words, splits[chosen])
    keys = manifest["key"].to_numpy(object)
    frame.loc[chosen, "nearest"] = distance.astype(np.float64)
    frame.loc[chosen, "nearest_key"] = np.where(place >= 0, keys[chosen][place], None)
    return frame


def sampled_margins(
    data_dir: Path,
    manifest: pd.DataFrame,
    usable: np.ndarray,
    params: ValidateParams,
    memory: Path,
    report: Progress,
    threads: int = 0,
) -> np.ndarray:
    """float64 (rows of the manifest,): its identity's margin for a sampled image, else NaN.

    Embeddings are remembered in the Parquet file `memory` by sha256.

    Args:
        usable: bool (rows of the manifest,); pictures whose bytes and face were found. The others
            break other rules.
        threads: `runtime.threads`.
    """
    places = sample(manifest, usable, params)
    margins = np.full(len(manifest), np.nan)
    if not len(places):
        return margins
    rows = manifest.iloc[places]
    embeddings = _embeddings(data_dir, rows, memory, report, threads)
    found = identity_margins(embeddings, rows["identity_id"].to_numpy(object))
    margins[places] = [found[str(identity)] for identity in rows["identity_id"]]
    return margins


def sample(manifest: pd.DataFrame, usable: np.ndarray, params: ValidateParams) -> np.ndarray:
    """Places in the manifest: the same identities and images for the same seed and manifest.

    Only identities with two images or more can be judged. Every subject kind has its share.
    """
    rng = np.random.default_rng(params.identity_seed)
    numbered = manifest[["identity_id", "subject_kind"]].reset_index(drop=True)
    groups = numbered[usable].dropna(subset="identity_id").groupby("identity_id").groups
    kinds: dict[str, list[str]] = {}
    for identity, places in groups.items():
        if len(places) > 1:
            kinds.setdefault(str(numbered["subject_kind"].iloc[places[0]]), []).append(identity)
    chosen = [
        rng.choice(groups[identity], params.identity_images, replace=False)
        if len(groups[identity]) > params.identity_images
        else groups[identity]
        for identities in kinds.values()
        for identity in rng.permutation(identities)[: -(-params.identity_sample // len(kinds))]
    ]
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)


def _embeddings(
    data_dir: Path, rows: pd.DataFrame, memory: Path, report: Progress, threads: int
) -> np.ndarray:
    """float32 (rows, 128); a row of NaN where no face, or no picture, is found."""
    known = _remembered(memory)
    digests = [str(digest) for digest in rows["sha256"]]
    missing: dict[str, Place] = {}
    for digest, (_, row) in zip(digests, rows.iterrows(), strict=True):
        place = _place(data_dir, row)
        if digest not in known and place is not None:
            missing[digest] = place
    for done, (digest, embedding) in enumerate(_embedded(list(missing.values()), threads)):
        known[digest] = embedding
        report(done + 1, len(missing), "identities compared")
    if missing:
        _remember(memory, {digest: known[digest] for digest in digests if digest in known})
    nobody = np.full(EMBEDDING, np.nan, np.float32)
    return np.stack([known.get(digest, nobody) for digest in digests])


def _place(data_dir: Path, row: pd.Series) -> Place | None:
    try:
        return data_dir / str(row["shard"]), int(row["row"]), int(row["column"]), str(row["sha256"])
    except (TypeError, ValueError):  # a hole in the manifest, which breaks another rule
        return None


def _embedded(places: list[Place], threads: int) -> Iterator[tuple[str, np.ndarray]]:
    chunks = [(places[start : start + CHUNK],) for start in range(0, len(places), CHUNK)]
    in_process = len(places) < PARALLEL_FROM
    for part in parallel_map(
        embed, chunks, task="comparing identities", in_process=in_process, threads=threads
    ):
        yield from part


def embed(places: list[Place]) -> list[tuple[str, np.ndarray]]:
    """sha256 and embedding of the pictures that are there with the promised bytes."""
    found = []
    for path, row, column, digest in places:
        try:
            shard = store.open_shard(path)
            cell = store.cell_at(shard, row, column)
        except (DataError, IndexError):
            continue
        if cell.ndim != 3 or len(cell) != 3 or store.sha256(cell) != digest:
            continue
        embedding = _judge().embed(np.ascontiguousarray(cell.transpose(1, 2, 0)))
        unknown = np.full(EMBEDDING, np.nan, np.float32)
        found.append((digest, unknown if embedding is None else embedding))
    return found


@cache
def _judge() -> Judge:
    """The recogniser of this process, on one thread: the processes share the cores already."""
    return Judge(crop_sides=(128, 224), threads=1)


def _remembered(memory: Path) -> dict[str, np.ndarray]:
    """Embeddings by sha256; a file that cannot be read is made anew."""
    try:
        frame = pd.read_parquet(memory)
        pairs = zip(frame["sha256"], frame["embedding"], strict=True)
        return {str(digest): np.asarray(values, np.float32) for digest, values in pairs}
    except (OSError, ValueError, KeyError):
        return {}


def _remember(memory: Path, embeddings: dict[str, np.ndarray]) -> None:
    frame = pd.DataFrame({"sha256": list(embeddings), "embedding": list(embeddings.values())})
    with replacing(memory) as temporary:
        frame.to_parquet(temporary, index=False)
