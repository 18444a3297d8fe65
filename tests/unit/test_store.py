"""The dataset on disk: what is written is read back, and damage is named."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facegraft.adapters import store
from facegraft.adapters.store import DataError, load_grids, load_image
from facegraft.data.grids import Mix
from tests import synthetic


@pytest.fixture
def data(tmp_path: Path) -> Path:
    synthetic.dataset(tmp_path)
    return tmp_path


def refused(call: object, *arguments: object) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_grids_come_back_as_they_were_written(data: Path) -> None:
    (loaded,) = load_grids(data, "validation")
    written = synthetic.grid("validation-000")
    assert loaded.name == "validation-000"
    assert loaded.size == 64
    assert loaded.identity_ids == written.identity_ids
    assert loaded.attribute_ids == written.attribute_ids
    for field in ("images", "regions", "landmarks", "identity_code", "attribute_code", "keys"):
        np.testing.assert_array_equal(getattr(loaded, field), getattr(written, field))


def test_images_are_mapped_not_read(data: Path) -> None:
    (loaded,) = load_grids(data, "train")
    assert isinstance(loaded.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        loaded.images[0, 0, 0, 0, 0] = 1


def test_manifest_order_does_not_matter(data: Path) -> None:
    manifest = store.read_manifest(data).sample(frac=1, random_state=1)
    store.write_manifest(data, manifest)
    (loaded,) = load_grids(data, "train")
    np.testing.assert_array_equal(loaded.keys, synthetic.grid("train-000").keys)
    np.testing.assert_array_equal(loaded.identity_code, synthetic.grid("train-000").identity_code)


def test_grids_are_ordered_by_name(data: Path) -> None:
    extra = synthetic.grid("train-001")
    store.write_grid(data, extra)
    rows = store.manifest_rows(
        extra,
        "train",
        identities=[{"nose.width": 0.0}] * 3,
        attributes=[{"yaw": 0.0}] * 2,
        licence="CC0-1.0",
    )
    store.write_manifest(data, pd.concat([rows, store.read_manifest(data)]))
    assert [grid.name for grid in load_grids(data, "train")] == ["train-000", "train-001"]


def test_manifest_row_says_all_there_is_to_say(data: Path) -> None:
    manifest = store.read_manifest(data)
    assert list(manifest.columns) == [*store.MANIFEST, "identity.nose.width", "attribute.yaw"]
    row = manifest[manifest["key"] == "test-000/i02/a01"].iloc[0]
    cell = synthetic.grid("test-000").images[2, 1]
    assert row["sha256"] == hashlib.sha256(cell.tobytes()).hexdigest()
    assert (row["row"], row["column"], row["size"]) == (2, 1, 64)
    assert (row["split"], row["grid"], row["shard"]) == (
        "test",
        "test-000",
        "grids/test-000.images.npy",
    )
    assert row["subject_kind"] == "game_character"
    assert row["licence"] == "CC0-1.0"
    assert pd.isna(row["consent"])
    assert row["identity.nose.width"] == pytest.approx(0.2)
    assert row["attribute.yaw"] == 1


def test_writing_twice_gives_the_same_bytes(data: Path) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    synthetic.dataset(data)
    after = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert before == after
    assert len(after) == 10


def test_image_by_key(data: Path) -> None:
    image = load_image(data, "train-000/i01/a01")
    np.testing.assert_array_equal(image, synthetic.grid("train-000").images[1, 1])


def test_unknown_id_is_refused_with_close_ones(data: Path) -> None:
    message = refused(load_image, data, "train-000/i01/a07")
    assert "unknown id 'train-000/i01/a07'" in message
    assert "train-000/i01/a01" in message
    assert "manifest.parquet" in message
    assert "ids look like" in refused(load_image, data, "§")


def test_missing_manifest_names_the_mend(tmp_path: Path) -> None:
    message = refused(load_grids, tmp_path, "train")
    assert str(tmp_path / "manifest.parquet") in message
    assert "facegraft data" in message


@pytest.mark.parametrize("content", [b"", b"PAR1 but no more", b"\0" * 500])
def test_damaged_manifest_is_refused(data: Path, content: bytes) -> None:
    (data / "manifest.parquet").write_bytes(content)
    assert "manifest.parquet" in refused(load_grids, data, "train")


def test_manifest_without_a_column_is_refused(data: Path) -> None:
    pd.DataFrame({"key": ["a"]}).to_parquet(data / "manifest.parquet")
    assert "lacks the column attribute_code" in refused(load_grids, data, "train")


def test_unknown_split_is_refused(data: Path) -> None:
    message = refused(load_grids, data, "holdout")
    assert "'holdout'" in message
    assert "test, train, validation" in message


@pytest.mark.parametrize("kind", ["images", "regions"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "other"])
def test_unusable_shard_is_named(data: Path, kind: str, damage: str) -> None:
    path = data / "grids" / f"train-000.{kind}.npy"
    content = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "other":
        np.save(path, np.zeros((2, 2), np.float32))
    message = refused(load_grids, data, "train")
    assert path.name in message
    assert "facegraft data" in message


def test_shard_of_another_shape_is_refused(data: Path) -> None:
    store.write_grid(data, synthetic.grid("train-000", rows=1))
    assert "shape (1, 2, 3, 64, 64)" in refused(load_grids, data, "train")
    assert "no cell" in refused(load_image, data, "train-000/i02/a00")


def test_incomplete_grid_is_refused(data: Path) -> None:
    store.write_manifest(data, store.read_manifest(data).iloc[1:])
    assert "lists 5 images for 3 x 2 cells" in refused(load_grids, data, "train")


def test_a_failed_write_leaves_the_old_manifest(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    before = (data / "manifest.parquet").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError("disk full")

    manifest = store.read_manifest(data)
    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="disk full"):
        store.write_manifest(data, manifest)
    assert (data / "manifest.parquet").read_bytes() == before
    assert sorted(path.name for path in data.iterdir()) == ["grids", "manifest.parquet"]


def test_mixes_and_anchors_come_back(tmp_path: Path) -> None:
    drawn = replace(
        synthetic.grid("train-000"), mixes=(Mix(2, 0, 1, "eyes"),), anchor_set="a1", strokes=3
    )
    store.write_grid(tmp_path, drawn)
    store.write_manifest(tmp_path, store.manifest_rows(drawn, "train", licence="CC0-1.0"))
    (read,) = store.load_grids(tmp_path, "train")
    assert read.mixes == drawn.mixes
    assert read.people == (0, 1)
    assert np.array_equal(read.anchors, drawn.anchors)
    assert (read.anchor_set, read.strokes) == ("a1", 3)
    (tmp_path / "grids" / "train-000.anchors.npy").unlink()
    (without,) = store.load_grids(tmp_path, "train")
    assert without.anchors.shape == (3, 2, 0, 3)


def test_points_that_nobody_named_are_of_no_name(data: Path) -> None:
    groups = {"identity": {"eyes": [0, 2]}, "attribute": {"pose": [0, 3]}}
    (data / store.GROUPS).write_text(json.dumps(groups), encoding="utf-8")
    grid = store.load_grids(data, "train")[0]
    assert (grid.anchor_set, grid.strokes) == ("", 0)
    (data / store.GROUPS).write_text("{}", encoding="utf-8")
    with pytest.raises(store.DataError, match=r"groups\.json: damaged"):
        store.load_grids(data, "train")
