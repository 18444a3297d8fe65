"""A table of figures as a picture: each cell coloured by its value, with the number in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL, GAP, MARGIN = (58, 26), 18, 10
"""Width and height of a cell, space between panels and around all, pixels."""

FONT, SMALL = 14, 12

PALE, DEEP = np.array([247, 251, 255]), np.array([8, 69, 148])
"""Colours of 0 and of a panel's largest value."""


@dataclass(frozen=True)
class Panel:
    """Columns that share a colour scale.

    Attributes:
        title: what the numbers are, with their unit.
        columns: a name each.
        values: float64 (rows, columns), >= 0; NaN is left grey.
        digits: after the point.
    """

    title: str
    columns: tuple[str, ...]
    values: np.ndarray
    digits: int


def heat_map(rows: Sequence[str], panels: Sequence[Panel]) -> Image.Image:
    """Panels side by side over the same named rows."""
    font = ImageFont.load_default(size=FONT)
    left = MARGIN + int(max(font.getlength(row) for row in rows)) + GAP
    head = 2 * MARGIN + FONT + int(
        max(font.getlength(name) for panel in panels for name in panel.columns)
    )  # fmt: skip
    widths = [len(panel.columns) * CELL[0] + GAP for panel in panels]
    sheet = Image.new("RGB", (left + sum(widths), head + len(rows) * CELL[1] + MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for k, row in enumerate(rows):
        draw.text((left - GAP / 2, head + (k + 0.5) * CELL[1]), row, "black", font, "rm")
    for panel, start in zip(panels, left + np.cumsum([0, *widths[:-1]]), strict=True):
        draw.text((start, MARGIN), panel.title, "black", font)
        _draw_columns(sheet, panel, int(start), head)
        _draw_cells(draw, panel, int(start), head)
    return sheet


def _draw_columns(sheet: Image.Image, panel: Panel, left: int, head: int) -> None:
    """The columns' names, upright."""
    font = ImageFont.load_default(size=FONT)
    for k, name in enumerate(panel.columns):
        strip = Image.new("RGB", (int(font.getlength(name)) + 2, FONT + 6), "white")
        ImageDraw.Draw(strip).text((0, strip.height / 2), name, "black", font, "lm")
        upright = strip.rotate(90, expand=True)
        x = left + k * CELL[0] + (CELL[0] - upright.width) // 2
        sheet.paste(upright, (x, head - upright.height - 4))


def _draw_cells(draw: ImageDraw.ImageDraw, panel: Panel, left: int, head: int) -> None:
    font = ImageFont.load_default(size=SMALL)
    known = panel.values[np.isfinite(panel.values)]
    largest = max(float(known.max()), 1e-12) if len(known) else 1.0
    for (row, column), value in np.ndenumerate(panel.values):
        x, y = left + column * CELL[0], head + row * CELL[1]
        corners = (x, y, x + CELL[0] - 2, y + CELL[1] - 2)
        if not np.isfinite(value):
            draw.rectangle(corners, fill="#dddddd")
            continue
        share = (value / largest) ** 0.5  # the root keeps small values apart
        shade = (PALE + share * (DEEP - PALE)).round().astype(int)
        draw.rectangle(corners, fill=(int(shade[0]), int(shade[1]), int(shade[2])))
        middle = (x + CELL[0] / 2 - 1, y + CELL[1] / 2 - 1)
        ink = "white" if share > 0.55 else "black"
        draw.text(middle, f"{value:.{panel.digits}f}", ink, font, "mm")
