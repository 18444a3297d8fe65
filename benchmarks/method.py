"""How long a training step, reading, a swap and a fine-tuning step take, at params.yaml's sizes.

Run: python benchmarks/method.py. Noise with a face's landmarks, and untrained weights: time does
not depend on what is drawn.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from facegraft.adapters.landmarks import Landmarker
from facegraft.core.config import Params
from facegraft.core.params_file import load_params
from facegraft.data.batches import grid_faces
from facegraft.data.grids import REGIONS, Grid, Readings
from facegraft.method.calibration import Thresholds
from facegraft.method.landmarks import EXPRESSIONS, LEFT_LIDS, RIGHT_LIDS, face_mesh
from facegraft.method.latents import ATTRIBUTE, IDENTITY
from facegraft.method.model import Model, ModelConfig
from facegraft.method.swap import swap
from facegraft.training.loop import train
from facegraft.training.state import init_state

STEPS = 12
IDENTITY_WIDTH = 40
ATTRIBUTE_WIDTH = 60
ANCHORS = 560


def main() -> None:
    params = load_params(Path("params.yaml"))
    grid = random_grid(params)
    config = ModelConfig.from_params(params.train, [grid])
    print(f"{params.data.size} px, {torch.get_num_threads()} threads; seconds, median")
    print(f"drawing step       {drawing_step(params, config, grid):8.3f}")
    print(f"reading step       {reading_step(params, config, grid):8.3f}")
    print(f"landmarks, a face  {landmarks(grid):8.3f}")
    first, tuned = swap_times(params, Model(config).eval().requires_grad_(False), grid)
    print(f"swap, no tuning    {first:8.3f}")
    print(f"fine-tuning step   {tuned:8.3f}")


def random_grid(params: Params) -> Grid:
    """A grid of noise of the dataset's shape, with one group of codes for each latent group."""
    rng = np.random.default_rng(0)
    data = params.data
    shape = (data.identities, data.attributes)
    return Grid(
        name="train-000",
        images=rng.integers(0, 256, (*shape, 3, data.size, data.size), dtype=np.uint8),
        regions=rng.integers(0, len(REGIONS), (*shape, data.size, data.size), dtype=np.uint8),
        landmarks=np.full((*shape, 5, 2), data.size / 2, np.float32),
        anchors=rng.uniform(-1, 1, (*shape, ANCHORS, 3)).astype(np.float16),
        identity_ids=tuple(f"i{i}" for i in range(data.identities)),
        attribute_ids=tuple(f"a{a}" for a in range(data.attributes)),
        identity_code=rng.normal(size=(data.identities, IDENTITY_WIDTH)).astype(np.float32),
        attribute_code=rng.normal(size=(data.attributes, ATTRIBUTE_WIDTH)).astype(np.float32),
        keys=np.array([[f"i{i}/a{a}" for a in range(shape[1])] for i in range(shape[0])], object),
        identity_groups=_groups(IDENTITY, IDENTITY_WIDTH),
        attribute_groups=_groups(ATTRIBUTE, ATTRIBUTE_WIDTH),
        readings=random_readings(rng, shape),
    )


def random_readings(rng: np.random.Generator, shape: tuple[int, ...]) -> Readings:
    """The canonical face with some noise, everywhere."""
    places = face_mesh().positions * [1, -1, -1]
    eyes = [places[list(lids)].mean(axis=0) for lids in (LEFT_LIDS, RIGHT_LIDS)]
    rim = np.array([[0, 0, 0], [1, 0, 0], [0, -1, 0], [-1, 0, 0], [0, 1, 0]]) * 0.5
    face = np.concatenate([places, *(eye + rim for eye in eyes)]) / 12.0
    return Readings(
        (face + rng.normal(scale=0.01, size=(*shape, *face.shape))).astype(np.float32),
        rng.uniform(0, 0.3, (*shape, EXPRESSIONS)).astype(np.float32),
    )


def landmarks(grid: Grid) -> float:
    """Seconds to read a crop; noise shows no face, so that is not asked for."""
    reader, picture = Landmarker(), np.ascontiguousarray(grid.images[0, 0].transpose(1, 2, 0))
    return median(reader.read(picture, certain=True) for _ in range(STEPS))


def drawing_step(params: Params, config: ModelConfig, grid: Grid) -> float:
    section = params.train.model_copy(update={"steps": STEPS, "teach_steps": 0})
    return median(
        train(init_state(section, config, grid), several(grid, params.train.batch_grids), section)
    )


def reading_step(params: Params, config: ModelConfig, grid: Grid) -> float:
    section = params.train.model_copy(update={"steps": STEPS, "teach_steps": STEPS})
    return median(
        train(init_state(section, config, grid), several(grid, params.train.batch_grids), section)
    )


def several(grid: Grid, count: int) -> list[Grid]:
    """The grid under as many names, as a batch is made of several."""
    return [replace(grid, name=f"train-{k:03d}") for k in range(count)]


def swap_times(params: Params, model: Model, grid: Grid) -> tuple[float, float]:
    """Seconds of a swap that passes at once, and of each step of one that never does.

    What reads a verdict's picture is left out.
    """
    source, target = (grid_faces(grid, [cell]) for cell in ((0, 0), (1, 1)))
    easy = Thresholds(identity_loss=1e9, attribute_loss=1e9)
    hard = Thresholds(identity_loss=-1.0, attribute_loss=-1.0)
    section = params.swap.model_copy(update={"budget_steps": STEPS})

    def run(thresholds: Thresholds) -> object:
        return swap(
            model, source, target, thresholds, section, lambda image: replace(target, images=image)
        )

    at_once = median(run(easy) for _ in range(STEPS))
    started = time.perf_counter()
    run(hard)
    return at_once, (time.perf_counter() - started - at_once) / STEPS


def median(steps: Iterable[object]) -> float:
    """Median seconds between steps; the first, which warms up, does not count."""
    marks = [time.perf_counter()]
    marks += [time.perf_counter() for _ in steps]
    return statistics.median(np.diff(marks)[1:])


def _groups(named: Iterable[str], width: int) -> dict[str, tuple[int, int]]:
    names = list(named)
    bounds = np.linspace(0, width, len(names) + 1).astype(int)
    return {
        name: (int(a), int(b)) for name, a, b in zip(names, bounds[:-1], bounds[1:], strict=True)
    }


if __name__ == "__main__":
    main()
