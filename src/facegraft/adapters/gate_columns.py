"""What spans rows of the manifest, counted into columns that a rule can read row by row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from facegraft.adapters.albums import is_album
from facegraft.adapters.store import SPLITS, SUBJECT_KINDS
from facegraft.core.config import ValidateParams
from facegraft.imaging.head_pose import pose_of

Bounds = Mapping[str, tuple[float, float]]
"""Parameter column -> lowest and highest value allowed."""

POSE = ("yaw", "pitch", "roll")
PARAMETERS = ("identity.", "attribute.")
CODES = ("identity_code", "attribute_code")
"""Columns that no rule reads; a million rows of them are gigabytes."""


def with_counts(manifest: pd.DataFrame, bounds: Bounds) -> pd.DataFrame:
    """The manifest's columns that rules read, with what spans rows counted into columns."""
    kept = [c for c in manifest.columns if not c.startswith(PARAMETERS)]
    frame = manifest[kept].drop(columns=["landmarks", *CODES], errors="ignore")
    for column in ("sha256", "identity_id", "attribute_id"):
        frame[f"splits_of_{column}"] = _distinct(manifest, column, "split")
    frame["attributes_of_identity"] = _distinct(manifest, "identity_id", "attribute_id")
    frame["identity_excess"] = _identity_excess(manifest)
    for column, known in (("subject_kind", SUBJECT_KINDS), ("split", SPLITS)):
        # An unknown name breaks a rule of its own already.
        values = manifest[column].where(manifest[column].isin(known))
        frame[f"share_of_{column}"] = _occurrences(values) / max(len(manifest), 1)
    frame["parameter_excess"] = _parameter_excess(manifest, bounds)
    frame["landmark_excess"] = _landmark_excess(manifest)
    return _as_doubles(frame)


def rule_inputs(statistics: pd.DataFrame, params: ValidateParams) -> pd.DataFrame:
    """The statistics as the rules read them: one fault breaks one rule, a missing figure breaks it.

    Of a blank picture sharpness, brightness, clipping and nearest picture become null, which these
    rules skip: it breaks `not_blank` alone. Where a figure is missing for any other reason, the
    worst stands for it. The columns left, right, up and down are 1 where the head turns so, else
    null.
    """
    frame = statistics.drop(columns=["nearest_key"], errors="ignore").copy()
    blank = (frame["pixel_std"] < params.min_pixel_std).to_numpy()
    worst = {"sharpness": 0.0, "brightness": -1.0, "clipped": 1.0, "nearest": -1.0}
    for column in worst.keys() & set(frame.columns):
        figures = frame[column].astype(np.float64).fillna(worst[column])
        frame[column] = figures.mask(blank)
    for turn, angle, sign, reach in (
        ("left", "yaw", -1, params.min_yaw_reach),
        ("right", "yaw", 1, params.min_yaw_reach),
        ("up", "pitch", -1, params.min_pitch_reach),
        ("down", "pitch", 1, params.min_pitch_reach),
    ):
        turned = sign * frame[angle].astype(np.float64) >= reach
        frame[turn] = np.where(turned, 1.0, np.nan)
    return _as_doubles(frame)


def _as_doubles(frame: pd.DataFrame) -> pd.DataFrame:
    """GX compares float64 as whole columns and float32 value by value, forty times slower."""
    return frame.astype(dict.fromkeys(frame.select_dtypes("float32"), np.float64))


def head_poses(manifest: pd.DataFrame) -> pd.DataFrame:
    """Columns `POSE` in degrees: the manifest's own parameters, else read off the landmarks."""
    estimated = pose_of(landmark_array(manifest).reshape(-1, 5, 2))
    poses = pd.DataFrame(estimated, columns=list(POSE), index=manifest.index)
    for name in POSE:
        if f"attribute.{name}" in manifest:
            known = manifest[f"attribute.{name}"].astype(np.float32)
            poses[name] = known.where(known.notna(), poses[name])
    return poses


def landmark_array(manifest: pd.DataFrame) -> np.ndarray:
    """float32 (N, 10); NaN where a row has no ten numbers."""
    rows = list(manifest["landmarks"])
    if all(isinstance(row, np.ndarray) and row.shape == (10,) for row in rows):
        return np.concatenate([np.zeros(0), *rows]).astype(np.float32).reshape(-1, 10)
    unknown = np.full(10, np.nan)
    found = [row if row is not None and np.shape(row) == (10,) else unknown for row in rows]
    return np.array(found, np.float32).reshape(-1, 10)


def _distinct(manifest: pd.DataFrame, by: str, of: str) -> np.ndarray:
    """Per row, how many values of column `of` its value of column `by` is seen with.

    NaN where `by` is null, or is seen with none.
    """
    ours, ours_named = pd.factorize(manifest[by])
    theirs, theirs_named = pd.factorize(manifest[of])
    known = (ours >= 0) & (theirs >= 0)
    pairs = np.unique(ours[known].astype(np.int64) * len(theirs_named) + theirs[known])
    counts = np.bincount(pairs // max(len(theirs_named), 1), minlength=len(ours_named))
    seen = np.append(counts, 0)[ours].astype(np.float32)
    return np.where(seen > 0, seen, np.nan)


def _occurrences(values: pd.Series) -> np.ndarray:
    """Per row, how many rows share its value; NaN where it is null."""
    codes, names = pd.factorize(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(names)).astype(np.float32)
    return np.append(counts, np.nan)[codes]


def _identity_excess(manifest: pd.DataFrame) -> np.ndarray:
    """Per row, images of its identity over the median identity of its album or subject kind.

    What is rendered shows each identity as often as params say, an album as often as there are
    pictures: it is compared with itself.
    """
    images = _occurrences(manifest["identity_id"])
    origins = _origins(manifest)
    people, _ = pd.factorize(manifest["identity_id"])
    count = origins.max(initial=0) + 1
    _, once = np.unique(people.astype(np.int64) * count + origins, return_index=True)
    medians = np.full(count, np.nan)
    for origin in np.unique(origins[once]):
        if origin >= 0:
            medians[origin] = pd.Series(images[once][origins[once] == origin]).median()
    return np.where(origins >= 0, images / medians[origins], np.nan)


def _origins(manifest: pd.DataFrame) -> np.ndarray:
    """Per row a number for its album, or for its subject kind where it is rendered; -1 if null."""
    kinds, names = pd.factorize(manifest["subject_kind"])
    albums, _ = pd.factorize(manifest["grid"])
    return np.where(is_album(manifest), len(names) + albums, kinds)


def _parameter_excess(manifest: pd.DataFrame, bounds: Bounds) -> np.ndarray:
    """Largest distance of a row's parameters from their bounds; 0 inside, infinite if NaN.

    A row without any parameter (an imported picture) has none to be wrong.
    """
    worst = np.zeros(len(manifest), np.float32)
    missing = np.zeros(len(manifest), np.int32)
    columns = [column for column in manifest.columns if column.startswith(PARAMETERS)]
    for column in columns:
        values = manifest[column].to_numpy(np.float32)
        low, high = bounds.get(column, (-np.inf, np.inf))
        least, most = (values.min(), values.max()) if values.size else (low, high)
        if values.size and not (low <= least and most <= high and np.isfinite(most - least)):
            missing += np.isnan(values)
            excess = np.fmax(np.float32(low) - values, values - np.float32(high))
            worst = np.fmax(worst, np.where(np.isinf(values), np.inf, excess))
    return np.where((missing > 0) & (missing < len(columns)), np.inf, worst)


def _landmark_excess(manifest: pd.DataFrame) -> np.ndarray:
    """How far the farthest landmark lies outside the picture, over its side; infinite if NaN."""
    points = landmark_array(manifest)
    place = points / manifest["size"].to_numpy(np.float32).clip(1)[:, None]
    excess = np.maximum(-place.min(axis=1), place.max(axis=1) - 1.0).clip(0.0)
    return np.where(np.isfinite(points).all(axis=1), excess, np.inf)
