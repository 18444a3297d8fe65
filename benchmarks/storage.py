"""How fast pictures reach the training loop, and what DVC does with packed and with loose files.

Run: python -m benchmarks.storage [--dvc N]. Prints images a processor second, files in memory: raw
reads of the mapped arrays, the same as tensors, `draw_block` and `draw_swap_batch` (with landmarks,
and masks of what changed), and the same pictures as PNGs. With --dvc, the seconds of `dvc add`,
`status`, `push` and `checkout` of N pictures, packed and loose, in a temporary folder with a local
remote; 20,000 at 128 pixels take about 5 GB and some minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from benchmarks.method import random_readings
from facegraft.adapters import store
from facegraft.characters import draw_split, load_assets, render_grid
from facegraft.core.config import Params
from facegraft.core.params_file import load_params
from facegraft.data.batches import draw_block, draw_swap_batch
from facegraft.data.grids import Grid
from facegraft.imaging.images import planes_to_tensor

GRIDS = 12
STEPS = 60
RENDERED = 2
"""Grids that are really drawn; the others are theirs, rolled, so that no two pictures are alike."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dvc", type=int, default=0, metavar="N", help="pictures to version")
    wanted = parser.parse_args().dvc
    torch.set_num_threads(1)
    params = load_params(Path("params.yaml"))
    drawn = rendered(params)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        reads(folder / "reads", params, drawn)
        if wanted:
            versioned(folder / "packed", drawn, wanted, write_packed)
            versioned(folder / "loose", drawn, wanted, write_loose)


def rendered(params: Params) -> list[Grid]:
    """A few grids as `facegraft data` draws them."""
    assets, data = load_assets(), params.data
    specs = draw_split(assets, 1, "train", RENDERED, data.identities, data.attributes)
    return [render_grid(assets, spec, data.size, data.supersample) for spec in specs]


def copies(drawn: Sequence[Grid], grids: int) -> Iterator[Grid]:
    """As many grids as asked for, no two pictures of them alike."""
    for number in range(grids):
        base = drawn[number % len(drawn)]
        name = f"train-{number:03d}"
        people = tuple(f"{name}-i{k:02d}" for k in range(len(base.identity_ids)))
        looks = tuple(f"{name}-a{k:02d}" for k in range(len(base.attribute_ids)))
        yield Grid(
            **base.__dict__
            | {
                "name": name,
                "images": np.roll(base.images, number // len(drawn), axis=-1),
                "identity_ids": people,
                "attribute_ids": looks,
                "keys": np.char.replace(base.keys.astype(str), base.name, name).astype(object),
            }
        )


def reads(folder: Path, params: Params, drawn: Sequence[Grid]) -> None:
    """Print images a second of each way to read."""
    rows = []
    for grid in copies(drawn, GRIDS):
        store.write_grid(folder, grid)
        rows.append(store.manifest_rows(grid, "train", licence="CC0-1.0"))
    store.write_manifest(folder, pd.concat(rows, ignore_index=True))
    loose = list(write_loose(folder / "loose", drawn, GRIDS * drawn[0].keys.size))
    rng = np.random.default_rng(0)
    grids = [
        replace(grid, readings=random_readings(rng, grid.images.shape[:2]))
        for grid in store.load_grids(folder, "train")
    ]
    train = params.train
    images = train.batch_grids * train.batch_identities * train.batch_attributes
    places = [_places(grids, params, step) for step in range(STEPS)]
    raw = _rate(lambda step: _raw(grids, places[step]), images)
    tensors = _rate(lambda step: _tensors(grids, places[step]), images)
    block = _rate(lambda step: draw_block(grids, (), train, step), images)
    pairs = _rate(lambda step: draw_swap_batch(grids, (), train, step), 3 * train.batch_pairs)
    names = np.random.default_rng(0).choice(len(loose), (STEPS, images))
    png = _rate(lambda step: [np.asarray(Image.open(loose[k])) for k in names[step]], images)
    print(f"{params.data.size} px, batches of {images} images, one thread, files in memory")
    ways = {
        "as float tensors": tensors,
        "draw_block": block,
        "draw_swap_batch, three faces a pair": pairs,
        "the same pictures as PNGs": png,
    }
    print(f"raw reads of the mapped arrays {raw:9.0f} images/s")
    for name, rate in ways.items():
        print(f"{name:30} {rate:9.0f} images/s, {rate / raw:.3f} of raw reads")


def _places(
    grids: Sequence[Grid], params: Params, step: int
) -> list[tuple[int, tuple[np.ndarray, ...]]]:
    """Blocks of the size that a training step reads."""
    rng, train = np.random.default_rng(step), params.train
    blocks = []
    for grid in rng.choice(len(grids), train.batch_grids, replace=False):
        people, looks = grids[grid].images.shape[:2]
        i = np.sort(rng.choice(people, train.batch_identities, replace=False))
        a = np.sort(rng.choice(looks, train.batch_attributes, replace=False))
        blocks.append((int(grid), np.ix_(i, a)))
    return blocks


def _raw(grids: Sequence[Grid], blocks: list[tuple[int, tuple[np.ndarray, ...]]]) -> object:
    """What a step needs from the files and no more."""
    return [grids[k].images[block] for k, block in blocks]


def _tensors(grids: Sequence[Grid], blocks: list[tuple[int, tuple[np.ndarray, ...]]]) -> object:
    return [planes_to_tensor(grids[k].images[block]) for k, block in blocks]


def _rate(read: Callable[[int], object], images: int) -> float:
    """Images a second of processor time, after one warm pass."""
    for step in range(STEPS):
        read(step)
    started = time.process_time()
    for step in range(STEPS):
        read(step)
    return STEPS * images / (time.process_time() - started)


def write_packed(folder: Path, drawn: Sequence[Grid], images: int) -> Iterator[Path]:
    """Grids of images as the dataset keeps them (labels left out, as for the loose files)."""
    for grid in copies(drawn, -(-images // drawn[0].keys.size)):
        path = folder / store.shard_name(grid.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, grid.images)
        yield path


def write_loose(folder: Path, drawn: Sequence[Grid], images: int) -> Iterator[Path]:
    """One PNG per image, a folder per grid."""
    written = 0
    for grid in copies(drawn, -(-images // drawn[0].keys.size)):
        for key, image in zip(grid.keys.ravel(), _flat(grid), strict=True):
            if written == images:
                return
            path = folder / f"{key}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(path, compress_level=1)
            written += 1
            yield path


def _flat(grid: Grid) -> np.ndarray:
    return grid.images.reshape(-1, *grid.images.shape[2:])


def versioned(
    folder: Path,
    drawn: Sequence[Grid],
    images: int,
    write: Callable[[Path, Sequence[Grid], int], Iterator[Path]],
) -> None:
    """Print the seconds that DVC takes for `images` pictures written by `write`."""
    folder.mkdir(parents=True)
    files = list(write(folder / "data", drawn, images))
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{folder.name}: {images} images in {len(files)} files, {size:.0f} MB")
    _run(folder, "git", "init", "-q")
    _dvc(folder, "init", "-q")
    _dvc(folder, "remote", "add", "-q", "-d", "local", str(folder / "remote"))
    spent = {
        "add": _dvc(folder, "add", "-q", "data"),
        "status": _dvc(folder, "status", "-q"),
        "push": _dvc(folder, "push", "-q"),
    }
    _run(folder, "rm", "-rf", "data")
    spent["checkout"] = _dvc(folder, "checkout", "-q")
    print("".join(f"  {name} {seconds:.1f} s" for name, seconds in spent.items()), flush=True)


def _dvc(folder: Path, *arguments: str) -> float:
    return _run(folder, sys.executable, "-m", "dvc", *arguments)


def _run(folder: Path, *command: str) -> float:
    """Run a command in `folder`; its seconds. DVC keeps its own files below `folder` as well."""
    own = {
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder / ".site"),
        "DVC_GLOBAL_CONFIG_DIR": str(folder / ".global"),
        "DVC_SYSTEM_CONFIG_DIR": str(folder / ".system"),
    }
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=os.environ | own, check=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
