"""The data stage: reuse, restore, pull or render, and never lose what a user made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facegraft.adapters import lineage, store
from facegraft.adapters.store import DataError
from facegraft.core.config import Params
from facegraft.core.params_file import load_params
from facegraft.core.progress import silent
from facegraft.core.project import Project
from facegraft.imaging.images import load_image
from facegraft.stages import data as stage
from facegraft.stages import rendering
from facegraft.stages.data import DataVersion, data
from tests import synthetic


def dvc(root: Path, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, check=True, capture_output=True
    )


@pytest.fixture
def no_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendering here would be a fault."""

    def fail(*_: object) -> None:
        raise AssertionError("rendered although nothing called for it")

    monkeypatch.setattr(stage, "render_dataset", fail)


@pytest.fixture
def draws_synthetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """The renderer's place taken by NumPy, for tests of what surrounds it."""

    def draw(folder: Path, params: object, *_: object) -> None:
        synthetic.dataset(folder, rows=2, seed=params.seed)
        (folder / rendering.MARKER).write_text(json.dumps(rendering.rendering_recipe(params)))

    monkeypatch.setattr(stage, "render_dataset", draw)


def test_rendered_data_is_whole_and_recorded(rendered: tuple[Project, DataVersion]) -> None:
    project, version = rendered
    assert (version.source, version.images, version.recorded) == ("rendered", 12, True)
    assert version.md5 == lineage.data_version(project.root)
    assert version.md5 == lineage.folder_md5(project.data)
    for split in store.SPLITS:
        (grid,) = store.load_grids(project.data, split)
        assert grid.images.shape == (2, 2, 3, 64, 64)
        assert grid.images.std() > 20
    assert load_image(project.data / "preview.png").shape[1] > 200
    assert not (project.data / "parts").exists()


def test_manifest_holds_every_parameter(rendered: tuple[Project, DataVersion]) -> None:
    manifest = store.read_manifest(rendered[0].data)
    identity = [name for name in manifest.columns if name.startswith("identity.")]
    attribute = [name for name in manifest.columns if name.startswith("attribute.")]
    assert len(identity) > 100
    assert len(attribute) > 60
    assert manifest[identity + attribute].notna().all().all()
    assert set(manifest["licence"]) == {"CC0-1.0"}
    assert set(manifest["subject_kind"]) == {"game_character"}
    assert manifest["key"].is_unique
    assert manifest["sha256"].is_unique


@pytest.mark.usefixtures("no_rendering")
def test_again_is_cached(project: Project, tiny_params: Params) -> None:
    before = lineage.data_version(project.root)
    version = data(project, tiny_params, silent)
    assert (version.source, version.md5, version.recorded) == ("cached", before, True)


@pytest.mark.usefixtures("no_rendering")
def test_lost_data_comes_back_from_the_cache(project: Project, tiny_params: Params) -> None:
    shutil.rmtree(project.data)
    version = data(project, tiny_params, silent)
    assert (version.source, version.images, version.recorded) == ("cached", 12, True)


@pytest.mark.usefixtures("no_rendering")
def test_data_is_pulled_where_there_is_a_remote(
    project: Project, tiny_params: Params, tmp_path: Path
) -> None:
    dvc(project.root, "remote", "add", "-d", "studio", str(tmp_path / "remote"))
    dvc(project.root, "push", "-q")
    shutil.rmtree(project.data)
    shutil.rmtree(project.root / ".dvc" / "cache")
    version = data(project, tiny_params, silent)
    assert (version.source, version.images, version.recorded) == ("pulled", 12, True)


@pytest.mark.usefixtures("no_rendering")
def test_a_remote_that_cannot_deliver_is_one_line(
    project: Project, tiny_params: Params, tmp_path: Path
) -> None:
    dvc(project.root, "remote", "add", "-d", "studio", str(tmp_path / "empty"))
    shutil.rmtree(project.data)
    shutil.rmtree(project.root / ".dvc" / "cache")
    with pytest.raises(DataError) as caught:
        data(project, tiny_params, silent)
    assert "data.dvc" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_rendering")
def test_a_users_own_data_is_used_as_it_is(project: Project, tiny_params: Params) -> None:
    shutil.rmtree(project.data)
    manifest = synthetic.dataset(project.data, rows=4)
    said: list[str] = []
    version = data(project, tiny_params, lambda done, total, text: said.append(text))
    assert (version.source, version.images, version.recorded) == ("cached", len(manifest), False)
    assert any("differs from data.dvc" in text for text in said)
    with pytest.raises(DataError, match="does not keep"):
        data(project, tiny_params, silent, rerender=True)
    assert len(store.read_manifest(project.data)) == len(manifest)


@pytest.mark.usefixtures("draws_synthetic")
def test_new_params_draw_anew_and_are_recorded(project: Project, tiny_params: Params) -> None:
    before = lineage.data_version(project.root)
    other = tiny_params.model_copy(
        update={"data": tiny_params.data.model_copy(update={"seed": 99})}
    )
    version = data(project, other, silent)
    assert (version.source, version.recorded) == ("rendered", True)
    assert version.md5 != before
    assert lineage.data_version(project.root) == version.md5
    assert data(project, other, silent).source == "cached"


@pytest.mark.usefixtures("draws_synthetic")
def test_unrecorded_changes_are_not_lost_to_new_params(
    project: Project, tiny_params: Params
) -> None:
    shard = project.data / "grids" / "train-000.images.npy"
    images = np.load(shard)
    images[0, 0] = 0
    np.save(shard, images)
    assert data(project, tiny_params, silent).recorded is False
    other = tiny_params.model_copy(
        update={"data": tiny_params.data.model_copy(update={"seed": 99})}
    )
    with pytest.raises(DataError, match="dvc add data"):
        data(project, other, silent)
    np.testing.assert_array_equal(np.load(shard), images)


@pytest.mark.usefixtures("no_rendering")
def test_data_follows_data_dvc_to_another_version(project: Project, tiny_params: Params) -> None:
    """As after `git pull`: data/ holds an older version that DVC keeps."""
    first = (project.root / "data.dvc").read_bytes()
    (project.data / "more.txt").write_text("second version")
    second = lineage.dvc_add(project.root)
    (project.root / "data.dvc").write_bytes(first)
    version = data(project, tiny_params, silent)
    assert version.recorded
    assert version.md5 != second
    assert not (project.data / "more.txt").exists()


@pytest.mark.usefixtures("no_rendering")
def test_a_rendering_killed_before_it_was_recorded_is_recorded(
    project: Project, tiny_params: Params
) -> None:
    (project.root / "data.dvc").write_text("outs:\n- md5: 00.dir\n  hash: md5\n  path: data\n")
    version = data(project, tiny_params, silent)
    assert version.recorded
    assert version.source == "cached"


@pytest.mark.usefixtures("draws_synthetic")
def test_what_another_processor_drew_by_the_recorded_recipe_leaves_data_dvc_alone(
    project: Project, tiny_params: Params
) -> None:
    """As in a fresh clone: neither data/ nor DVC's cache is there, and other bytes are drawn."""
    record, digest = project.root / "data.dvc", rendering.recipe_digest(tiny_params.data)
    assert lineage.recorded_recipe(project.root) == digest
    before, recorded = record.read_bytes(), lineage.data_version(project.root)
    for folder in (project.data, project.build, project.root / ".dvc" / "cache"):
        shutil.rmtree(folder)
    for source in ("rendered", "cached"):
        version = data(project, tiny_params, silent)
        assert (version.source, version.recorded) == (source, False)
        assert record.read_bytes() == before
        assert version.md5 == lineage.folder_md5(project.data) != recorded
        assert json.loads(project.data_version.read_text()) == {"md5": version.md5}
        assert lineage.provenance(project.root)["data_version"] == version.md5

    assert lineage.dvc_add(project.root) == lineage.data_in_use(project.root) == version.md5
    assert lineage.recorded_recipe(project.root) == lineage.UNKNOWN, "of the version before"
    (project.data / "mine.txt").write_text("changed by hand")
    by_hand = data(project, tiny_params, silent)
    assert lineage.data_in_use(project.root) == by_hand.md5 != version.md5
    record.write_bytes(before)
    assert lineage.data_in_use(project.root) == recorded, "as after git and dvc checkout"


def test_data_dvc_is_a_rendering_of_the_default_params() -> None:
    """Else `make demo` on a fresh clone rewrites it: draw with --rerender and commit data.dvc."""
    root = Path(__file__).parents[2]
    expected = rendering.recipe_digest(load_params(root / "params.yaml").data)
    assert lineage.recorded_recipe(root) == expected


@pytest.mark.usefixtures("draws_synthetic")
def test_without_git_or_dvc_the_road_goes_on(tmp_path: Path, tiny_params: Params) -> None:
    said: list[str] = []
    version = data(Project(tmp_path), tiny_params, lambda done, total, text: said.append(text))
    assert (version.source, version.images, version.recorded) == ("rendered", 12, False)
    assert any("not recorded" in text for text in said)


def test_interrupted_rendering_keeps_finished_grids_of_the_same_params(
    rendered: tuple[Project, DataVersion],
    tiny_params: Params,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two grids are there already; the third is drawn, to the same bytes as in one go."""
    whole = rendered[0].data
    rendering._prepare(tmp_path, tiny_params.data)
    specs = rendering._specs(tiny_params.data)
    for spec in specs[:2]:
        rendering._render_grid(tmp_path, tiny_params.data, spec)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "grids").iterdir()}
    assert len(kept) == 6
    rendering.render_dataset(tmp_path, tiny_params.data, silent)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
    assert lineage.folder_md5(tmp_path) == lineage.folder_md5(whole)


def test_half_a_rendering_of_other_params_is_dropped(tiny_params: Params, tmp_path: Path) -> None:
    rendering._prepare(tmp_path, tiny_params.data)
    (tmp_path / "grids").mkdir()
    rendering._prepare(tmp_path, tiny_params.data)
    assert (tmp_path / "grids").exists()
    rendering._prepare(tmp_path, tiny_params.data.model_copy(update={"seed": 8}))
    assert not (tmp_path / "grids").exists()
