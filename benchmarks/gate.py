"""How long the data gate takes: the rules over a million manifest rows, and the pictures' measures.

Run: python benchmarks/gate.py [--rows N] [--parameters N] [--images N]. Both are given beside a
floor from the same run: reading the manifest's columns, reading and hashing the pictures. Seconds
of processor time say what an idle core would take.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import pandas as pd

from facegraft.adapters import gate, store
from facegraft.adapters.gate_columns import CODES, head_poses
from facegraft.characters import (
    load_assets,
    neutral_head,
    render_head,
    sample_attributes,
    sample_identity,
)
from facegraft.core.config import ValidateParams
from facegraft.core.params_file import load_params
from facegraft.imaging.perceptual_hash import BITS, WORDS, nearest_elsewhere
from facegraft.stages.validating.statistics import Shard, measure_shard

SIZE = 128
PER_IDENTITY = 8
PICTURES = 20_000
FACES = 16
"""Characters drawn; the pictures are these with different noise."""

P = ParamSpec("P")
T = TypeVar("T")

Spent = tuple[float, float]
"""Seconds by the clock, and of processor time."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--parameters", type=int, default=280, help="columns, as renderings have")
    parser.add_argument("--images", type=int, default=256, help="pictures measured")
    options = parser.parse_args()
    params = load_params(Path("params.yaml")).validate_
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'':44}{'seconds':>9}{'CPU s':>9}")
        rows(Path(folder), params, options.rows, options.parameters)
        pictures(Path(folder), options.images)
    search()


def rows(folder: Path, params: ValidateParams, count: int, parameters: int) -> None:
    """Read a manifest, count its columns, run both GX suites."""
    store.write_manifest(folder, manifest_of(count, parameters))
    _, _ = timed(gate.run_gate, *tiny_frames(), params, folder / "warm-up")  # GX's own import
    frame, read = timed(store.read_manifest, folder, without=CODES)
    statistics = statistics_of(frame)
    report, ran = timed(gate.run_gate, frame, statistics, params, folder / "results")
    if not report.passed:
        raise SystemExit(f"the benchmark's own data is red: {report.message()}")
    show(f"{count:,} rows of {frame.shape[1]} columns: read", read)
    show(f"the gate's {len(report.rules)} rules over them", ran)
    ratio = (read[1] + ran[1]) / read[1]
    show(f"validated ({ratio:.1f} x reading alone)", (read[0] + ran[0], read[1] + ran[1]))


def pictures(folder: Path, count: int) -> None:
    """Everything that is measured of one picture, in one process; then what 20,000 take."""
    images = faces(count)
    np.save(folder / "faces.npy", images)
    table = [
        {"key": str(k), "row": k, "column": 0, "size": SIZE, "sha256": store.sha256(image)}
        | {"place": k}
        for k, image in enumerate(images)
    ]
    shard = Shard(folder / "faces.npy", tuple(table))
    measure_shard(Shard(shard.path, shard.rows[:2]), {})
    _, floor = timed(lambda: [hashlib.sha256(image.tobytes()).digest() for image in images])
    measured, spent = timed(measure_shard, shard, {})
    found = np.mean([row["face_found"] for row in measured])
    show(f"{count} pictures of {SIZE} px measured, faces in {found:.0%}", spent)
    show("of which reading and hashing", floor)
    each = spent[1] / count
    print(
        f"{PICTURES:,} pictures: {each * PICTURES:.0f} s of processor time, so "
        f"{each * PICTURES / 2:.0f} s on two idle cores; {spent[1] / floor[1]:.0f} x hashing alone"
    )


def search() -> None:
    """The nearest picture of another split, among 20,000."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**63, (PICTURES, WORDS), np.uint64)
    splits = np.searchsorted([14, 15], np.arange(PICTURES) % 17, side="right")
    (distance, _), spent = timed(nearest_elsewhere, words, splits)
    assert 0 < distance.min() <= BITS
    show(f"nearest of another split, {PICTURES:,} pictures", spent)


def manifest_of(count: int, parameters: int) -> pd.DataFrame:
    """Rows as the renderer writes them: 16 identities x 8 attribute sets a grid."""
    number = np.arange(count)
    identity = pd.Series(number // PER_IDENTITY)
    grid = identity // 16
    split = pd.Series(np.array(store.SPLITS)[np.searchsorted([14, 15], grid % 17, side="right")])
    name = split + "-" + grid.astype(str)
    frame = pd.DataFrame(
        {
            "key": name + "/" + pd.Series(number).astype(str),
            "shard": name + ".npy",
            "row": identity % 16,
            "column": number % PER_IDENTITY,
            "sha256": pd.Series(number).map("{:064x}".format),
            "size": SIZE,
            "split": split,
            "grid": name,
            "identity_id": name + "-i" + (identity % 16).astype(str),
            "attribute_id": name + "-a" + pd.Series(number % PER_IDENTITY).astype(str),
            "subject_kind": "game_character",
            "licence": "CC0-1.0",
            "consent": None,
            "mix_base": None,
            "mix_donor": None,
            "mix_region": None,
            "landmarks": list(landmarks(count)),
            "identity_code": None,
            "attribute_code": None,
        }
    )
    rng = np.random.default_rng(0)
    names = [f"{('identity', 'attribute')[k % 2]}.p{k}" for k in range(parameters)]
    values = rng.random((parameters, 4096), np.float32)
    drawn = {name: np.resize(row, count) for name, row in zip(names, values, strict=True)}
    return pd.concat([frame, pd.DataFrame(drawn)], axis=1)


def landmarks(count: int) -> np.ndarray:
    """Faces that look about: float32 (count, 10)."""
    front = np.array([[20, 24], [44, 24], [32, 36], [23, 46], [41, 46]], np.float32) * SIZE / 64
    points = np.broadcast_to(front, (count, 5, 2)).copy()
    points[:, 2] += np.random.default_rng(1).uniform(-8, 8, (count, 2))
    return points.reshape(count, 10)


def statistics_of(manifest: pd.DataFrame) -> pd.DataFrame:
    """Measures that hold every rule."""
    fixed = {
        "decodable": True, "problem": "", "channels": 3, "width": SIZE, "height": SIZE,
        "size": SIZE, "sha256_matches": True, "pixel_std": 40.0, "brightness": 120.0,
        "clipped": 0.0, "sharpness": 1.0, "face_found": True, "face_score": 0.9,
        "face_fraction": 0.9, "nearest": 90.0, "nearest_key": "", "identity_margin": np.nan,
    }  # fmt: skip
    poses = head_poses(manifest)
    frame = pd.concat([manifest[["key"]].assign(**fixed), poses], axis=1)
    frame.loc[frame.index[:300], "identity_margin"] = 0.3
    return frame


def tiny_frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    manifest = manifest_of(16 * 17 * PER_IDENTITY, 2)
    return manifest, statistics_of(manifest)


def faces(count: int) -> np.ndarray:
    """uint8 (count, 3, SIZE, SIZE), no two alike."""
    assets, rng = load_assets(), np.random.default_rng(0)
    drawn = []
    for _ in range(FACES):
        person = sample_identity(assets, rng)
        head = neutral_head(assets, person)
        drawn.append(render_head(assets, head, person, sample_attributes(rng), SIZE).image)
    cells = np.stack(drawn).transpose(0, 3, 1, 2)[np.arange(count) % FACES].astype(np.int16)
    noise = rng.integers(-2, 3, cells.shape, np.int16)
    return np.clip(cells + noise, 0, 255).astype(np.uint8)


def timed(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, Spent]:
    started, processor = time.perf_counter(), time.process_time()
    result = work(*args, **kwargs)
    return result, (time.perf_counter() - started, time.process_time() - processor)


def show(text: str, spent: Spent) -> None:
    print(f"{text:44}{spent[0]:9.2f}{spent[1]:9.2f}", flush=True)


if __name__ == "__main__":
    main()
