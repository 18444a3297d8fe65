"""What a dataset looked like, in a few kilobytes: histograms of its statistics, per subject kind.

Kept with every model, so that later data can be compared with what the champion was trained on
when that data is long gone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import ValidationError

from facegraft.core.config import Section
from facegraft.core.errors import FacegraftError

BINS = 48

RANGES: Mapping[str, tuple[float, float]] = {
    "face_found": (0.0, 1.0),
    "face_score": (0.0, 1.0),
    "face_fraction": (0.0, 1.2),
    "pixel_std": (0.0, 128.0),
    "brightness": (0.0, 255.0),
    "clipped": (0.0, 1.0),
    "sharpness": (0.0, 4.0),
    "yaw": (-90.0, 90.0),
    "pitch": (-45.0, 45.0),
    "roll": (-45.0, 45.0),
}
"""Statistic -> the range that its `BINS` equal bins cover; what lies outside counts at the edge."""


class SummaryError(FacegraftError):
    """No summary can be read here; one line."""


class KindSummary(Section):
    """The pictures of one subject kind.

    Attributes:
        images: how many.
        independent: how many of them say something of their own: pictures of one identity, or
            under one attribute set, are alike.
        counts: statistic -> pictures per bin; one that was not measured is in no bin.
    """

    images: int
    independent: int
    counts: dict[str, tuple[int, ...]]


class DataSummary(Section):
    """The training pictures of one version of the data."""

    data_version: str
    kinds: dict[str, KindSummary]


def edges(statistic: str) -> np.ndarray:
    """float64 (`BINS` + 1,)."""
    return np.linspace(*RANGES[statistic], BINS + 1)


def counted(statistic: str, values: np.ndarray) -> tuple[int, ...]:
    """Finite values per bin."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    counts, _ = np.histogram(finite.clip(*RANGES[statistic]), edges(statistic))
    return tuple(int(count) for count in counts)


def read_summary(text: str) -> DataSummary:
    """A summary from its JSON.

    Raises:
        SummaryError: it is no summary, or one with other bins.
    """
    try:
        summary = DataSummary.model_validate_json(text)
    except ValidationError as error:
        raise SummaryError(f"no data summary: {error.error_count()} faults") from error
    for kind in summary.kinds.values():
        if any(len(counts) != BINS for counts in kind.counts.values()):
            raise SummaryError("a data summary with other bins, of another version of facegraft")
    return summary
