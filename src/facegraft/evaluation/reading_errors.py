"""What the landmark reader says of a swap, against what it says of the true swap; and sharpness."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facegraft.data.faces import Faces
from facegraft.data.grids import REGIONS, Grid
from facegraft.evaluation.benchmark import Pair, PairImages, PairMetric
from facegraft.method.landmarks import canonical, openings

SHARP_REGIONS = ("eyes", "brows", "mouth")

FEW = 24
"""Pixels of a region below which its sharpness is not measured."""

Read = Callable[[Tensor], Faces | None]
"""A picture (1, 3, S, S) -> its face, or None where none is found."""


def read_by(read: Read) -> PairMetric:
    """How far a swap's openings, expression and pose are off the true swap's, as it is read.

    Keys: `row/eye_opening_error` over the eye's width, `mouth_opening_error` and
    `mouth_width_error` over the distance of the eyes' outer corners, `expression_read_error` (root
    of the summed squares of the 52 coefficients), `pose_read_error` (degrees). A face that is not
    found counts as NaN: not measured.
    """

    def measure(
        pair: Pair, images: PairImages, rows: Mapping[str, Tensor]
    ) -> Iterator[tuple[str, float]]:
        known = {"copy_target": images.target, "copy_source": images.source}
        truth = images.true_swap
        for row, picture in rows.items():
            if row == "true_swap":
                continue
            faces = known[row] if row in known else read(picture)
            for metric, value in _errors(faces, truth).items():
                yield f"{row}/{metric}", value

    return measure


def _errors(faces: Faces | None, truth: Faces) -> dict[str, float]:
    names = [f"{name}_error" for name in openings(truth.landmarks)]
    names += ["expression_read_error", "pose_read_error"]
    if faces is None:
        return dict.fromkeys(names, float("nan"))
    mine, wanted = openings(faces.landmarks), openings(truth.landmarks)
    values = [float((mine[name] - wanted[name]).abs()) for name in wanted]
    values.append(float((faces.expression - truth.expression).norm()))
    # The turn that brings one onto the other: the shapes differ a little, the pose is what is left.
    _, _, turn = canonical(faces.landmarks, truth.landmarks[0])
    cosine = ((turn[0].trace() - 1) / 2).clamp(-1.0, 1.0)
    values.append(float(torch.rad2deg(torch.acos(cosine))))
    return dict(zip(names, values, strict=True))


def sharpness(grids: Sequence[Grid]) -> PairMetric:
    """Deviation of the Laplacian in eyes, brows and mouth over the true swap's: 1 is as sharp.

    Keys: `row/sharpness_eyes` and so on; NaN where the true swap shows too little of a region.
    """

    def measure(
        pair: Pair, images: PairImages, rows: Mapping[str, Tensor]
    ) -> Iterator[tuple[str, float]]:
        labels = grids[pair.grid].regions[pair.truth]
        edges = {row: laplacian(picture)[0, 0].cpu().numpy() for row, picture in rows.items()}
        for region in SHARP_REGIONS:
            inside = labels == REGIONS.index(region)
            few = int(inside.sum()) < FEW
            truth = float(edges["true_swap"][inside].std()) if not few else 0.0
            for row in rows:
                if row != "true_swap":
                    ratio = float(edges[row][inside].std()) / truth if truth > 0 else np.nan
                    yield f"{row}/sharpness_{region}", float(ratio)

    return measure


def laplacian(images: Tensor) -> Tensor:
    """Of the grey levels: (B, 3, H, W) -> (B, 1, H, W)."""
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    grey = F.pad(images.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    return F.conv2d(grey, kernel.to(grey)[None, None])


def share_of_the_way(columns: Mapping[str, np.ndarray], judge: str) -> dict[str, np.ndarray]:
    """From copied target to true swap in a judge's similarity to the source, pair by pair.

    The mean over the pairs is the ratio of the means; it does not depend on the recogniser's
    scale. 0 is the target copied, 1 the true swap.
    """
    key = f"{judge}_similarity_source"
    known = [columns.get(f"{row}/{key}") for row in ("model", "copy_target", "true_swap")]
    if any(one is None for one in known):
        return {}
    model, copied, truth = (np.asarray(one) for one in known)
    way = float(np.mean(truth - copied))
    share = (model - copied) / way if way > 0 else np.full(len(model), np.nan)
    return {f"model/{judge}_share_of_the_way": share}
