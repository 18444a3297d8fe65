"""Galleries are kept part by part: an interruption loses one, and a change of pixels is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facegraft.core.progress import silent
from facegraft.core.project import Project
from facegraft.evaluation.benchmark import embed_grids
from facegraft.stages.benchmarking import galleries
from tests import tiny

GRIDS = [tiny.faces(f"test-{k:03d}", rows=2, columns=2) for k in range(5)]


class Counting:
    """A recogniser by mean colour that counts its calls and gives out after `limit`."""

    def __init__(self, limit: int = 10**6) -> None:
        self.calls, self.limit = 0, limit

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        if self.calls == self.limit:
            raise KeyboardInterrupt
        self.calls += 1
        mean = image.reshape(-1, 3).mean(axis=0)
        return None if mean[0] > 200 else (mean / np.linalg.norm(mean)).astype(np.float32)


def test_an_interrupted_gallery_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries, "TOGETHER", 2)
    project = Project(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        galleries.gallery(project, GRIDS, "judge", Counting(limit=10), silent)
    rest, told = Counting(), []
    found = galleries.gallery(
        project, GRIDS, "judge", rest, lambda done, total, _: told.append((done, total))
    )
    assert rest.calls == 12  # of 20, two grids of four were kept
    assert told[-1] == (20, 20)
    whole = embed_grids(GRIDS, Counting(), silent)
    assert np.array_equal(found.embeddings, whole.embeddings, equal_nan=True)


def test_other_pixels_or_another_recogniser_are_seen_anew(tmp_path: Path) -> None:
    project, changed = Project(tmp_path), replace(GRIDS[0], images=255 - GRIDS[0].images)
    for grids, name, calls in (
        (GRIDS[:1], "judge", 4),
        (GRIDS[:1], "judge", 0),
        ([changed], "judge", 4),
        (GRIDS[:1], "second-judge", 4),
    ):
        recogniser = Counting()
        galleries.gallery(project, grids, name, recogniser, silent)
        assert recogniser.calls == calls


def test_a_part_that_shows_nobody_fits_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(galleries, "TOGETHER", 1)
    white = replace(GRIDS[0], images=np.full_like(GRIDS[0].images, 255))
    found = galleries.gallery(Project(tmp_path), [white, GRIDS[1]], "judge", Counting(), silent)
    assert found.embeddings.shape == (2, 2, 2, 3)
    assert np.isnan(found.embeddings[0]).all()
