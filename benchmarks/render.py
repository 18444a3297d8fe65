"""Images per second of the character renderer, where the time goes, and how far from the floor.

Run: python -m benchmarks.render [--images N]. Prints the start-up; for 64, 128 and 256 pixels at
supersample 2 one process with the shares of geometry (deform, pose, normals), visibility (scan
lines, depth) and shading (colour, light, labels); then two processes together, as `make data` runs.

The machine may be shared: images per second of processor time is what an idle core would give, and
two of them what two idle cores would. The floor (`floor.py`) is processor time as well.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import time

import numpy as np
import torch

from benchmarks.floor import floor_seconds
from facegraft.characters import (
    Attributes,
    Identity,
    load_assets,
    neutral_head,
    render_head,
    sample_attributes,
    sample_identity,
    timed_render,
)

SIZES = (64, 128, 256)
WANTED = {128: 60.0, 256: 20.0}
"""Images per second of two processes on two cores."""

SUPERSAMPLE = 2
PROTOTYPE = 12.0
"""Images per second of the reference sketch at 128 px."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=48, help="images per measurement")
    images = parser.parse_args().images
    torch.set_num_threads(1)
    load_assets()
    assets_alone, whole = startup()
    print(f"start-up from the cached file: assets {assets_alone:.2f} s, with imports {whole:.2f} s")
    columns = ("size", "images/s", "per CPU s", "geometry", "visible", "shading", "x floor")
    print("".join(f"{name:>11}" for name in columns))
    for size in SIZES:
        rate, busy, shares, covered = one_process(images, size)
        times = 1 / busy / floor_seconds(size, SUPERSAMPLE, covered)
        print(f"{size:>11}{rate:>11.1f}{busy:>11.1f}", end="")
        print("".join(f"{share:>11.0%}" for share in shares.values()), f"{times:>10.1f}")
    print("two processes together:")
    for size in SIZES:
        rate, busy = two_processes(images, size)
        print(f"{size:>11}{rate:>11.1f} images/s; {2 * busy:.1f} on two idle cores", end="")
        wanted = f", wanted {WANTED[size]:.0f}" if size in WANTED else ""
        ratio = f", {2 * busy / PROTOTYPE:.1f} x the prototype" if size == 128 else ""
        print(wanted + ratio)


def startup() -> tuple[float, float]:
    """Processor seconds that a fresh process spends on the assets, and on everything before."""
    code = (
        "import time; from facegraft.characters import load_assets; a = time.process_time(); "
        "load_assets(); b = time.process_time(); print(b - a, b)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    alone, whole = (float(part) for part in done.stdout.split())
    return alone, whole


def cast(images: int, seed: int) -> list[tuple[Identity, Attributes]]:
    """Characters as a grid has them: every identity under four attribute sets."""
    assets = load_assets()
    rng = np.random.default_rng(seed)
    people = [sample_identity(assets, rng) for _ in range(max(1, images // 4))]
    return [(people[k // 4 % len(people)], sample_attributes(rng)) for k in range(images)]


def one_process(images: int, size: int) -> tuple[float, float, dict[str, float], float]:
    """Images a second, a processor second, each stage's share, the share of pixels covered."""
    assets = load_assets()
    scenes = cast(images, 1)
    heads = {id(person): neutral_head(assets, person) for person, _ in scenes}
    total = {"geometry": 0.0, "visibility": 0.0, "shading": 0.0}
    covered = 0.0
    timed_render(assets, heads[id(scenes[0][0])], *scenes[0], size, supersample=SUPERSAMPLE)
    started, processor = time.perf_counter(), time.process_time()
    for person, attributes in scenes:
        drawn, seconds = timed_render(
            assets, heads[id(person)], person, attributes, size, supersample=SUPERSAMPLE
        )
        covered += float((drawn.regions > 0).mean()) / images
        for stage in total:
            total[stage] += seconds[stage]
    elapsed, used = time.perf_counter() - started, time.process_time() - processor
    shares = {stage: spent / elapsed for stage, spent in total.items()}
    return images / elapsed, images / used, shares, covered


def two_processes(images: int, size: int) -> tuple[float, float]:
    """Images a second of two processes drawing at once, and of each a processor second."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        pool.map(_work, [(2, size, 0), (2, size, 1)], chunksize=1)
        started = time.perf_counter()
        used = pool.map(_work, [(images, size, 0), (images, size, 1)], chunksize=1)
        return 2 * images / (time.perf_counter() - started), 2 * images / sum(used)


def _work(job: tuple[int, int, int]) -> float:
    """Draw; the processor seconds spent."""
    images, size, seed = job
    torch.set_num_threads(1)
    assets = load_assets()
    scenes = cast(images, seed)
    started = time.process_time()
    head, last = None, None
    for person, attributes in scenes:
        if person is not last:
            head, last = neutral_head(assets, person), person
        render_head(assets, head, person, attributes, size, supersample=SUPERSAMPLE)
    return time.process_time() - started


if __name__ == "__main__":
    main()
