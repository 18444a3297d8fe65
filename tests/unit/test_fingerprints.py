"""Perceptual hashes: copies are near, faces are far, and the search is that of plain loops."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facegraft.imaging.perceptual_hash import BITS, WORDS, fingerprint, nearest_elsewhere, unpacked


def textured(count: int) -> np.ndarray:
    """Pictures with detail at every scale, as photographs have it; uint8 (count, 3, 64, 64)."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    frequency[0, 0] = 1
    waves = np.fft.fft2(rng.normal(size=(count, 64, 64))) / frequency
    field = np.fft.ifft2(waves).real
    field -= field.mean(axis=(1, 2), keepdims=True)
    levels = 128 + 40 * field / field.std(axis=(1, 2), keepdims=True)
    return np.repeat(levels.clip(0, 255).astype(np.uint8)[:, None], 3, axis=1)


FACES = textured(8)


def bits_apart(one: str | None, other: str | None) -> int:
    assert one is not None
    assert other is not None
    return (int(one, 16) ^ int(other, 16)).bit_count()


def copies(cell: np.ndarray) -> dict[str, np.ndarray]:
    picture = Image.fromarray(np.ascontiguousarray(cell.transpose(1, 2, 0)))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=60)
    made = {"jpeg": Image.open(stream), "smaller": picture.resize((48, 48)).resize((64, 64))}
    pixels = {name: np.asarray(one).transpose(2, 0, 1) for name, one in made.items()}
    return pixels | {"lighter": np.clip(cell * 1.1 + 9, 0, 255).astype(np.uint8)}


@pytest.mark.parametrize("name", ["jpeg", "smaller", "lighter"])
def test_a_copy_is_near(name: str) -> None:
    for cell in FACES:
        assert bits_apart(fingerprint(cell), fingerprint(copies(cell)[name])) < 28


def test_size_does_not_matter() -> None:
    large = np.kron(FACES[0], np.ones((1, 2, 2), np.uint8))
    assert bits_apart(fingerprint(FACES[0]), fingerprint(large)) < 4
    assert fingerprint(FACES[0][:, :61, :57]) is not None


def test_half_the_bits_are_set_and_a_flat_picture_has_none() -> None:
    assert int(str(fingerprint(FACES[0])), 16).bit_count() == BITS // 2 - 1
    assert fingerprint(np.full((3, 64, 64), 9, np.uint8)) is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(0, 2**32))
def test_the_search_is_that_of_plain_loops(groups: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 2**63, (len(groups), WORDS), np.uint64)
    distance, place = nearest_elsewhere(words, np.array(groups))
    for mine, group in enumerate(groups):
        others = [
            sum(int(a ^ b).bit_count() for a, b in zip(words[mine], words[k], strict=True))
            for k, other in enumerate(groups)
            if other != group
        ]
        assert distance[mine] == min(others, default=BITS + 1)
        assert (place[mine] == -1) == (not others)
        if others:
            gap = words[mine] ^ words[place[mine]]
            assert np.bitwise_count(gap).sum() == distance[mine]
            assert groups[place[mine]] != group


def test_hexadecimal_keeps_every_bit() -> None:
    texts = [str(fingerprint(cell)) for cell in FACES[:2]]
    words = unpacked(texts)
    assert words.shape == (2, WORDS)
    assert np.bitwise_count(words[0] ^ words[1]).sum() == bits_apart(*texts)
