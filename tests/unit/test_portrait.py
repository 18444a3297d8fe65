"""A swap in the whole picture: the pixels are the pictures' own, the decisions the model's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from facegraft.imaging.alignment import Similarity
from facegraft.imaging.images import planes_to_tensor
from facegraft.method.decoder import Decoded, Visibility, at_rest
from facegraft.method.portrait import Portrait, draw_portrait, enlargement
from facegraft.method.warp import pixel_centres, tone

SIZE = 64


def similarity(scale: float, degrees: float, middle: tuple[float, float]) -> Similarity:
    """From a picture to the crop whose middle lies there."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Similarity(scale, turn, SIZE / 2 - scale * turn @ middle)


def texture(side: int, seed: int = 0, cell: int = 1) -> np.ndarray:
    """Noise of squares of `cell` pixels over smooth shades, uint8 (side, side, 3)."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(-40, 41, (-(-side // cell), -(-side // cell), 3))
    noise = noise.repeat(cell, axis=0).repeat(cell, axis=1)[:side, :side]
    y, x = np.mgrid[0:side, 0:side] / side
    shades = np.stack([90 + 50 * x, 100 + 40 * y, 120 + 30 * x * y], axis=2)
    return np.asarray((shades + noise).clip(0, 255), np.uint8)


def crop(portrait: Portrait) -> torch.Tensor:
    """What the model sees of it, (1, 3, SIZE, SIZE), averaged over each pixel."""
    x, y = np.meshgrid(*[(np.arange(SIZE * 8) + 0.5) / 8] * 2)
    at = portrait.transform.inverse().apply(np.stack([x, y], axis=2))
    height, width = portrait.pixels.shape[:2]
    column, row = at[..., 0].clip(0, width - 1), at[..., 1].clip(0, height - 1)
    found = portrait.pixels[row.astype(int), column.astype(int)].astype(np.float64)
    mean = found.reshape(SIZE, 8, SIZE, 8, 3).mean(axis=(1, 3))
    return planes_to_tensor(np.rint(mean).astype(np.uint8).transpose(2, 0, 1)[None])


def drawn(source: Portrait, target: Portrait, share: torch.Tensor | float = 1.0) -> Decoded:
    """The source's detail shown where the target's lies; nothing moves, no tone is added."""
    places = pixel_centres(SIZE).permute(2, 0, 1)[None]
    plane = torch.ones(1, 1, SIZE, SIZE)
    source_tone, target_tone = tone(crop(source)), tone(crop(target))
    return Decoded(
        image=crop(target),
        share=plane * share,
        tone=torch.zeros(1, 3, SIZE, SIZE),
        motion=torch.zeros(1, 2, SIZE, SIZE),
        target_tone=target_tone,
        visibility=Visibility(places, places, plane, source_tone),
    )


def inside(portrait: Portrait, margin: float = 0.0) -> np.ndarray:
    """Which of the picture's pixels lie in the crop: bool (H, W)."""
    height, width = portrait.pixels.shape[:2]
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    at = portrait.transform.apply(np.stack([x, y], axis=2))
    return ((at > margin) & (at < SIZE - margin)).all(axis=2)


def sharpness(pixels: np.ndarray) -> float:
    """Deviation of the Laplacian of the grey levels."""
    grey = pixels.astype(np.float64).mean(axis=2)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((4 * grey[1:-1, 1:-1] - around).std())


PLACED = (
    similarity(0.5, 0, (100, 90)),
    similarity(0.4, 25, (110, 100)),
    similarity(1.7, -70, (60, 150)),
    similarity(0.25, 10, (40, 30)),  # beyond the picture's edge
)


def test_a_face_swapped_onto_itself_leaves_its_picture() -> None:
    for transform in PLACED:
        picture = Portrait(texture(200), transform)
        swap = draw_portrait(drawn(picture, picture, at_rest(SIZE)), picture, picture)
        assert swap.shape == picture.pixels.shape
        assert swap.dtype == np.uint8
        difference = np.abs(swap.astype(int) - picture.pixels)
        assert difference.max() <= 12  # a 32nd of a pixel, by which OpenCV reads, in sharp noise
        assert difference.mean() < 0.5


def test_bytes_outside_of_what_is_shown_are_unchanged() -> None:
    disc = (pixel_centres(SIZE).square().sum(dim=2) < 0.25).float()[None, None]
    for transform in PLACED:
        target, source = Portrait(texture(200), transform), Portrait(texture(300, 1), PLACED[0])
        before = target.pixels.copy()
        swap = draw_portrait(drawn(source, target, disc), source, target)
        np.testing.assert_array_equal(target.pixels, before)
        y, x = np.mgrid[0:200, 0:200] + 0.5
        at = transform.apply(np.stack([x, y], axis=2)) * 2 / SIZE - 1
        away = np.hypot(*at.transpose(2, 0, 1))
        np.testing.assert_array_equal(swap[away > 0.6], before[away > 0.6])
        within = away < 0.4
        assert (swap[within] != before[within]).mean() > 0.8


def test_motion_tone_and_share_are_enlarged() -> None:
    """The target alone, moved by four pixels of the crop, which are eight of the picture."""
    target = Portrait(texture(200), similarity(0.5, 0, (100, 100)))
    plain = drawn(target, target, 0.0)
    assert plain.motion is not None
    assert plain.tone is not None
    shift = plain.motion.clone()
    shift[:, 0] = 4 * 2 / SIZE
    moved = draw_portrait(replace(plain, motion=shift), target, target)
    box = inside(target)
    there = np.roll(target.pixels, -8, axis=1)
    np.testing.assert_array_equal(moved[box], there[box])
    np.testing.assert_array_equal(moved[~box], target.pixels[~box])
    brighter = draw_portrait(replace(plain, tone=plain.tone + 20 / 127.5), target, target)
    expected = (target.pixels[box].astype(int) + 20).clip(0, 255)
    assert np.abs(brighter[box] - expected).max() <= 1


def test_the_sources_hidden_half_is_shown_from_its_mirrored_place() -> None:
    source = Portrait(texture(128, 1, cell=4), similarity(0.5, 0, (64, 64)))
    target = Portrait(np.full((128, 128, 3), 128, np.uint8), source.transform)
    seen = drawn(source, target)
    assert seen.visibility is not None
    mirrored = seen.visibility.own.flip(3)
    own, other = (
        draw_portrait(replace(seen, visibility=replace(seen.visibility, own=at)), source, target)
        for at in (seen.visibility.own, mirrored)
    )
    hidden = replace(
        seen.visibility,
        other=mirrored,
        share=torch.zeros(1, 1, SIZE, SIZE),
        tone=seen.visibility.tone,
    )
    shown = draw_portrait(replace(seen, visibility=hidden), source, target)
    np.testing.assert_array_equal(shown, other)
    assert np.abs(shown.astype(int) - own).mean() > 10


@pytest.mark.parametrize("degrees", [0, 30])
def test_a_large_portrait_keeps_the_sources_sharpness(degrees: float) -> None:
    """512 px of source and target, decided at 64."""
    transform = similarity(SIZE / 512, degrees, (256, 256))
    source = Portrait(texture(512, 1, cell=2), transform)
    target = Portrait(np.full((512, 512, 3), 140, np.uint8), transform)
    swap = draw_portrait(drawn(source, target), source, target)
    middle = (slice(180, 330),) * 2
    assert sharpness(swap[middle]) > 0.9 * sharpness(source.pixels[middle])
    assert sharpness(swap[middle]) < 1.1 * sharpness(source.pixels[middle])
    # The tone is the target's.
    assert np.abs(swap[middle].mean(axis=(0, 1)) - 140).max() < 6


def test_a_large_source_in_a_small_target_does_not_alias() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, np.arange(512) % 4 == 0] = 240  # as often as every pixel of eight alike
    source = Portrait(stripes, similarity(SIZE / 512, 0, (256, 256)))
    grey = np.full((SIZE, SIZE, 3), 80, np.uint8)
    target = Portrait(grey, similarity(1.0, 3, (SIZE / 2, SIZE / 2)))
    swap = draw_portrait(drawn(source, target), source, target)
    assert swap[16:48, 16:48].std() < 3
    assert np.abs(swap[16:48, 16:48].astype(int) - 80).max() < 10


def test_the_enlargement_is_how_much_larger_the_targets_face_is() -> None:
    small = Portrait(texture(100), similarity(0.64, 0, (50, 50)))  # its crop has 100 px
    large = Portrait(texture(400), similarity(0.16, 20, (200, 200)))  # 400 px
    assert enlargement(small, large) == pytest.approx(4)
    assert enlargement(large, small) == pytest.approx(0.25)
    assert enlargement(large, large) == 1


def test_a_face_outside_of_the_picture_leaves_it_alone() -> None:
    target = Portrait(texture(100), similarity(1.0, 0, (-300, 50)))
    swap = draw_portrait(drawn(target, target), target, target)
    np.testing.assert_array_equal(swap, target.pixels)


def test_a_swap_from_latents_alone_has_no_other_size() -> None:
    picture = Portrait(texture(100), PLACED[0])
    whole = drawn(picture, picture)
    for lacking in (Decoded(whole.image), replace(whole, visibility=None)):
        with pytest.raises(ValueError, match="no size but the model's"):
            draw_portrait(lacking, picture, picture)


def test_the_reference_crop_of_these_tests_is_the_picture_reduced() -> None:
    picture = Portrait(texture(512, cell=8), similarity(SIZE / 512, 0, (256, 256)))
    reduced = np.asarray(Image.fromarray(picture.pixels).reduce(8)).transpose(2, 0, 1)[None]
    torch.testing.assert_close(crop(picture), planes_to_tensor(reduced.copy()), atol=0.02, rtol=0)
