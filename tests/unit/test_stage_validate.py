"""The validate stage on real renderings: green as drawn, red for each thing that was broken."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from facegraft.adapters import store
from facegraft.adapters.store import DataError
from facegraft.core.config import Params
from facegraft.core.progress import silent
from facegraft.core.project import Project
from facegraft.stages.validate import ValidationFailed, measure, parameter_bounds, validate
from facegraft.stages.validating import comparisons
from facegraft.stages.validating import statistics as statistics_module
from facegraft.stages.validating.statistics import image_statistics


def overwrite(project: Project, shard: str, row: int, column: int, cell: np.ndarray) -> None:
    path = project.data / "grids" / f"{shard}.images.npy"
    images = np.load(path)
    images[row, column] = cell
    np.save(path, images)


def edit(project: Project, key: str, /, **values: object) -> None:
    manifest = store.read_manifest(project.data).copy().astype({"consent": object})
    for column, value in values.items():
        manifest.loc[manifest["key"] == key, column] = value
    store.write_manifest(project.data, manifest)


def refused(project: Project, params: Params) -> str:
    with pytest.raises(ValidationFailed) as caught:
        validate(project, params, silent)
    message = str(caught.value)
    assert "\n" not in message
    assert "RED" in (project.validation / "index.html").read_text()
    return message


def test_what_the_renderer_draws_is_green(project: Project, tiny_params: Params) -> None:
    report = validate(project, tiny_params, silent)
    assert report.passed
    page = (project.validation / "index.html").read_text()
    assert "GREEN" in page
    assert page.count("data:image/png;base64,") >= 12
    kept = pd.read_parquet(project.validation / "statistics.parquet")
    assert list(kept["key"]) == list(store.read_manifest(project.data)["key"])
    assert kept["face_found"].all()
    assert kept["face_fraction"].between(0.4, 1).all()
    assert (project.validation / "results.json").stat().st_size > 1000


def test_the_page_needs_no_network(project: Project, tiny_params: Params) -> None:
    validate(project, tiny_params, silent)
    page = (project.validation / "index.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "http://" not in page
    assert "https://" not in page
    assert "@import" not in page
    assert "url(" not in page


def test_a_corrupted_image_stops_the_road(project: Project, tiny_params: Params) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8)
    overwrite(project, "validation-000", 1, 0, noise)
    message = refused(project, tiny_params)
    assert "rule bytes_match_manifest" in message
    assert "validation-000/i01/a00" in message
    assert "train-000" not in message


def test_a_truncated_shard_stops_the_road(project: Project, tiny_params: Params) -> None:
    path = project.data / "grids" / "test-000.images.npy"
    path.write_bytes(path.read_bytes()[:5000])
    message = refused(project, tiny_params)
    assert "rule decodable" in message
    assert "test-000/i00/a00" in message
    assert "test-000.images.npy" in (project.validation / "index.html").read_text()


def test_a_duplicate_across_splits_stops_the_road(project: Project, tiny_params: Params) -> None:
    """A train picture copied into the test split, its sha256 put right."""
    picture = store.load_image(project.data, "train-000/i00/a00")
    overwrite(project, "test-000", 1, 1, picture)
    edit(project, "test-000/i01/a01", sha256=store.sha256(picture))
    message = refused(project, tiny_params)
    assert "rule no_duplicate_across_splits" in message
    assert "train-000/i00/a00, test-000/i01/a01" in message


def replaced(project: Project, key: str, cell: np.ndarray) -> None:
    """Put another picture in a key's place, its sha256 put right."""
    grid, row, column = key.split("/")
    overwrite(project, grid, int(row[1:]), int(column[1:]), cell)
    edit(project, key, sha256=store.sha256(cell))


def as_picture(cell: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(cell.transpose(1, 2, 0)))


def lenient(params: Params, **changes: object) -> Params:
    """The tiny params with some bounds of the gate changed."""
    return params.model_copy(
        update={"validate_": params.validate_.model_copy(update=changes)}, deep=True
    )


def test_a_recompressed_copy_in_another_split_stops_the_road(
    project: Project, tiny_params: Params
) -> None:
    stream = io.BytesIO()
    as_picture(store.load_image(project.data, "train-000/i00/a00")).save(stream, "JPEG", quality=80)
    replaced(project, "test-000/i01/a01", np.asarray(Image.open(stream)).transpose(2, 0, 1))
    message = refused(project, tiny_params)
    assert "rule no_near_duplicate_across_splits" in message
    assert "train-000/i00/a00, test-000/i01/a01" in message
    assert "also failed" not in message
    page = (project.validation / "index.html").read_text()
    assert "bits from train-000/i00/a00" in page


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("sharp_enough", lambda picture: picture.filter(ImageFilter.GaussianBlur(3))),
        ("well_exposed", lambda picture: picture.point(
            [level // 12 + 5 for level in range(256)] * 3)),
        ("not_clipped", lambda picture: picture.point(
            [255 * (level > 120) for level in range(256)] * 3)),
    ],
    ids=["blurred", "dark", "clipped"],
)  # fmt: skip
def test_a_spoilt_picture_stops_the_road(
    project: Project, tiny_params: Params, rule: str, spoil: Callable[[Image.Image], Image.Image]
) -> None:
    key = "train-000/i01/a00"
    spoilt = spoil(as_picture(store.load_image(project.data, key)))
    replaced(project, key, np.asarray(spoilt).transpose(2, 0, 1))
    # What the detector makes of such a picture is not what is tested.
    message = refused(project, lenient(tiny_params, min_face_detected=0.0, min_pixel_std=1.0))
    assert f"rule {rule}" in message
    assert key in message
    assert "also failed" not in message


def test_identities_that_are_two_people_stop_the_road(
    project: Project, tiny_params: Params
) -> None:
    """The second picture of each identity is said to be of the other one of its grid."""
    strict = lenient(tiny_params, min_identity_margin=0.05, min_identities_agree=0.8)
    assert validate(project, strict, silent).passed
    manifest = store.read_manifest(project.data)
    second = manifest["column"] == 1
    swapped = manifest.loc[second].groupby("split", sort=False)["identity_id"]
    manifest.loc[second, "identity_id"] = swapped.transform(lambda ids: ids.to_numpy()[::-1])
    store.write_manifest(project.data, manifest)
    message = refused(project, strict)
    assert "rule identity_agrees" in message
    assert "also failed" not in message


def test_heads_that_all_turn_one_way_stop_the_road(project: Project, tiny_params: Params) -> None:
    manifest = store.read_manifest(project.data)
    manifest["attribute.yaw"] = manifest["attribute.yaw"].abs()
    store.write_manifest(project.data, manifest)
    message = refused(project, lenient(tiny_params, min_pose_share=0.05, min_pitch_reach=0.0))
    assert "rule pose_left" in message
    assert "also failed" not in message


def refuse_to_embed(places: list[object]) -> list[object]:
    assert not places, "embedded again"
    return []


def test_embeddings_and_the_sample_are_remembered(
    project: Project, tiny_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = store.read_manifest(project.data)
    first = measure(project, manifest, tiny_params.validate_, silent)
    assert first["identity_margin"].notna().all()
    monkeypatch.setattr(comparisons, "embed", refuse_to_embed)
    again = measure(project, manifest, tiny_params.validate_, silent)
    assert list(again["identity_margin"]) == list(first["identity_margin"])


def test_the_sample_is_seeded_bounded_and_of_every_kind(
    project: Project, tiny_params: Params
) -> None:
    manifest = store.read_manifest(project.data)
    manifest.loc[manifest["split"] == "train", "subject_kind"] = "cartoon"
    everything = np.ones(len(manifest), bool)
    params = lenient(tiny_params, identity_sample=2).validate_
    chosen = comparisons.sample(manifest, everything, params)
    assert list(chosen) == list(comparisons.sample(manifest, everything, params))
    rows = manifest.iloc[chosen]
    assert rows["identity_id"].nunique() == 2
    assert set(rows["subject_kind"]) == {"cartoon", "game_character"}
    assert len(comparisons.sample(manifest, manifest["column"] == 0, params)) == 0


def test_pictures_that_lie_in_no_grid_are_measured_by_their_row(tmp_path: Path) -> None:
    cells = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), np.uint8)
    np.save(tmp_path / "album.npy", cells)
    rows = pd.DataFrame({"key": ["a", "b", "c"], "shard": "album.npy", "row": [0, 1, 5]})
    rows = rows.assign(column=0, size=32, sha256=[*map(store.sha256, cells)])
    found = image_statistics(tmp_path, rows, tmp_path / "memory.parquet", silent)
    assert list(found["sha256_matches"]) == [True, True, False]
    assert "no such cell" in found["problem"][2]


def test_a_missing_consent_stops_the_road(project: Project, tiny_params: Params) -> None:
    edit(project, "train-000/i01/a00", subject_kind="real_person")
    message = refused(project, tiny_params)
    assert "rule consent_present" in message
    assert "train-000/i01/a00" in message
    edit(project, "train-000/i01/a00", consent="release 2026-11-03")
    assert validate(project, tiny_params, silent).passed


def test_a_blank_image_stops_the_road(project: Project, tiny_params: Params) -> None:
    blank = np.full((3, 64, 64), 128, np.uint8)
    overwrite(project, "train-000", 0, 1, blank)
    edit(project, "train-000/i00/a01", sha256=store.sha256(blank))
    message = refused(project, tiny_params)
    assert "rule not_blank" in message
    assert "face_present (1 image)" in message


def test_a_manifest_full_of_holes_is_red_not_a_crash(project: Project, tiny_params: Params) -> None:
    edit(project, "train-000/i00/a00", shard=None)
    edit(project, "train-000/i00/a01", row=7)
    edit(project, "train-000/i01/a00", sha256=None)
    edit(project, "train-000/i01/a01", key=None)
    edit(project, "test-000/i01/a01", key="test-000/i01/a00")
    message = refused(project, tiny_params)
    rules = json.loads((project.validation / "report.json").read_text())["rules"]
    failed = {rule["rule"]: rule["keys"] for rule in rules if not rule["passed"]}
    assert failed.keys() >= {"key_present", "sha256_present", "key_unique", "decodable"}
    assert failed["decodable"] == ["train-000/i00/a00", "train-000/i00/a01"]
    assert all(rule in message for rule in failed)


def test_an_older_verdict_does_not_outlive_a_failed_run(
    project: Project, tiny_params: Params
) -> None:
    validate(project, tiny_params, silent)
    (project.data / "manifest.parquet").unlink()
    with pytest.raises(DataError, match="not found"):
        validate(project, tiny_params, silent)
    assert not any(project.validation.iterdir())


def test_parameters_keep_to_the_renderers_bounds(project: Project) -> None:
    manifest = store.read_manifest(project.data)
    bounds = parameter_bounds(manifest)
    assert bounds["attribute.yaw"] == (-45.0, 45.0)
    for column, (low, high) in bounds.items():
        assert manifest[column].between(low, high).all(), column
    assert len(bounds) > 100


def test_known_pictures_are_not_looked_at_again(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "faces.parquet"
    manifest = store.read_manifest(project.data)
    first = image_statistics(project.data, manifest, memory, silent)
    looked: list[int] = []
    look_at = statistics_module._look_at

    def counted(picture: np.ndarray) -> dict[str, object]:
        looked.append(1)
        return look_at(picture)

    monkeypatch.setattr(statistics_module, "_look_at", counted)
    pd.testing.assert_frame_equal(
        image_statistics(project.data, manifest, memory, silent), first, check_dtype=False
    )
    assert not looked
    overwrite(project, "train-000", 0, 0, np.zeros((3, 64, 64), np.uint8))
    again = image_statistics(project.data, manifest, memory, silent)
    assert len(looked) == 1
    assert list(again.loc[~again["sha256_matches"], "key"]) == ["train-000/i00/a00"]
    memory.write_bytes(b"no parquet")
    image_statistics(project.data, manifest, memory, silent)
    assert len(looked) == 1 + len(manifest)


def test_processes_measure_the_same(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = store.read_manifest(project.data)
    alone = image_statistics(project.data, manifest, tmp_path / "a.parquet", silent)
    monkeypatch.setattr(statistics_module, "PARALLEL_FROM", 0)
    calls: list[tuple[int, int]] = []
    together = image_statistics(
        project.data,
        manifest,
        tmp_path / "b.parquet",
        lambda done, total, text: calls.append((done, total)),
        threads=2,
    )
    pd.testing.assert_frame_equal(together, alone)
    assert calls[-1] == (12, 12)
