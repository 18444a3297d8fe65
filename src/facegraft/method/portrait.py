"""A swap at the picture's own size: decisions at the model's, pixels the pictures' own.

Every pixel is read once from the target's picture and once from the source's, through the motion
that the model drew at its own size; share and tone are enlarged. Where nothing moves and nothing is
shown the target keeps its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

from facegraft.imaging.alignment import Similarity
from facegraft.method.decoder import Decoded, Visibility
from facegraft.method.warp import pixel_centres

STILL = 1e-4
"""Motion, in pixels of the crop, and shares below which a pixel is left alone."""


@dataclass(frozen=True)
class Portrait:
    """A whole picture and where its face-filling crop lies.

    Attributes:
        pixels: uint8 (H, W, 3), RGB. transform: from the picture to the crop, in pixels.
    """

    pixels: np.ndarray
    transform: Similarity


def enlargement(source: Portrait, target: Portrait) -> float:
    """Pixels of the target's face over those of the source's; above 1 the source is enlarged."""
    return source.transform.scale / target.transform.scale


def draw_portrait(decoded: Decoded, source: Portrait, target: Portrait) -> np.ndarray:
    """The swap in the target's whole picture, uint8 (H, W, 3).

    Args:
        decoded: one swap, drawn with the source's own pixels (`Decoded.visibility`).

    Raises:
        ValueError: the swap was painted from latents alone.
    """
    drawn = (decoded.motion, decoded.share, decoded.tone, decoded.target_tone)
    if any(one is None for one in drawn) or decoded.visibility is None:
        raise ValueError("a swap without the pictures' own pixels has no size but the model's")
    motion, share, change, target_tone = (_plane(one) for one in drawn if one is not None)
    visibility = decoded.visibility
    size = motion.shape[0]
    top, left, bottom, right = _box(target, size)
    picture = target.pixels.copy()
    if bottom <= top or right <= left:
        return picture
    here = _places(target, (top, left, bottom, right))  # (h, w, 2), pixels of the crop
    moved = _enlarged(motion, here) * (size / 2)
    moved_target = _from_picture(target, here + moved)
    shown = _shown(visibility, source, target, here)
    decided = _enlarged(share, here)[..., None].clip(0.0, 1.0)
    detail = (shown - _levels(_enlarged(_plane(visibility.tone), here))) - (
        moved_target - _levels(_enlarged(target_tone, here))
    )
    added = _enlarged(change, here)
    image = moved_target + decided * detail + added * 127.5
    touched = (
        (np.abs(moved).max(axis=2) > STILL)
        | (decided[..., 0] > STILL)
        | (np.abs(added).max(axis=2) * 127.5 > 0.25)
    )
    inside = ((here >= 0) & (here <= size)).all(axis=2)
    part = picture[top:bottom, left:right]
    part[touched & inside] = np.rint(image.clip(0, 255)).astype(np.uint8)[touched & inside]
    return picture


def bent_source(
    decoded: Decoded, source: Portrait, target: Portrait
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """What `draw_portrait` takes the source's detail from.

    Returns:
        Rows and columns of the target's picture; there, the source warped alone, float32 (h, w, 3)
        in 8-bit levels; and its share in the swap, float32 (h, w) in [0, 1].

    Raises:
        ValueError: as `draw_portrait`.
    """
    if decoded.visibility is None or decoded.share is None:
        raise ValueError("a swap without the pictures' own pixels has no size but the model's")
    share = _plane(decoded.share)
    top, left, bottom, right = box = _box(target, share.shape[0])
    here = _places(target, box)
    shown = _shown(decoded.visibility, source, target, here)
    part = (slice(top, bottom), slice(left, right))
    return part, shown, _enlarged(share, here).clip(0.0, 1.0)


def _shown(
    visibility: Visibility, source: Portrait, target: Portrait, here: np.ndarray
) -> np.ndarray:
    """The source's pixels where the swap has them, its hidden half from the other one: (h, w, 3).

    The offset is upsampled, not the absolute position: cv2.remap quantises sampling positions to
    1/32 px of the crop, and an absolute position is off by as much.
    """
    size = visibility.share.shape[-1]
    at_crop = pixel_centres(size).numpy()
    own, other = (
        _from_picture(source, here + _enlarged(_plane(one) - at_crop, here) * (size / 2), target)
        for one in (visibility.own, visibility.other)
    )
    mixed = _enlarged(_plane(visibility.share), here)[..., None]
    return np.asarray(mixed * own + (1 - mixed) * other)


def _plane(field: Tensor) -> np.ndarray:
    """(1, C, S, S) -> float32 (S, S, C), or (S, S) of one channel."""
    plane = np.ascontiguousarray(field[0].permute(1, 2, 0).numpy(), np.float32)
    return plane[..., 0] if plane.shape[2] == 1 else plane


def _levels(values: np.ndarray) -> np.ndarray:
    """[-1, 1] -> 8-bit levels."""
    return (values + 1) * 127.5


def _box(target: Portrait, size: int) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of the crop's footprint in the picture."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
    covered = target.transform.inverse().apply(corners)
    low = np.floor(covered.min(axis=0)).astype(int).clip(0)
    high = np.ceil(covered.max(axis=0)).astype(int)
    height, width = target.pixels.shape[:2]
    return low[1], low[0], min(int(high[1]), height), min(int(high[0]), width)


def _places(target: Portrait, box: tuple[int, int, int, int]) -> np.ndarray:
    """Where the picture's pixels lie in the crop, in its pixels: (h, w, 2)."""
    top, left, bottom, right = box
    x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    return target.transform.apply(np.stack([x, y], axis=2)).astype(np.float32)


def _enlarged(field: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A field of the model's size at places in the crop, bicubic; its border repeated."""
    at = places - 0.5
    return np.asarray(
        cv2.remap(field, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    )


def _from_picture(
    portrait: Portrait, places: np.ndarray, shown_in: Portrait | None = None
) -> np.ndarray:
    """A picture read at places in its crop, float32 (h, w, 3) in 8-bit levels.

    Args:
        shown_in: the picture that it is shown in; where that is much smaller, this one is reduced
            first, so that it does not alias.
    """
    pixels, transform = portrait.pixels, portrait.transform
    factor = 1
    if shown_in is not None:
        factor = max(1, int(shown_in.transform.scale / transform.scale))
    if factor > 1:
        height, width = (max(1, side // factor) for side in pixels.shape[:2])
        cut = pixels[: height * factor, : width * factor]
        pixels = cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA)
    at = (transform.inverse().apply(places) / factor - 0.5).astype(np.float32)
    return np.asarray(
        cv2.remap(
            pixels.astype(np.float32),
            at[..., 0],
            at[..., 1],
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
    )
