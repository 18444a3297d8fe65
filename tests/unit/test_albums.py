"""Albums on disk: beside grids, appended to, carried over, and never mistaken for grids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facegraft.adapters import albums, store
from facegraft.adapters.store import DataError
from tests import synthetic
from tests.album_pictures import pictures


@pytest.fixture
def data(tmp_path: Path) -> Path:
    synthetic.dataset(tmp_path / "data")
    return tmp_path / "data"


def test_pictures_come_back_by_split_and_by_key(data: Path) -> None:
    rows, crops = pictures(["a1", "b1", "a2"])
    albums.extend(data, "own", rows, crops)
    (train,) = albums.load_albums(data, "train")
    assert (train.name, train.keys, train.files) == (
        "own",
        ("own/a/1", "own/a/2"),
        ("a1.png", "a2.png"),
    )
    np.testing.assert_array_equal(train.images, [crops[0], crops[2]])
    assert isinstance(train.images.base, np.memmap)
    assert train.landmarks.shape == (2, 5, 2)
    np.testing.assert_array_equal(train.transforms[0], [[1, 0, 2], [0, 1, 3]])
    assert albums.load_albums(data, "validation") == []
    np.testing.assert_array_equal(store.load_image(data, "own/b/1"), crops[1])


def test_people_hold_their_pictures_of_one_split(data: Path) -> None:
    rows, crops = pictures(["a1", "b1", "a2"])
    albums.extend(data, "own", rows, crops)
    (ann,) = albums.load_people(data, "train", 64)
    assert (ann.identity_id, ann.keys) == ("own/a", ("own/a/1", "own/a/2"))
    np.testing.assert_array_equal(ann.images, [crops[0], crops[2]])
    assert albums.load_people(data, "validation", 64) == []
    with pytest.raises(
        store.DataError, match=r"own\.parquet: pictures of 64 px beside grids of 128"
    ):
        albums.load_people(data, "train", 128)


def test_grids_are_what_they_were(data: Path) -> None:
    before = store.read_manifest(data)
    albums.extend(data, "own", *pictures(["a1", "b1"]))
    assert [grid.name for grid in store.load_grids(data, "train")] == ["train-000"]
    after = store.read_manifest(data)
    pd.testing.assert_frame_equal(after.iloc[: len(before)], before, check_dtype=False)
    added = after.iloc[len(before) :]
    assert set(added["grid"]) == {"own"}
    assert list(added["attribute_id"]) == list(added["key"])
    assert added[["identity_code", "attribute_code", "consent"]].isna().all().all()
    assert added["identity.nose.width"].isna().all()


def test_an_album_grows_at_its_end(data: Path) -> None:
    first, crops = pictures(["a1", "b1"])
    albums.extend(data, "own", first, crops)
    second, more = pictures(["a2", "b2", "b3"], seed=1)
    albums.extend(data, "own", second, more)
    (train,), (test,) = albums.load_albums(data, "train"), albums.load_albums(data, "test")
    np.testing.assert_array_equal(train.images, [crops[0], more[0]])
    np.testing.assert_array_equal(test.images, [crops[1], more[1], more[2]])
    manifest = store.read_manifest(data)
    assert manifest["key"].is_unique
    for key, digest in zip(manifest["key"], manifest["sha256"], strict=True):
        assert store.sha256(store.load_image(data, key)) == digest


@pytest.mark.parametrize("after", ["arrays", "table"])
def test_what_a_killed_import_left_is_true_and_mended(
    data: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """Killed after the arrays, or after the table: the dataset reads as before, then is mended."""
    albums.extend(data, "own", *pictures(["a1", "b1"]))
    before = store.read_manifest(data)
    rows, crops = pictures(["a2"], seed=1)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    target = "refresh_manifest" if after == "table" else "table_path"
    real = albums.table_path
    calls = iter([real, killed])  # read the table, then fail to write it
    with monkeypatch.context() as patch:
        patch.setattr(albums, target, killed if after == "table" else lambda *a: next(calls)(*a))
        with pytest.raises(KeyboardInterrupt):
            albums.extend(data, "own", rows, crops)
    pd.testing.assert_frame_equal(store.read_manifest(data), before)
    assert len(albums.load_albums(data, "train")[0].images) == (2 if after == "table" else 1)
    if after == "table":
        assert albums.refresh_manifest(data)
    else:
        albums.extend(data, "own", rows, crops)
    np.testing.assert_array_equal(store.load_image(data, "own/a/2"), crops[0])
    assert not albums.refresh_manifest(data)


def test_carried_over_and_removed(data: Path, tmp_path: Path) -> None:
    albums.extend(data, "own", *pictures(["a1", "b1"]))
    other = tmp_path / "other"
    synthetic.dataset(other, rows=2, seed=5)
    albums.carry_over(data, other)
    for key in ("own/a/1", "own/b/1"):
        np.testing.assert_array_equal(store.load_image(other, key), store.load_image(data, key))
    albums.remove(other, "own")
    assert albums.album_names(other) == []
    assert set(store.read_manifest(other)["grid"]) == {f"{s}-000" for s in store.SPLITS}
    assert list((other / "albums").iterdir()) == []


def test_leftovers_go_and_nothing_else(data: Path) -> None:
    albums.extend(data, "own", *pictures(["a1"]))
    before = sorted(path for path in data.rglob("*") if path.is_file())
    (data / "albums" / ".own.train.images.x7.npy").write_bytes(b"half")
    (data / ".manifest.x7.parquet").write_bytes(b"half")
    albums.remove_leftovers(data)
    assert sorted(path for path in data.rglob("*") if path.is_file()) == before


def test_damage_is_one_line(data: Path) -> None:
    albums.extend(data, "own", *pictures(["a1", "a2"]))
    path = data / albums.shard_name("own", "train")
    np.save(path, np.zeros((1, 1, 3, 64, 64), np.uint8))
    with pytest.raises(DataError, match="the table says") as caught:
        albums.load_albums(data, "train")
    assert str(path) in str(caught.value)
    albums.table_path(data, "own").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="import it again") as caught:
        albums.load_albums(data, "train")
    assert "\n" not in str(caught.value)
