"""Pictures in and out: every mode arrives as RGB, every bad file as one line."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from facegraft.imaging import images
from facegraft.imaging.images import ImageError, load_image


def gradient(height: int = 24, width: int = 32) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 8, columns * 7, (rows + columns) * 4], axis=2).astype(np.uint8)


def saved(folder: Path, name: str, picture: Image.Image, **options: object) -> Path:
    path = folder / name
    picture.save(path, **options)
    return path


def png_16bit_rgb(levels: np.ndarray) -> bytes:
    """A 16-bit RGB PNG, which Pillow cannot write."""
    height, width, _ = levels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_lossless_formats_keep_every_pixel(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path, f"a.{suffix}", Image.fromarray(gradient()), **options)
    np.testing.assert_array_equal(load_image(path), gradient())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = gradient()
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: stored.transpose(1, 0, 2)[:, ::-1],
        7: stored.transpose(1, 0, 2)[::-1, ::-1],
        8: stored.transpose(1, 0, 2)[::-1],
    }[orientation]
    path = saved(tmp_path, "a.png", Image.fromarray(stored), exif=exif)
    np.testing.assert_array_equal(load_image(path), upright)


def test_alpha_is_laid_on_mid_grey(tmp_path: Path) -> None:
    rgba = np.dstack([gradient(), np.full((24, 32), 255, np.uint8)])
    rgba[:, :16, 3] = 0
    loaded = load_image(saved(tmp_path, "a.png", Image.fromarray(rgba)))
    assert (loaded[:, :16] == images.ALPHA_GROUND).all()
    np.testing.assert_array_equal(loaded[:, 16:], gradient()[:, 16:])


def test_transparent_palette_entry_is_laid_on_mid_grey(tmp_path: Path) -> None:
    indices = np.zeros((20, 20), np.uint8)
    indices[:, 10:] = 1
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette([255, 0, 0, 0, 0, 255])
    loaded = load_image(saved(tmp_path, "a.png", picture, transparency=0))
    assert (loaded[:, :10] == images.ALPHA_GROUND).all()
    assert (loaded[:, 10:] == (0, 0, 255)).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_keeps_its_range(tmp_path: Path, suffix: str) -> None:
    levels = np.tile(np.linspace(0, 65535, 32).astype(np.uint16), (24, 1))
    loaded = load_image(saved(tmp_path, f"a.{suffix}", Image.fromarray(levels)))
    assert loaded.shape == (24, 32, 3)
    np.testing.assert_allclose(loaded[0, :, 0], levels[0] / 257, atol=0.51)


def test_sixteen_bit_colour(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_16bit_rgb(gradient().astype(np.uint16) * 257))
    np.testing.assert_array_equal(load_image(path), gradient())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "RGBA"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "png" if mode in {"1", "L", "LA", "P", "RGBA"} else "tif"
    path = saved(tmp_path, f"a.{suffix}", Image.fromarray(gradient()).convert(mode))
    loaded = load_image(path)
    assert loaded.shape == (24, 32, 3)
    assert loaded.dtype == np.uint8
    assert loaded.std() > 20


def refused(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_missing_folder_and_empty_files_are_refused(tmp_path: Path) -> None:
    assert "not found" in refused(tmp_path / "none.png")
    assert "folder" in refused(tmp_path)
    (tmp_path / "empty.png").write_bytes(b"")
    assert "empty" in refused(tmp_path / "empty.png")


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("these are notes, not pixels\n" * 20)
    assert "no picture" in refused(tmp_path / "notes.png")


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.svg", b"<svg/>"),
        ("a.eps", b"%!PS-Adobe"),
        ("a.ai", b"%PDF-1.5"),
        ("disguised.png", b'<?xml version="1.0"?><svg width="9"/>'),
    ],
)
def test_vector_graphics_are_refused(tmp_path: Path, name: str, head: bytes) -> None:
    (tmp_path / name).write_bytes(head)
    assert "vector" in refused(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "said"),
    [("a.gif", "animated"), ("a.png", "animated"), ("a.webp", "animated"), ("a.tif", "pages")],
)
def test_animated_and_paged_files_are_refused(tmp_path: Path, name: str, said: str) -> None:
    first, second = Image.fromarray(gradient()), Image.fromarray(255 - gradient())
    path = saved(tmp_path, name, first, save_all=True, append_images=[second])
    assert said in refused(path)


def test_a_phone_picture_with_a_second_frame_is_taken(tmp_path: Path) -> None:
    first, second = Image.fromarray(gradient()), Image.fromarray(255 - gradient())
    path = saved(
        tmp_path, "a.jpg", first, format="MPO", save_all=True, append_images=[second], quality=95
    )
    assert np.abs(load_image(path).astype(int) - gradient()).mean() < 12


def test_too_small_and_too_large_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = saved(tmp_path, "small.png", Image.new("RGB", (images.MIN_SIDE - 1, 40)))
    assert "too small" in refused(small)
    least = saved(tmp_path, "least.png", Image.new("RGB", (images.MIN_SIDE, images.MIN_SIDE)))
    assert load_image(least).shape == (images.MIN_SIDE, images.MIN_SIDE, 3)
    monkeypatch.setattr(images, "MAX_PIXELS", 30 * 30 - 1)
    assert "million" in refused(saved(tmp_path, "large.png", Image.new("RGB", (30, 30))))


def test_a_decompression_bomb_is_refused_unopened(tmp_path: Path) -> None:
    claims = png_16bit_rgb(gradient().astype(np.uint16)).replace(
        struct.pack(">II", 32, 24), struct.pack(">II", 60_000, 60_000)
    )
    header = claims[12:29]
    claims = claims[:29] + struct.pack(">I", zlib.crc32(header)) + claims[33:]
    (tmp_path / "bomb.png").write_bytes(claims)
    assert "million" in refused(tmp_path / "bomb.png")


def test_a_tiff_whose_next_directory_is_empty_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "face.tiff"
    Image.new("RGB", (64, 64)).save(path)
    content = bytearray(path.read_bytes())
    start = int.from_bytes(content[4:8], "little")
    after = start + 2 + 12 * int.from_bytes(content[start : start + 2], "little")
    content[after : after + 4] = len(content).to_bytes(4, "little")
    path.write_bytes(bytes(content) + bytes(6))  # no entries, no further directory
    with pytest.raises(ImageError, match=r"face\.tiff: damaged or truncated picture"):
        load_image(path)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF"])
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damage_is_refused_or_survived_never_a_crash(
    tmp_path: Path, form: str, data: st.DataObject
) -> None:
    stream = io.BytesIO()
    Image.fromarray(gradient()).save(stream, format=form)
    raw = bytearray(stream.getvalue())
    cut = data.draw(st.integers(1, len(raw)))
    for at in data.draw(st.lists(st.integers(0, cut - 1), max_size=4)):
        raw[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.bin"
    path.write_bytes(bytes(raw[:cut]))
    try:
        loaded = load_image(path)
    except ImageError:
        return
    assert loaded.ndim == 3
    assert loaded.shape[2] == 3


def test_a_name_that_the_locale_cannot_write_is_refused() -> None:
    script = (
        "from facegraft.imaging.images import ImageError, load_image\n"
        "try:\n    load_image('\\N{DOWNWARDS ARROW}.png')\n"
        "except ImageError as error:\n    print(ascii(str(error)))"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    posix = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=kept | posix,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no file name" in done.stdout


def test_an_avif_whose_frame_is_damaged_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.avif", Image.fromarray(gradient(200, 200)))
    data = path.read_bytes()
    frame = data.index(b"mdat") + 4
    path.write_bytes(data[:frame] + bytes(len(data) - frame))
    assert "damaged or truncated picture" in refused(path)


def test_a_truncated_picture_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.jpg", Image.fromarray(gradient(200, 200)))
    path.write_bytes(path.read_bytes()[:-900])
    assert "truncated" in refused(path)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=3, min_side=4, max_side=6)))
def test_tensor_and_bytes_are_inverse(levels: np.ndarray) -> None:
    pixels = np.repeat(levels[..., None], 3, axis=-1)
    tensor = images.to_tensor(pixels)
    assert tensor.shape == (*levels.shape[:-2], 3, *levels.shape[-2:])
    assert tensor.min() >= -1
    assert tensor.max() <= 1
    np.testing.assert_array_equal(images.to_uint8(tensor), pixels)
    np.testing.assert_array_equal(
        images.planes_to_tensor(np.moveaxis(pixels, -1, -3)).numpy(), tensor.numpy()
    )


def test_the_layout_is_named_and_not_guessed() -> None:
    """A picture three rows high could be either; it is what the function's name says."""
    pixels = np.zeros((3, 8, 3), np.uint8)
    assert images.to_tensor(pixels).shape == (3, 3, 8)
    assert images.planes_to_tensor(pixels).shape == (3, 8, 3)
    with pytest.raises(ValueError, match=r"\(\.\.\., H, W, 3\) expected"):
        images.to_tensor(np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"\(\.\.\., 3, H, W\) expected"):
        images.planes_to_tensor(np.zeros((8, 8, 3), np.uint8))


def test_tensor_ends_and_clipping() -> None:
    ends = images.to_tensor(np.array([[[0] * 3, [255] * 3]] * 2, np.uint8))
    assert ends[:, 1, 0].tolist() == [-1, -1, -1]
    assert ends[:, 1, 1].tolist() == [1, 1, 1]
    assert images.to_uint8(torch.full((3, 2, 2), 9.0)).max() == 255
    assert images.to_uint8(torch.full((3, 2, 2), -9.0)).max() == 0


@pytest.mark.parametrize("bad", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)])
def test_to_tensor_refuses_what_is_no_picture(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        images.to_tensor(bad)


def png_text(path: Path) -> dict[str, str]:
    with Image.open(path, formats=("PNG",)) as picture:
        picture.load()
        return {keyword: str(value) for keyword, value in picture.text.items()}


def test_png_carries_the_mark_of_ai(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out.png"
    images.save_png(path, gradient(), {"facegraft": '{"verdict": "passed"}'}, ai_generated=True)
    np.testing.assert_array_equal(load_image(path), gradient())
    metadata = png_text(path)
    assert metadata["facegraft"] == '{"verdict": "passed"}'
    assert f'DigitalSourceType="{images.AI_GENERATED}"' in metadata["XML:com.adobe.xmp"]
    assert metadata["AI-Generated"].startswith("yes")
    with Image.open(path) as picture:  # read by Pillow's own XMP door too
        assert b"compositeWithTrainedAlgorithmicMedia" in picture.info["xmp"]


def test_png_without_the_mark_is_not_ai(tmp_path: Path) -> None:
    images.save_png(tmp_path / "plain.png", gradient())
    assert png_text(tmp_path / "plain.png") == {}


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    images.save_png(path, gradient())
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="disk full"):
        images.save_png(path, 255 - gradient())
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["a.png"]


def test_contact_sheet_places_pictures_under_their_titles() -> None:
    red = np.full((64, 64, 3), (255, 0, 0), np.uint8)
    blue = np.full((64, 64, 3), (0, 0, 255), np.uint8)
    sheet = np.asarray(
        images.contact_sheet(
            [[red, blue], [blue, None]],
            columns=["source", "a much longer title"],
            captions=["first", "second\nline"],
            bars=["green", None],
        )
    )
    is_red = (sheet == (255, 0, 0)).all(axis=2)
    is_blue = (sheet == (0, 0, 255)).all(axis=2)
    assert is_red.sum() == 96 * 96
    assert is_blue.sum() == 2 * 96 * 96
    assert (
        np.argwhere(is_red)[:, 1].max() < np.argwhere(is_blue[: is_blue.shape[0] // 2])[:, 1].min()
    )
    green = np.argwhere((sheet == (0, 128, 0)).all(axis=2))
    assert green[:, 0].min() == np.argwhere(is_red)[:, 0].min()
    assert green[:, 0].max() == np.argwhere(is_red)[:, 0].max()
    with pytest.raises(ValueError, match="at least one"):
        images.contact_sheet([[None]])
