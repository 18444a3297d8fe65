"""The benchmark's own characters: rendered once per size into build/benchmark-data, then reused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from facegraft.adapters.store import load_grids
from facegraft.characters.grids import BENCHMARK
from facegraft.core.atomic import replacing
from facegraft.core.config import BenchmarkGrids, BenchmarkParams
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.data.grids import Grid
from facegraft.stages.landmarks import with_readings
from facegraft.stages.rendering import render_dataset, renderer_version

VERSION = "1"
"""Of the benchmark; moves when the same figure would mean something else."""

MARKER = "benchmark.json"
"""Written last: what made the folder, and by which renderer."""

MIXES = 5
"""Mixed rows of a region grid: one for each sub-dimension that the renderer can mix."""

PROBE_SIZE, PROBE_ROWS, PROBE_COLUMNS = 64, 2, 4
"""Pixels and shape of a probe grid: small, so that there are many of both."""


@dataclass(frozen=True)
class BenchmarkData:
    """What every model of one size is measured on.

    Attributes:
        people: grids of identities, each of whom is the source of one pair.
        regions: grids with mixed rows, for swaps of one sub-dimension.
        version: names the benchmark down to the pixels of `people`.
    """

    people: Sequence[Grid]
    regions: Sequence[Grid]
    version: str


def benchmark_data(
    project: Project, params: BenchmarkParams, size: int, report: Progress, threads: int = 0
) -> BenchmarkData:
    """The grids at `size` pixels; rendered where they are missing or made otherwise.

    Args:
        threads: `runtime.threads`.

    Raises:
        WorkerDied: a rendering process was killed.
    """
    people = _grids(project, f"people-{size}", _people(params, size), report, threads)
    regions = _grids(project, f"regions-{size}", _regions(params, size), report, threads)
    people, regions = (
        with_readings(grids, project.landmarks, report, threads) for grids in (people, regions)
    )
    pixels = hashlib.sha256()
    for grid in people:
        pixels.update(grid.images.tobytes())
    return BenchmarkData(people, regions, f"{VERSION}-{size}-{pixels.hexdigest()[:12]}")


def probe_grids(
    project: Project, params: BenchmarkParams, report: Progress, threads: int = 0
) -> list[Grid]:
    """What teaches the attribute probes: other characters, the same reserved attributes."""
    return _grids(project, "probes", probe_grid_params(params), report, threads)


def probe_grid_params(params: BenchmarkParams) -> BenchmarkGrids:
    """Params of the grids that are rendered for the probes."""
    return _grid_params(params, 2, PROBE_SIZE, params.probe_grids, PROBE_ROWS, PROBE_COLUMNS)


def _people(params: BenchmarkParams, size: int) -> BenchmarkGrids:
    return _grid_params(params, 0, size, params.grids, params.identities, params.attributes)


def _regions(params: BenchmarkParams, size: int) -> BenchmarkGrids:
    rows = max(params.identities, MIXES + 2)
    return _grid_params(params, 1, size, params.region_grids, rows, params.attributes, MIXES)


def _grid_params(
    params: BenchmarkParams,
    part: int,
    size: int,
    grids: int,
    identities: int,
    attributes: int,
    mixes: int = 0,
) -> BenchmarkGrids:
    return BenchmarkGrids.model_validate(
        {
            "seed": params.seed + part,
            "size": size,
            "supersample": params.supersample,
            "identities": identities,
            "attributes": attributes,
            "mixes": mixes,
            "licence": "CC0-1.0",
            "grids": grids,
        }
    )


def _grids(
    project: Project, name: str, params: BenchmarkGrids, report: Progress, threads: int
) -> list[Grid]:
    folder = project.benchmark_data / name
    made = {**params.model_dump(mode="json"), "renderer": renderer_version()}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if _marker(folder) != made:
            render_dataset(folder, params, report, threads)
            with replacing(folder / MARKER) as path:
                path.write_text(json.dumps(made, sort_keys=True) + "\n", encoding="utf-8")
    return load_grids(folder, BENCHMARK)


def _marker(folder: Path) -> object:
    """What the marker says; None where the folder is absent, unfinished or damaged."""
    try:
        return json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
