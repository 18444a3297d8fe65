"""From a full picture to the face crop and back, by five points.

Points are (x, y) in pixels with the origin at the top-left corner of the top-left pixel, so a
pixel's centre lies at +0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facegraft.core.errors import FacegraftError


class AlignmentError(FacegraftError):
    """The points determine no similarity transform."""


@dataclass(frozen=True)
class Similarity:
    """p -> scale * rotation @ p + shift; rotation is proper (no mirror)."""

    scale: float
    rotation: np.ndarray  # float64 (2, 2)
    shift: np.ndarray  # float64 (2,)

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) -> float64 (..., 2)."""
        return self.scale * np.asarray(points, np.float64) @ self.rotation.T + self.shift

    def inverse(self) -> Similarity:
        rotation = self.rotation.T
        return Similarity(1 / self.scale, rotation, -(rotation @ self.shift) / self.scale)

    def matrix(self) -> np.ndarray:
        """float64 (2, 3), the affine matrix; what a sidecar stores."""
        return np.column_stack([self.scale * self.rotation, self.shift])


def fit_similarity(source: np.ndarray, target: np.ndarray) -> Similarity:
    """The least-squares similarity that takes points `source` (N, 2) to `target` (N, 2).

    Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", PAMI 13(4), 1991, equations 38 to 43.

    Raises:
        AlignmentError: points are not finite, fewer than two, or all in one place.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2:
        raise AlignmentError(f"two (N, 2) point sets expected: {source.shape}, {target.shape}")
    if len(source) < 2 or not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise AlignmentError("at least two finite points are needed")
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    source_centred, target_centred = source - source_mean, target - target_mean
    variance = (source_centred**2).sum() / len(source)
    left, singular, right = np.linalg.svd(target_centred.T @ source_centred / len(source))
    signs = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right)) or 1.0])
    scale = (singular * signs).sum() / variance if variance > 0 else 0.0
    if scale < 1e-9:
        raise AlignmentError("the points lie in one place: no scale or rotation can be read")
    rotation = left @ np.diag(signs) @ right
    return Similarity(float(scale), rotation, target_mean - scale * rotation @ source_mean)


def align(
    image: np.ndarray, landmarks: np.ndarray, canonical: np.ndarray, size: int
) -> tuple[np.ndarray, Similarity]:
    """Cut the face crop out of a picture.

    Args:
        image: uint8 (H, W, 3).
        landmarks: (5, 2), in the picture.
        canonical: (5, 2), where they lie in a crop of `size` pixels.
        size: width and height of the crop.

    Returns:
        The crop, uint8 (size, size, 3), its border repeated where it leaves the picture, and the
        transform from picture to crop.

    Raises:
        AlignmentError: the landmarks determine no transform.
    """
    transform = fit_similarity(landmarks, canonical)
    return warp(image, transform, (size, size)), transform


def paste(
    crop: np.ndarray,
    transform: Similarity,
    image: np.ndarray,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """Lay a crop back on the full picture that it was cut from.

    Args:
        crop: uint8 (S, S, 3).
        transform: picture to crop, from `align`.
        image: uint8 (H, W, 3); left untouched.
        mask: float (S, S) in [0, 1], the crop's share; default: all of the crop, with a border
            that fades out over an eighth of its side (`soft_border`).

    Returns:
        uint8 (H, W, 3): `image` bit for bit wherever the mask is 0 or the crop does not reach.
    """
    if mask is None:
        mask = soft_border(crop.shape[0])
    first, last = _footprint(transform, crop.shape[:2], margin=1)
    left, top = first.clip(0)
    right, bottom = np.minimum(last, image.shape[1::-1])
    extent = (bottom - top, right - left)
    mixed = image.copy()
    if min(extent) <= 0:
        return mixed
    back = transform.inverse()
    back = Similarity(back.scale, back.rotation, back.shift - np.array([left, top]))
    # 8-bit steps of the mask would show as rings in smooth skin: float weights instead.
    weight = _resampled(mask, back, extent, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT)[..., None]
    here = image[top:bottom, left:right]
    blend = weight * warp(crop, back, extent) + (1.0 - weight) * here
    mixed[top:bottom, left:right] = np.where(weight > 0, np.rint(blend), here)
    return mixed


def soft_border(size: int, share: float = 0.125) -> np.ndarray:
    """float32 (size, size): 1 inside, falling smoothly to 0 over `share` of the side."""
    centres = np.arange(size) + 0.5
    depth = np.minimum(centres, size - centres) / max(share * size, 1e-9)
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.clip(depth, 0.0, 1.0))
    return np.outer(ramp, ramp).astype(np.float32)


def warp(image: np.ndarray, transform: Similarity, extent: tuple[int, int]) -> np.ndarray:
    """Resample uint8 (H, W, 3) into `extent` (height, width); the border is repeated outside.

    Bicubic; a strong reduction is box-filtered first, so that it does not alias.
    """
    factor = max(1, int(1 / transform.scale))
    if factor > 1:
        image = _reduced(image, factor)
        transform = Similarity(transform.scale * factor, transform.rotation, transform.shift)
    # Float weights: on 8-bit pictures OpenCV's are rounded to 1/2048.
    levels = _resampled(image, transform, extent, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
    return np.rint(levels.clip(0, 255)).astype(np.uint8)


def _footprint(
    transform: Similarity, extent: tuple[int, int], margin: int
) -> tuple[np.ndarray, np.ndarray]:
    """First and last (x, y), int64, of the picture's box that the crop covers; may lie outside."""
    height, width = extent
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    covered = transform.inverse().apply(corners)
    first, last = np.floor(covered.min(axis=0)), np.ceil(covered.max(axis=0))
    return first.astype(np.int64) - margin, last.astype(np.int64) + margin


def _reduced(image: np.ndarray, factor: int) -> np.ndarray:
    """Box-average whole blocks; the last ones are filled by repeating the border."""
    padding = [(0, -side % factor) for side in image.shape[:2]]
    padded = np.pad(image, (*padding, (0, 0)), mode="edge")
    height, width = (side // factor for side in padded.shape[:2])
    return cv2.resize(padded, (width, height), interpolation=cv2.INTER_AREA)


def _resampled(
    image: np.ndarray, transform: Similarity, extent: tuple[int, int], method: int, border: int
) -> np.ndarray:
    """(H, W) or (H, W, 3) -> float32 of `extent` by OpenCV's affine resampling.

    Only the part that is needed is read: OpenCV takes no picture of more than 32,766 pixels a side.
    """
    first, last = _footprint(transform, extent, margin=3)
    sides = np.array(image.shape[1::-1])
    left, top = first.clip(0, sides - 1)
    right, bottom = last.clip([left + 1, top + 1], sides)
    part = np.ascontiguousarray(image[top:bottom, left:right], np.float32)
    matrix = transform.matrix()
    # Here a pixel's centre lies at +0.5, at OpenCV's at 0.
    matrix[:, 2] += matrix[:, :2] @ (np.array([left, top]) + 0.5) - 0.5
    return cv2.warpAffine(part, matrix, extent[::-1], flags=method, borderMode=border)
