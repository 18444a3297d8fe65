"""Render the default dataset in several processes, grid by grid, so that it can be resumed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from facegraft.adapters import store
from facegraft.characters import (
    RENDERING,
    Assets,
    GridSpec,
    attribute_values,
    draw_split,
    identity_values,
    load_assets,
    render_grid,
)
from facegraft.core.atomic import replacing
from facegraft.core.code_hash import code_hash
from facegraft.core.config import RenderParams
from facegraft.core.parallel import parallel_map
from facegraft.core.progress import Progress
from facegraft.imaging.images import contact_sheet, save_picture

MARKER = "params.json"
"""Inside data/: the params that made it; a folder without it was made by somebody else."""

PREVIEW_ROWS = 6
PREVIEW_COLUMNS = 8


def render_dataset(folder: Path, params: RenderParams, report: Progress, threads: int = 0) -> None:
    """Render every grid into `folder`, then the manifest, the preview and the marker.

    Grids that an interrupted call with the same params and renderer finished are kept.

    Args:
        threads: `runtime.threads`.

    Raises:
        WorkerDied: a process was killed; finished grids are kept.
    """
    _prepare(folder, params)
    report(0, 1, "loading the character assets")
    specs = _specs(params)
    missing = [spec for spec in specs if not _part(folder, spec.name).exists()]
    per_grid = params.identities * params.attributes
    done, total = (len(specs) - len(missing)) * per_grid, len(specs) * per_grid
    report(done, total, "rendering")
    todo = [(folder, params, spec) for spec in missing]
    for name in parallel_map(
        _render_grid, todo, task="rendering", start=_use_one_thread, threads=threads
    ):
        done += per_grid
        report(done, total, f"rendered {name}")
    _finish(folder, params, specs)


def rendering_recipe(params: RenderParams) -> dict[str, object]:
    """What data/params.json holds for these params."""
    return {"data": params.model_dump(mode="json")}


def recipe_digest(params: RenderParams) -> str:
    """Names what a rendering shows: two of one digest differ by the processor's rounding alone."""
    text = json.dumps(rendering_recipe(params) | {"rendering": RENDERING}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _specs(params: RenderParams) -> list[GridSpec]:
    """What every grid shows, drawn here once; loading the assets also fills their cache."""
    assets = load_assets()
    return [
        spec
        for split, grids in params.splits.items()
        for spec in draw_split(
            assets,
            params.seed,
            split,
            grids,
            params.identities,
            params.attributes,
            params.mixes,
        )
    ]


def _part(folder: Path, name: str) -> Path:
    """A finished grid's manifest rows; written last, so its presence means "finished"."""
    return folder / "parts" / f"{name}.parquet"


def _prepare(folder: Path, params: RenderParams) -> None:
    """An empty folder, or the unfinished one of the same params and renderer."""
    wanted = json.dumps(rendering_recipe(params) | {"renderer": renderer_version()}, sort_keys=True)
    note = folder / "parts" / "recipe.json"
    if note.exists() and note.read_text(encoding="utf-8") == wanted:
        return
    if folder.exists():
        shutil.rmtree(folder)
    with replacing(note) as temporary:
        temporary.write_text(wanted, encoding="utf-8")


def renderer_version() -> str:
    """Digest of the renderer's source: half a dataset of an older renderer is not resumed."""
    return code_hash("characters")


def _use_one_thread() -> None:
    """The processes share the cores already."""
    import torch

    torch.set_num_threads(1)


@cache
def _worker_assets() -> Assets:
    return load_assets()


def _render_grid(folder: Path, params: RenderParams, spec: GridSpec) -> str:
    """Runs in a worker: render and write one grid; returns its name."""
    assets = _worker_assets()
    grid, own = render_grid(assets, spec, params.size, params.supersample), assets.own_words
    store.write_grid(folder, grid)
    rows = store.manifest_rows(
        grid,
        spec.split,
        identities=[identity_values(one) for one in spec.identities],
        attributes=[attribute_values(one, own) for one in spec.attributes],
        licence=params.licence,
    )
    store.write_rows(_part(folder, spec.name), rows)
    return spec.name


def _finish(folder: Path, params: RenderParams, specs: list[GridSpec]) -> None:
    """Manifest and preview from the parts; the marker comes last."""
    import pandas as pd

    rows = pd.concat(
        [store.read_rows(_part(folder, spec.name)) for spec in specs], ignore_index=True
    )
    store.write_manifest(folder, rows)
    write_preview(folder, tuple(params.splits))
    shutil.rmtree(folder / "parts")
    with replacing(folder / MARKER) as temporary:
        text = json.dumps(rendering_recipe(params), indent=2, sort_keys=True)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_preview(folder: Path, splits: Sequence[str] = store.SPLITS) -> None:
    """preview.png: the first grid of each split, identities down, attribute sets across."""
    rows, captions = [], []
    for split in splits:
        grid = store.load_grids(folder, split)[0]
        for i in range(min(PREVIEW_ROWS, grid.images.shape[0])):
            cells = grid.images[i, :PREVIEW_COLUMNS]
            rows.append([cell.transpose(1, 2, 0) for cell in cells])
            captions.append(grid.identity_ids[i])
    columns = [f"attributes {a}" for a in range(len(rows[0]))]
    save_picture(folder / "preview.png", contact_sheet(rows, columns=columns, captions=captions))
