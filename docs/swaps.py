"""Cut the README's picture out of docs/benchmark/swaps.jpg: its first ten pairs, side by side.

Run in the repository after the benchmark's sheets were copied there: python docs/swaps.py.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

SHEET, PICTURE = (
    Path(__file__).parent / "benchmark" / "swaps.jpg",
    Path(__file__).with_suffix(".jpg"),
)
PAIRS, HEAD, GAP = 64, 26, 24
"""Rows of the sheet; pixels of its head line, and between the picture's two halves."""

ROWS = 5


def main() -> None:
    sheet = Image.open(SHEET)
    row = (sheet.height - HEAD) / PAIRS
    half = int(ROWS * row)
    picture = Image.new("RGB", (2 * sheet.width + GAP, HEAD + half), "white")
    for k in range(2):
        left, top = k * (sheet.width + GAP), HEAD + round(k * ROWS * row)
        picture.paste(sheet.crop((0, 0, sheet.width, HEAD)), (left, 0))
        picture.paste(sheet.crop((0, top, sheet.width, top + half)), (left, HEAD))
    picture.save(PICTURE, quality=88)


if __name__ == "__main__":
    main()
