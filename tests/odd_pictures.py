"""Files as studios have them: odd but good ones, and bad ones with the reason they get."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from tests.photographs import photograph

GOOD = (
    "alpha.png", "cmyk.jpg", "grey-alpha.png", "grey16.png", "one-frame.gif", "palette.png",
    "rotated.jpg", "ünïcode 名前.webp", "upper.JPG", "wrong-suffix.jpg",
)  # fmt: skip

BAD = {
    "animated.gif": "holds 2 frames (animated); export one still picture",
    "animated.png": "holds 2 frames (animated); export one still picture",
    "animated.webp": "holds 2 frames (animated); export one still picture",
    "bomb.png": "more than 80 million pixels; scale it down first",
    "z-copy.jpg": "the same file as",
    "drawing.svg": "a vector graphic; export it as PNG first",
    "empty.png": "an empty file; copy or export it again",
    "folder.png": "a folder; name a picture file in it",
    "gone.png": "a link to a file that is not there; mend or remove the link",
    "noface.png": "no face found; give landmarks in a table to take it",
    "one-pixel.png": "1x1 pixels is too small; at least 16 on each side",
    "pages.tif": "holds 2 pages; export one still picture",
    "pipe.png": "no regular file; put a picture file there",
    "z-same-pixels.png": "the same picture as",
    "text.png": "no picture that can be read; give a PNG, JPEG, WebP, TIFF or BMP file",
    "truncated.jpg": "damaged or truncated picture",
    "two-faces.png": "shows 2 faces; cut it to one, or give landmarks",
    "vector.png": "a vector graphic; export it as PNG first",
}
"""File name -> part of the reason."""


def make(folder: Path) -> None:
    """Write all of `GOOD` and `BAD` into one identity's folder."""
    folder.mkdir(parents=True)
    _good(folder)
    _unreadable(folder)
    _animated(folder)
    _unusable(folder)


def _good(folder: Path) -> None:
    alpha = photograph(1, 1, 2).convert("RGBA")
    alpha.paste((0, 0, 0, 0), (0, 0, 30, 224))
    alpha.save(folder / "alpha.png")
    photograph(1, 2, 2).convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    grey = photograph(1, 3)
    grey.putalpha(200)
    grey.save(folder / "grey-alpha.png")
    levels = np.asarray(photograph(1, 4, 2)).astype(np.uint16) * 257
    Image.fromarray(levels).save(folder / "grey16.png")
    photograph(1, 5, 2).save(folder / "one-frame.gif")
    photograph(1, 6, 2).convert("P").save(folder / "palette.png", transparency=3)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter turn to the right: stored a quarter turn to the left
    stored = photograph(1, 7, 2).transpose(Image.Transpose.ROTATE_90)
    stored.save(folder / "rotated.jpg", exif=exif)
    photograph(1, 8, 3).save(folder / "ünïcode 名前.webp")
    photograph(1, 9).save(folder / "upper.JPG", quality=95)
    photograph(1, 10).save(folder / "wrong-suffix.jpg", format="PNG")


def _unreadable(folder: Path) -> None:
    (folder / "empty.png").touch()
    (folder / "folder.png").mkdir()
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "z-copy.jpg").write_bytes((folder / "upper.JPG").read_bytes())
    photograph(1, 10).save(folder / "z-same-pixels.png", compress_level=1)
    whole = (folder / "cmyk.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])


def _animated(folder: Path) -> None:
    frames = [photograph(2, 1), photograph(2, 2)]
    for suffix in ("gif", "png", "webp"):
        path = folder / f"animated.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
    frames[0].save(folder / "pages.tif", save_all=True, append_images=frames[1:])


def _unusable(folder: Path) -> None:
    svg = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    (folder / "drawing.svg").write_text(svg)
    (folder / "vector.png").write_text(svg)
    (folder / "text.png").write_text("this is no picture\n")
    (folder / "bomb.png").write_bytes(_claiming(60_000, 60_000))
    Image.new("RGB", (1, 1)).save(folder / "one-pixel.png")
    Image.new("RGB", (200, 200), "teal").save(folder / "noface.png")
    both = Image.new("L", (184, 112))
    both.paste(photograph(3, 1), (0, 0))
    both.paste(photograph(4, 1), (92, 0))
    both.resize((736, 448)).save(folder / "two-faces.png")


def _claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims width x height pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")
