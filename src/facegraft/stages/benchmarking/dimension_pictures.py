"""The dimension report as pictures: a heat map, and a row of pictures for each latent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facegraft.core.atomic import replacing
from facegraft.data.grids import REGIONS, Grid
from facegraft.evaluation.attribute_targets import READINGS
from facegraft.evaluation.benchmark import Pair, pair_images
from facegraft.evaluation.latent_ablation import DimensionReport, dimension_rows
from facegraft.imaging.images import contact_sheet, save_picture, to_uint8
from facegraft.method.model import Model
from facegraft.presenting.charts import Panel, heat_map

ROW_PAIRS = 6
"""Pairs on the sheet of rows."""

HEAT_MAP, ROWS = "dimensions.png", "dimension_rows.jpg"


def write_dimensions(
    folder: Path, model: Model, grids: Sequence[Grid], pairs: Sequence[Pair], found: DimensionReport
) -> None:
    """Write the heat map and the rows of the first pairs into `folder`."""
    names = [f"{k} {name}" for k, name in enumerate(found.names)]
    columns = ("whole", *REGIONS)
    levels = np.column_stack([found.whole, found.regions])
    panels = [Panel("mean change, 8-bit levels", columns, levels, 1)]
    if np.isfinite(found.readings).any():
        readings = tuple(name.replace("_", " ") for name in READINGS)
        panels.append(Panel("reading moved, share", readings, found.readings, 2))
    save_picture(folder / HEAT_MAP, heat_map(names, panels))
    shown = pairs[:ROW_PAIRS]
    ends = [pair_images(grids, pair) for pair in shown]
    rows = [
        [to_uint8(one.source.images[0]) for one in ends],
        [to_uint8(one.target.images[0]) for one in ends],
        *dimension_rows(model, grids, shown),
    ]
    sheet = contact_sheet(rows, captions=["source", "target", *names], cell=128)
    with replacing(folder / ROWS) as path:
        sheet.save(path, format="JPEG", quality=88)
