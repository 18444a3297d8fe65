"""What a picture's pixels say by themselves: contrast, brightness, clipping, sharpness."""

from __future__ import annotations

import numpy as np

MIDDLE = 0.2
"""Share of each side that is left out on either hand: an aligned crop has its face there."""

BLACK, WHITE = 3, 252
"""8-bit levels at or beyond which all three channels count as clipped."""

FLAT = 1e-3
"""Deviation of grey levels below which a picture has no sharpness to speak of."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def grey_levels(cell: np.ndarray) -> np.ndarray:
    """uint8 (C, H, W) -> float32 (H, W) in [0, 255]; luma of three channels, else the mean."""
    pixels = cell.astype(np.float32)
    return np.tensordot(LUMA, pixels, 1) if len(cell) == 3 else pixels.mean(axis=0)


def middle(pixels: np.ndarray) -> np.ndarray:
    """The middle of (..., H, W)."""
    top, left = int(pixels.shape[-2] * MIDDLE), int(pixels.shape[-1] * MIDDLE)
    return pixels[..., top : pixels.shape[-2] - top, left : pixels.shape[-1] - left]


def brightness(cell: np.ndarray) -> float:
    """Mean grey level of the middle, in [0, 255]."""
    return float(middle(grey_levels(cell)).mean())


def clipped(cell: np.ndarray) -> float:
    """Share of the middle's pixels that are black or white in all channels, in [0, 1]."""
    inner = middle(cell)
    return float(((inner.max(axis=0) <= BLACK) | (inner.min(axis=0) >= WHITE)).mean())


def sharpness(cell: np.ndarray) -> float:
    """Deviation of the middle's Laplacian over that of its grey levels; NaN if it is flat.

    Contrast and brightness cancel out. Rendered faces lie above 0.5, blurred by 2 pixels below
    0.22; enlarged photographs between 0.15 and 1.
    """
    grey = grey_levels(cell)
    if min(grey.shape) < 8:
        return float("nan")
    spread = float(middle(grey).std())
    if spread < FLAT:
        return float("nan")
    ring = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(middle(4 * grey[1:-1, 1:-1] - ring).std()) / spread
