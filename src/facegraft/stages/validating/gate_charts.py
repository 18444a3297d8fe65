"""The gate page's histograms, each with the bound that its statistic is held to."""

from __future__ import annotations

import pandas as pd

from facegraft.core.config import ValidateParams
from facegraft.imaging.perceptual_hash import BITS
from facegraft.presenting.charts import histogram
from facegraft.presenting.pages import Chart


def charts(manifest: pd.DataFrame, statistics: pd.DataFrame, params: ValidateParams) -> list[Chart]:
    """A histogram of every statistic that a rule reads."""
    p = params
    reach = f"{p.min_pose_share:.0%} beyond either line"
    nearest = statistics["nearest"].astype(float)
    seen = {name: column.to_numpy(float, na_value=float("nan")) for name, column in statistics[
        ["face_fraction", "face_score", "pixel_std", "sharpness", "brightness", "clipped", "yaw",
         "pitch", "identity_margin"]
    ].items()}  # fmt: skip
    images = manifest["identity_id"].value_counts().to_numpy(float)
    return [
        histogram(seen["face_fraction"], "face height over image height", low=p.min_face_fraction),
        histogram(seen["face_score"], "detector's confidence"),
        histogram(seen["pixel_std"], "deviation of grey levels", low=p.min_pixel_std),
        histogram(seen["sharpness"], "sharpness", low=p.min_sharpness),
        histogram(seen["brightness"], "mean level of the middle",
                  low=p.min_brightness, high=p.max_brightness),
        histogram(seen["clipped"], "share of clipped pixels", high=p.max_clipped),
        histogram(seen["yaw"], f"yaw, degrees ({reach})", marks=_both(p.min_yaw_reach)),
        histogram(seen["pitch"], f"pitch, degrees ({reach})", marks=_both(p.min_pitch_reach)),
        histogram(nearest.where(nearest <= BITS).to_numpy(), "bits to the nearest of another split",
                  low=p.min_hash_distance),
        histogram(seen["identity_margin"], "an identity's likeness to itself, above others",
                  low=p.min_identity_margin),
        histogram(images, "images per identity", unit="identities"),
    ]  # fmt: skip


def _both(reach: float) -> tuple[float, float]:
    return (-reach, reach)
