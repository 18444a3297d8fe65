"""Landmarks are read once and kept beside the data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facegraft.adapters.landmarks import Landmarker
from facegraft.data.grids import Grid, Person
from facegraft.imaging.images import planes_to_tensor
from facegraft.stages import landmarks as stage
from facegraft.stages.landmarks import (
    aimed_at,
    people_with_readings,
    read_crop,
    with_readings,
)
from tests.synthetic import grid


class Log:
    """What was reported."""

    def __init__(self) -> None:
        self.done: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int, text: str) -> None:
        assert text == "landmarks read"
        self.done.append((done, total))


def unread(name: str, **options: int) -> Grid:
    return replace(grid(name, **{"rows": 2, "size": 32, **options}), readings=None)


def same(one: Grid, other: Grid) -> bool:
    assert one.readings is not None
    assert other.readings is not None
    return np.array_equal(one.readings.landmarks, other.readings.landmarks) and np.array_equal(
        one.readings.expression, other.readings.expression
    )


def test_what_was_read_is_kept_and_what_is_lost_is_read_anew(tmp_path: Path) -> None:
    grids, log = [unread("train-000"), unread("train-001")], Log()
    first = with_readings(grids, tmp_path / "deep", log)
    assert log.done == [(4, 8), (8, 8)]
    readings = first[0].readings
    assert readings is not None
    assert readings.landmarks.shape == (2, 2, 478, 3)
    assert readings.expression.shape == (2, 2, 52)
    assert not same(*first)
    # Cell by cell it is what the reader says.
    direct = Landmarker().read(
        np.ascontiguousarray(grids[0].images[1, 0].transpose(1, 2, 0)), certain=True
    )
    assert direct is not None
    np.testing.assert_array_equal(readings.landmarks[1, 0], direct.over(32, 32))
    np.testing.assert_array_equal(readings.expression[1, 0], direct.expression)

    files = sorted((tmp_path / "deep").iterdir())
    assert len(files) == 2
    again = with_readings(grids, tmp_path / "deep", log)
    assert len(log.done) == 2  # nothing was read
    assert all(map(same, first, again))

    whole = files[0].read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"no archive"):
        files[0].write_bytes(damaged)
        log.done.clear()
        mended = with_readings(grids, tmp_path / "deep", log)
        assert log.done == [(4, 4)]  # the other is still there
        assert all(map(same, first, mended))
        assert len(files[0].read_bytes()) == len(whole)

    # One level of one pixel is another picture.
    images = grids[0].images.copy()
    images[1, 1, 2, 5, 5] ^= 1
    log.done.clear()
    with_readings([replace(grids[0], images=images)], tmp_path / "deep", log)
    assert log.done == [(4, 4)]
    assert len(list((tmp_path / "deep").iterdir())) == 3


def test_peoples_pictures_are_read_the_same_way(tmp_path: Path) -> None:
    pictures = unread("train-000").images.reshape(-1, 3, 32, 32)
    people = [
        Person("album/one", ("album/one/0", "album/one/1", "album/one/2"), tuple(pictures[:3])),
        Person("album/two", ("album/two/0",), tuple(pictures[3:])),
    ]
    log = Log()
    one, two = people_with_readings(people, tmp_path, log)
    assert log.done == [(3, 4), (4, 4)]
    assert one.readings is not None
    assert two.readings is not None
    assert one.readings.landmarks.shape == (3, 478, 3)
    assert two.readings.expression.shape == (1, 52)
    people_with_readings(people[1:], tmp_path, log)
    assert len(log.done) == 2


def test_several_processes_read_what_one_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grids = [unread(f"train-00{k}", rows=1, columns=1) for k in range(3)]
    alone = with_readings(grids, tmp_path / "one", Log())
    stage._landmarker.cache_clear()
    monkeypatch.setattr(stage, "PARALLEL_FROM", 3)
    log = Log()
    shared = with_readings(grids, tmp_path / "two", log, threads=2)
    assert log.done == [(1, 3), (2, 3), (3, 3)]
    assert all(map(same, alone, shared))
    assert stage._landmarker.cache_info().currsize == 0  # not in this process
    with_readings(grids, tmp_path / "again", log, threads=1)
    assert stage._landmarker.cache_info().currsize == 1  # one thread is this process alone
    kept = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("one", "two")]
    assert kept[0] == kept[1]


def test_a_crop_without_a_face_is_not_read() -> None:
    landmarker = Landmarker()
    blank = torch.zeros(1, 3, 64, 64)
    assert read_crop(landmarker, blank) is None
    certain = read_crop(landmarker, blank, certain=True)
    assert certain is not None
    assert certain.images is blank
    assert certain.landmarks.shape == (1, 478, 3)
    cell = unread("train-000").images[0, 0]
    read = read_crop(landmarker, planes_to_tensor(cell[None]), certain=True)
    known = landmarker.read(np.ascontiguousarray(cell.transpose(1, 2, 0)), certain=True)
    assert read is not None
    assert known is not None
    np.testing.assert_array_equal(read.landmarks[0].numpy(), known.over(32, 32))
    np.testing.assert_array_equal(read.expression[0].numpy(), known.expression)


def test_the_reader_is_aimed_at_the_face_that_the_detector_found() -> None:
    aim = aimed_at((100.0, 50.0, 80.0, 120.0), np.array([[120.0, 90.0], [160.0, 130.0]]))
    assert (aim.x, aim.y, aim.side) == (140, 110, 180)
    assert aim.angle == pytest.approx(np.pi / 4)
