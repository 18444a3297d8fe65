"""Images per second of the character renderer, and where the time goes.

Run: python benchmarks/render.py [--images N]. Prints, for 64, 128 and 256 pixels at supersample
2, one process with the shares of geometry (deform, pose, normals), visibility (rasteriser) and
shading, and images per second of processor time (what an otherwise idle core would give); the
floor: the same bytes moved by bare tensor operations; then two processes together.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time

import numpy as np
import torch

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
SUPERSAMPLE = 2
PROTOTYPE = 12.0
"""Images per second of the reference sketch at 128 px."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=48, help="images per measurement")
    images = parser.parse_args().images
    torch.set_num_threads(1)
    started = time.perf_counter()
    load_assets()
    print(f"assets: {time.perf_counter() - started:.2f} s from the cache (or read anew)")
    columns = ("size", "images/s", "per CPU s", "geometry", "visible", "shading", "floor/CPU s")
    print("".join(f"{name:>12}" for name in columns))
    for size in SIZES:
        rate, busy, shares = one_process(images, size)
        print(f"{size:>12}{rate:>12.1f}{busy:>12.1f}", end="")
        print("".join(f"{share:>12.0%}" for share in shares.values()), f"{floor(size):>11.0f}")
    for size in SIZES:
        rate = two_processes(images, size)
        ratio = f", {rate / PROTOTYPE:.1f} x the prototype" if size == 128 else ""
        print(f"{size:>5} px, two processes together: {rate:.1f} images/s{ratio}")


def cast(images: int, seed: int) -> list[tuple[Identity, Attributes]]:
    """Characters as a grid has them: every identity under four attribute sets."""
    assets = load_assets()
    rng = np.random.default_rng(seed)
    people = [sample_identity(assets, rng) for _ in range(max(1, images // 4))]
    return [(people[k // 4 % len(people)], sample_attributes(rng)) for k in range(images)]


def one_process(images: int, size: int) -> tuple[float, float, dict[str, float]]:
    """Images per second, per second of processor time, and each stage's share of the time."""
    assets = load_assets()
    scenes = cast(images, 1)
    heads = {id(person): neutral_head(assets, person) for person, _ in scenes}
    total = {"geometry": 0.0, "visibility": 0.0, "shading": 0.0}
    timed_render(assets, heads[id(scenes[0][0])], *scenes[0], size, supersample=SUPERSAMPLE)
    started, processor = time.perf_counter(), time.process_time()
    for person, attributes in scenes:
        _, seconds = timed_render(
            assets, heads[id(person)], person, attributes, size, supersample=SUPERSAMPLE
        )
        for stage in total:
            total[stage] += seconds[stage]
    elapsed, used = time.perf_counter() - started, time.process_time() - processor
    return (
        images / elapsed,
        images / used,
        {stage: spent / elapsed for stage, spent in total.items()},
    )


def two_processes(images: int, size: int) -> float:
    """Images per second of two processes drawing at once, start-up excluded."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        pool.map(_work, [(2, size, 0), (2, size, 1)], chunksize=1)
        started = time.perf_counter()
        pool.map(_work, [(images, size, 0), (images, size, 1)], chunksize=1)
        return 2 * images / (time.perf_counter() - started)


def _work(job: tuple[int, int, int]) -> None:
    images, size, seed = job
    torch.set_num_threads(1)
    assets = load_assets()
    head, last = None, None
    for person, attributes in cast(images, seed):
        if person is not last:
            head, last = neutral_head(assets, person), person
        render_head(assets, head, person, attributes, size, supersample=SUPERSAMPLE)


def floor(size: int) -> float:
    """Images per second of processor time if only the unavoidable memory traffic were done.

    Per covered sample: three gathers of one vertex row (14 floats), a blend of the three, and
    three passes over the colours; per triangle corner one gather of a position.
    """
    samples = (size * SUPERSAMPLE) ** 2
    table = torch.rand(12000, 14)
    index = torch.randint(0, 12000, (3, samples)).sort(dim=1).values
    weight = torch.rand(3, samples, 1)
    positions = torch.rand(12000, 3)
    corners = torch.randint(0, 12000, (3 * 16000,))
    started, repeats = time.process_time(), 5
    for _ in range(repeats):
        rows = sum(table.index_select(0, index[k]) * weight[k] for k in range(3))
        colour = rows[:, :3] * 0.5
        colour = (colour + 0.1).clamp_(0, 1)
        (colour * 255).to(torch.uint8)
        positions.index_select(0, corners)
    return repeats / (time.process_time() - started)


if __name__ == "__main__":
    main()
