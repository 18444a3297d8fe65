"""Dense warps from landmarks: by triangles inside the face, by splatted motion about it.

Places are x, y in [-1, 1] over a picture, as `torch.nn.functional.grid_sample` has them with
align_corners=False. A field is where each pixel of the swap is taken from, or how far that lies
from the pixel itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facegraft.method.landmarks import SURFACE, face_mesh

SUBPIXEL_BITS = 4
"""Corners are drawn on a sixteenth of a pixel."""

FINE, COARSE = 1 / 28, 1 / 10
"""Reach of a splatted point, in halves of the side: where points lie close, and elsewhere."""

GRAZING, FACING = 0.2, 0.3
"""Cosine to the viewer up to which a surface is not believed, since what lies behind its edge mixes
in; and how much more it takes to be believed in full."""

FAR = 36.0
"""Exponent beyond which a splatted point counts as 0, not as 2e-16: products of such tails fall
below float32's normal range, where a processor multiplies many times slower."""

FIELD = 64
"""Pixels of the splatted fields, whatever the picture's size."""

TONE_REACH = 9
"""Pixels of 128 of the box that separates tone from detail, laid over twice."""


@dataclass(frozen=True)
class Raster:
    """Which triangle of the face mesh each pixel shows.

    Attributes:
        corners: int64 (B, H, W, 3), the landmarks of the triangle; 0 where there is none.
        weights: float32 (B, H, W, 3), their shares, sum 1; 0 where there is none.
        inside: bool (B, H, W).
    """

    corners: Tensor
    weights: Tensor
    inside: Tensor

    def spread(self, values: Tensor) -> Tensor:
        """Interpolate what landmarks carry, (B, K, C) -> (B, C, H, W); 0 outside of the mesh."""
        batch, height, width, _ = self.corners.shape
        index = self.corners.view(batch, -1, 1).expand(-1, -1, values.shape[2])
        taken = values.gather(1, index).view(batch, height * width, 3, -1)
        spread = (taken * self.weights.view(batch, -1, 3, 1)).sum(dim=2)
        return spread.transpose(1, 2).reshape(batch, -1, height, width)


def raster(landmarks: Tensor, side: int) -> Raster:
    """Draw the mesh of faces, near triangles over far ones; those that face away are left out.

    Args:
        landmarks: (B, 478, 3), detached. side: pixels of the square picture.
    """
    known = landmarks.detach().cpu().numpy()
    mesh = face_mesh().corners
    shown = np.stack([_painted(face[:SURFACE], mesh, side) for face in known])  # -1: none
    inside = torch.from_numpy(shown >= 0)
    corners = torch.from_numpy(mesh[np.maximum(shown, 0)])  # (B, H, W, 3)
    weights = _shares(torch.from_numpy(known[..., :2]), corners, side)
    weights = weights * inside[..., None]
    device = landmarks.device
    return Raster(corners.to(device), weights.to(device), inside.to(device))


def _painted(face: np.ndarray, mesh: np.ndarray, side: int) -> np.ndarray:
    """The number of the triangle that each pixel shows, int32 (side, side), -1 for none."""
    places = np.clip((face[:, :2] + 1) * side / 2 - 0.5, -4.0 * side, 4.0 * side)
    drawn = np.round(places * 2**SUBPIXEL_BITS).astype(np.int32)
    canvas = np.full((side, side), -1, np.float32)
    order = np.argsort(-face[mesh, 2].mean(axis=1), kind="stable")
    for triangle in order[_area(places, mesh)[order] < -1e-6]:
        cv2.fillConvexPoly(
            canvas, drawn[mesh[triangle]], float(triangle), cv2.LINE_8, SUBPIXEL_BITS
        )
    return canvas.astype(np.int32)


def _area(places: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """Twice the triangles' signed areas: negative where they face the viewer."""
    first, second, third = (places[mesh[:, k]] for k in range(3))
    one, other = second - first, third - first
    return np.asarray(one[:, 0] * other[:, 1] - other[:, 0] * one[:, 1])


def _shares(places: Tensor, corners: Tensor, side: int) -> Tensor:
    """Barycentric coordinates of pixel centres in their triangles, (B, H, W, 3)."""
    batch = torch.arange(len(places))[:, None, None]
    first, second, third = (places[batch, corners[..., k]] for k in range(3))
    own = pixel_centres(side, places.dtype)
    one, other, here = second - first, third - first, own - first
    area = one[..., 0] * other[..., 1] - other[..., 0] * one[..., 1]
    area = torch.where(area.abs() < 1e-12, torch.full_like(area, 1e-12), area)
    u = (here[..., 0] * other[..., 1] - other[..., 0] * here[..., 1]) / area
    v = (one[..., 0] * here[..., 1] - here[..., 0] * one[..., 1]) / area
    shares = torch.stack([1 - u - v, u, v], dim=3).clamp(0.0, 1.0)
    return shares / shares.sum(dim=3, keepdim=True).clamp_min(1e-6)


def pixel_centres(side: int, dtype: torch.dtype | None = None) -> Tensor:
    """Where the pixels of a picture lie: (side, side, 2), x then y."""
    ticks = (torch.arange(side, dtype=dtype or torch.get_default_dtype()) + 0.5) * 2 / side - 1
    return torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), dim=2)


def facing(landmarks: Tensor) -> Tensor:
    """How much each landmark faces the viewer, (B, 478, 3) -> (B, 478) in [0, 1].

    By the normals of the triangles about it; an iris as the corner of its eye.
    """
    corners = torch.from_numpy(face_mesh().corners).to(landmarks.device)
    first, second, third = (landmarks[:, corners[:, k]] for k in range(3))
    normals = torch.linalg.cross(second - first, third - first, dim=2)
    at = torch.zeros_like(landmarks)
    for k in range(3):
        at.index_add_(1, corners[:, k], normals)
    at = F.normalize(at, dim=2)
    at = torch.cat([at[:, :SURFACE], at[:, [33] * 5 + [263] * 5]], dim=1)
    return ((-at[..., 2] - GRAZING) / FACING).clamp(0.0, 1.0)


def splat(places: Tensor, values: Tensor, weights: Tensor, sigma: float, ridge: float) -> Tensor:
    """Normalised Gaussian splatting.

    Args:
        places: (B, K, 2). values: (B, K, C). weights: (B, K). sigma: in halves of the side.
        ridge: constant added to the denominator; pulls values to 0 far from all points.

    Returns:
        (B, C + 1, FIELD, FIELD); the last channel is how much is known, in [0, 1).
    """
    ticks = (torch.arange(FIELD).to(places) + 0.5) * 2 / FIELD - 1

    def near(at: Tensor) -> Tensor:
        exponent = 0.5 * ((at[..., None] - ticks) / sigma).square()
        return torch.exp(-exponent).masked_fill(exponent > FAR, 0.0)  # (B, K, FIELD)

    carried = torch.cat([values, torch.ones_like(values[..., :1])], dim=2) * weights[..., None]
    # Spelt out: as an einsum the first product is a matrix product of (C, 1) by (1, FIELD) a point.
    rows = carried.mT[:, :, None] * near(places[..., 1]).mT[:, None]  # (B, C, FIELD, K)
    field = (rows.flatten(1, 2) @ near(places[..., 0])).unflatten(1, rows.shape[1:3])
    return field / (field[:, -1:] + ridge)


def along(values: Tensor, ring: Sequence[int], parts: int) -> Tensor:
    """What landmarks carry, also between neighbours of a closed ring: (B, K, C) -> (B, K', C).

    Splatted points further apart than `FINE` leave a scalloped field between them.

    Args:
        parts: into which each step of the ring is divided.
    """
    first = values[:, list(ring)]
    second = first.roll(-1, dims=1)
    between = [torch.lerp(first, second, k / parts) for k in range(1, parts)]
    return torch.cat([values, *between], dim=1)


def splatted_motion(places: Tensor, motion: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """A field of motion about points that move, and where it is known.

    Args:
        places: (B, K, 2), where the points come to lie. motion: (B, K, 2). weights: (B, K).

    Returns:
        (B, 2, FIELD, FIELD) and (B, 1, FIELD, FIELD) in [0, 1).
    """
    fine = splat(places, motion, weights, FINE, 0.05)
    coarse = splat(places, motion, weights, COARSE, 0.1)
    share = fine[:, 2:]
    mixed = share * fine[:, :2] / share.clamp_min(1e-3) + (1 - share) * coarse[:, :2]
    return mixed, coarse[:, 2:]


def resized(field: Tensor, side: int, mode: str = "bilinear") -> Tensor:
    """A field (B, C, h, h) at another side."""
    if field.shape[-1] == side:
        return field
    return F.interpolate(field, side, mode=mode, align_corners=False)


def warped(image: Tensor, motion: Tensor) -> Tensor:
    """A picture (B, C, S, S) read where `motion`, (B, 2, S, S), points; exact where it is 0."""
    places = pixel_centres(motion.shape[-1]).to(motion) + motion.permute(0, 2, 3, 1)
    return sampled(image, places)


def sampled(image: Tensor, places: Tensor) -> Tensor:
    """A picture (B, C, h, w) read at (B, H, W, 2), its border repeated outside."""
    return F.grid_sample(image, places, padding_mode="border", align_corners=False)


def tone(image: Tensor) -> Tensor:
    """What is left of pictures (B, C, S, S) without detail: two box filters, see `TONE_REACH`."""
    reach = max(1, TONE_REACH * image.shape[-1] // 128) | 1
    padded = F.pad(image, (reach - 1,) * 4, mode="replicate")
    return window_mean(window_mean(padded, reach), reach)


def softened(mask: Tensor, pixels: int) -> Tensor:
    """A mask (B, 1, S, S) that fades to 0 towards its own edge, over `pixels` of 128."""
    reach = max(1, pixels * mask.shape[-1] // 128) | 1
    near = window_mean(F.pad(mask, (reach // 2,) * 4, mode="replicate"), reach)
    return (2 * near - 1).clamp(0.0, 1.0)


def window_mean(image: Tensor, reach: int) -> Tensor:
    """Means over windows of reach x reach pixels.

    By running sums, whose cost does not grow with the reach as a pooling's does.

    Args:
        image: (B, C, H, W). reach: pixels, at most H and W.

    Returns:
        (B, C, H - reach + 1, W - reach + 1).
    """
    for dim, before in ((-2, (0, 0, 1, 0)), (-1, (1, 0))):
        sums = F.pad(image, before).cumsum(dim)
        left = sums.shape[dim] - reach
        image = sums.narrow(dim, reach, left) - sums.narrow(dim, 0, left)
    return image / reach**2


def polygon_mask(places: Tensor, side: int) -> Tensor:
    """The inside of polygons, (B, K, 2) -> (B, 1, side, side) in [0, 1], edges a pixel soft."""
    fine = 4
    masks = []
    for corners in places.detach().cpu().numpy():
        canvas = np.zeros((side * fine, side * fine), np.uint8)
        at = np.clip((corners + 1) / 2 * side * fine, -1e4, 1e4)
        cv2.fillPoly(canvas, [np.round(at).astype(np.int32)], 255)
        masks.append(cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA))
    return torch.from_numpy(np.stack(masks))[:, None].to(places) / 255.0
