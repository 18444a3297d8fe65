"""Images per second of the character renderer, and where the time goes.

Run: python benchmarks/render.py [--images N]. Prints, for 64, 128 and 256 pixels at supersample
2, one process with the shares of geometry (deform, pose, normals), visibility (rasteriser) and
shading; then two processes together; and the floor: the same bytes moved by bare tensor
operations.
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
    assets = load_assets()
    print(f"assets: {time.perf_counter() - started:.2f} s from the cache (or read anew)")
    print(f"{'size':>5} {'images/s':>9} {'geometry':>9} {'visible':>8} {'shading':>8} {'floor':>9}")
    for size in SIZES:
        rate, shares = one_process(images, size)
        print(
            f"{size:>5} {rate:>9.1f} {shares['geometry']:>9.0%} {shares['visibility']:>8.0%} "
            f"{shares['shading']:>8.0%} {floor(size):>7.0f}/s"
        )
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


def one_process(images: int, size: int) -> tuple[float, dict[str, float]]:
    """Images per second of this process, and each stage's share of its time."""
    assets = load_assets()
    scenes = cast(images, 1)
    heads = {id(person): neutral_head(assets, person) for person, _ in scenes}
    total = {"geometry": 0.0, "visibility": 0.0, "shading": 0.0}
    timed_render(assets, heads[id(scenes[0][0])], *scenes[0], size, supersample=SUPERSAMPLE)
    started = time.perf_counter()
    for person, attributes in scenes:
        _, seconds = timed_render(
            assets, heads[id(person)], person, attributes, size, supersample=SUPERSAMPLE
        )
        for stage in total:
            total[stage] += seconds[stage]
    elapsed = time.perf_counter() - started
    return images / elapsed, {stage: spent / elapsed for stage, spent in total.items()}


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
    """Images per second if only the unavoidable memory traffic were done.

    Per covered sample: three gathers of one vertex row (14 floats), a blend of the three, and
    three passes over the colours; per triangle corner one gather of a position.
    """
    samples = (size * SUPERSAMPLE) ** 2
    table = torch.rand(12000, 14)
    index = torch.randint(0, 12000, (3, samples)).sort(dim=1).values
    weight = torch.rand(3, samples, 1)
    positions = torch.rand(12000, 3)
    corners = torch.randint(0, 12000, (3 * 16000,))
    started, repeats = time.perf_counter(), 5
    for _ in range(repeats):
        rows = sum(table.index_select(0, index[k]) * weight[k] for k in range(3))
        colour = rows[:, :3] * 0.5
        colour = (colour + 0.1).clamp_(0, 1)
        (colour * 255).to(torch.uint8)
        positions.index_select(0, corners)
    return repeats / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
