"""Pictures in and out: the only place that knows [0, 255].

Outside, a picture is a uint8 array (H, W, 3), RGB. Inside, it is a float32 tensor
(..., 3, H, W) in [-1, 1]. `load_image`, `save_png`, `to_tensor` and `to_uint8` are the doors.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin, UnidentifiedImageError

from facegraft.core.atomic import replacing
from facegraft.core.errors import FacegraftError
from facegraft.core.regular_file import Unreadable, read_whole

if TYPE_CHECKING:
    import torch

MIN_SIDE = 16
"""Pixels; a smaller picture shows no face."""

MAX_PIXELS = 80_000_000
"""Width x height; a larger file is refused before it is decoded."""

MAX_BYTES = 1 << 30
"""A larger file is not read."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "PPM", "JPEG2000")
"""Pillow's names of what `load_image` tries; none of them starts another program."""

VECTOR_SUFFIXES = frozenset({".svg", ".svgz", ".eps", ".ps", ".ai", ".pdf", ".wmf", ".emf", ".cdr"})

ALPHA_GROUND = 128
"""Grey level that shows through transparent pixels."""

AI_GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC DigitalSourceType of a picture that mixes captured or drawn with generated parts."""

AI_TEXT_KEY = "AI-Generated"
AI_TEXT = "yes; made with a trained model (facegraft); " + AI_GENERATED

_XMP_KEY = "XML:com.adobe.xmp"
_XMP_PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    Iptc4xmpExt:DigitalSourceType="{AI_GENERATED}"
    xmp:CreatorTool="facegraft"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""

# What Pillow's decoders raise on a damaged file, besides UnidentifiedImageError.
_DECODE_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, TypeError, LookupError,
    RuntimeError,
)  # fmt: skip
"""What Pillow raises on damage; a TIFF directory without its size is a TypeError, a damaged AVIF
frame a RuntimeError."""


class ImageError(FacegraftError):
    """A file cannot be used as a picture; the message is one line that names it and the mend."""


def load_image(path: Path | str) -> np.ndarray:
    """Read a picture file as uint8 (H, W, 3), RGB, upright; see `decode_image`.

    Raises:
        ImageError: as `read_file` and `decode_image`.
    """
    return decode_image(path, read_file(path))


def read_file(path: Path | str) -> bytes:
    """A picture file's bytes, read once: whoever hashes and decodes them has seen one picture.

    Raises:
        ImageError: they cannot be had; see `regular_file.read_whole`.
    """
    try:
        return read_whole(Path(path), "picture file", MAX_BYTES)
    except Unreadable as error:
        raise ImageError(f"{path}: {error}") from error


def decode_image(path: Path | str, data: bytes) -> np.ndarray:
    """A picture file's bytes as uint8 (H, W, 3), RGB, upright.

    EXIF orientation is applied; transparency is laid on mid grey; palette, grey, 16-bit grey,
    CMYK and Lab are converted. A phone's multi-picture JPEG gives its first picture.

    Args:
        path: whence they were read, for its suffix and for messages.

    Raises:
        ImageError: they are no picture, a vector graphic, animated or paged, damaged, smaller
            than `MIN_SIDE` or larger than `MAX_PIXELS`.
    """
    path = Path(path)
    _refuse_vector(path, data)
    try:
        with warnings.catch_warnings():
            # Pillow warns about metadata it cannot read; size is checked here, by MAX_PIXELS.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                _refuse_by_header(path, picture)
                return _to_rgb(path, picture)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{path}: no picture that can be read; give a PNG, JPEG, WebP, TIFF or BMP file"
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(_too_large(path)) from error
    except _DECODE_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(
            f"{path}: damaged or truncated picture ({reason}); copy or export it again"
        ) from error


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (..., H, W, 3), RGB -> float32 (..., 3, H, W) in [-1, 1]; `to_uint8` undoes it.

    Raises:
        ValueError: other pixels than that.
    """
    if pixels.ndim < 3 or pixels.shape[-1] != 3:
        raise ValueError(f"uint8 (..., H, W, 3) expected, got {_describe(pixels)}")
    return planes_to_tensor(np.moveaxis(pixels, -1, -3))


def planes_to_tensor(planes: np.ndarray) -> torch.Tensor:
    """uint8 (..., 3, H, W), RGB as a dataset holds it -> float32 of that shape in [-1, 1].

    Raises:
        ValueError: other planes than that.
    """
    import torch

    if planes.dtype != np.uint8 or planes.ndim < 3 or planes.shape[-3] != 3:
        raise ValueError(f"uint8 (..., 3, H, W) expected, got {_describe(planes)}")
    return torch.from_numpy(np.ascontiguousarray(planes).copy()).float().div_(127.5).sub_(1.0)


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """Tensor (..., 3, H, W) in [-1, 1] (clipped) -> uint8 (..., H, W, 3), RGB, rounded."""
    if images.ndim < 3 or images.shape[-3] != 3:
        raise ValueError(f"a tensor (..., 3, H, W) expected, got {tuple(images.shape)}")
    levels = images.detach().float().clamp(-1.0, 1.0).add(1.0).mul(127.5).round().byte()
    return levels.movedim(-3, -1).cpu().contiguous().numpy()


def save_png(
    path: Path,
    pixels: np.ndarray,
    text: Mapping[str, str] | None = None,
    *,
    ai_generated: bool = False,
) -> None:
    """Write uint8 (H, W, 3), RGB, as PNG, atomically.

    Args:
        text: PNG text chunks, keyword -> value.
        ai_generated: embed an XMP packet with IPTC's DigitalSourceType (`AI_GENERATED`) and a
            text chunk that says so in words.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"uint8 (H, W, 3) expected, got {_describe(pixels)}")
    chunks = PngImagePlugin.PngInfo()
    for keyword, value in (text or {}).items():
        chunks.add_itxt(keyword, value)
    if ai_generated:
        chunks.add_itxt(_XMP_KEY, _XMP_PACKET)
        chunks.add_text(AI_TEXT_KEY, AI_TEXT)
    save_picture(path, Image.fromarray(np.ascontiguousarray(pixels)), chunks)


def save_picture(
    path: Path, picture: Image.Image, chunks: PngImagePlugin.PngInfo | None = None
) -> None:
    """Write a Pillow picture (e.g. a `contact_sheet`) as PNG, atomically."""
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=chunks)


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray | None]],
    *,
    columns: Sequence[str] = (),
    captions: Sequence[str] = (),
    bars: Sequence[str | None] = (),
    cell: int | None = None,
) -> Image.Image:
    """Draw pictures in rows, with titles above the columns and captions left of the rows.

    Args:
        rows: uint8 (H, W, 3) pictures; None leaves a gap.
        columns: one title per column; a newline breaks the line.
        captions: one per row; a newline breaks the line.
        bars: one colour name per row for the bar at its left edge, or None.
        cell: pixels a picture is shown at; by default the size of the first, at least 96.
    """
    pictures = [picture for row in rows for picture in row if picture is not None]
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    side = cell or max(96, max(pictures[0].shape[:2]))
    layout = _Layout(side, columns, captions, has_bars=any(bars))
    sheet = Image.new("RGB", layout.extent(rows), "white")
    draw = ImageDraw.Draw(sheet)
    for index, title in enumerate(columns):
        left, _ = layout.corner(0, index)
        draw.multiline_text((left + side / 2, 4), title, "black", layout.font, "ma", align="center")
    for r, row in enumerate(rows):
        left, top = layout.corner(r, 0)
        if r < len(bars) and bars[r]:
            draw.rectangle((0, top, layout.bar - 4, top + side - 1), fill=bars[r])
        if r < len(captions):
            at = (layout.bar + 4, top + side / 2)
            draw.multiline_text(at, captions[r], "black", layout.font, "lm")
        for c, picture in enumerate(row):
            if picture is not None:
                sheet.paste(_fit(picture, side), layout.corner(r, c))
    return sheet


class _Layout:
    """Where the cells of a contact sheet lie."""

    gap = 6

    def __init__(
        self, side: int, columns: Sequence[str], captions: Sequence[str], *, has_bars: bool
    ) -> None:
        self.side = side
        self.font = ImageFont.load_default(size=max(11, min(18, side // 8)))
        self.bar = 14 if has_bars else 0
        self.caption = int(max((self._extent(text)[0] for text in captions), default=0)) + 12
        heads = [self._extent(title) for title in columns]
        self.head = int(max((height for _, height in heads), default=-4)) + 12
        # Titles may be wider than a picture: the columns spread rather than overlap.
        self.pitch = max(side, int(max((width for width, _ in heads), default=0))) + self.gap

    def corner(self, row: int, column: int) -> tuple[int, int]:
        inset = (self.pitch - self.gap - self.side) // 2
        left = self.bar + self.caption + column * self.pitch + inset
        return left, self.head + row * (self.side + self.gap)

    def extent(self, rows: Sequence[Sequence[object]]) -> tuple[int, int]:
        widest = max(len(row) for row in rows)
        width = self.bar + self.caption + widest * self.pitch + self.gap
        return width, self.head + len(rows) * (self.side + self.gap) + self.gap

    def _extent(self, text: str) -> tuple[float, float]:
        canvas = ImageDraw.Draw(Image.new("L", (1, 1)))
        left, top, right, bottom = canvas.multiline_textbbox((0, 0), text, self.font)
        return right - left, bottom - top


def _fit(pixels: np.ndarray, side: int) -> Image.Image:
    """The picture at side x side; whole enlargements keep their pixels crisp."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    whole = side % picture.width == 0 and side % picture.height == 0
    method = Image.Resampling.NEAREST if whole else Image.Resampling.LANCZOS
    return picture.resize((side, side), method)


def _refuse_vector(path: Path, data: bytes) -> None:
    head = data[:256].lstrip().lower()
    suspicious = head.startswith((b"%!ps", b"%pdf")) or b"<svg" in head
    if suspicious or path.suffix.lower() in VECTOR_SUFFIXES:
        raise ImageError(f"{path}: a vector graphic; export it as PNG first")


def _refuse_by_header(path: Path, picture: Image.Image) -> None:
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":
        kind = "pages" if picture.format == "TIFF" else "frames (animated)"
        raise ImageError(f"{path}: holds {frames} {kind}; export one still picture")
    if picture.width * picture.height > MAX_PIXELS:
        raise ImageError(_too_large(path))
    if min(picture.size) < MIN_SIDE:
        raise ImageError(
            f"{path}: {picture.width}x{picture.height} pixels is too small; "
            f"at least {MIN_SIDE} on each side"
        )


def _too_large(path: Path) -> str:
    return f"{path}: more than {MAX_PIXELS / 1e6:.0f} million pixels; scale it down first"


def _to_rgb(path: Path, picture: Image.Image) -> np.ndarray:
    """Decode and convert to uint8 (H, W, 3)."""
    if picture.mode == "F":
        raise ImageError(f"{path}: holds floating-point levels; export it with 8 or 16 bits")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):
        grey = (np.clip(np.asarray(picture).astype(np.int64), 0, 65535) + 128) // 257
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (ALPHA_GROUND,) * 3 + (255,))
        picture = Image.alpha_composite(ground, picture)
    return np.array(picture.convert("RGB"))


def _describe(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
