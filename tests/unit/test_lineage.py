"""Lineage: what git and DVC themselves say, and "unknown" where they cannot."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from facegraft.adapters import lineage
from facegraft.adapters.lineage import UNKNOWN, GitState, LineageError


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def dvc(root: Path, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, check=True, capture_output=True
    )


def fill(data: Path) -> None:
    (data / "grids").mkdir(parents=True)
    (data / "manifest.parquet").write_bytes(b"rows")
    (data / "grids" / "b.npy").write_bytes(b"\0" * 100)
    (data / "grids" / "a.npy").write_bytes(b"")
    (data / "grids-more.txt").write_text("sorts between")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("a = 1\n")
    (tmp_path / "dvc.lock").write_text("one\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_git_state_is_the_commit(repository: Path) -> None:
    assert lineage.git_state(repository) == GitState(git(repository, "rev-parse", "HEAD"), False)


def test_a_changed_tracked_file_is_dirty(repository: Path) -> None:
    (repository / "code.py").write_text("a = 2\n")
    assert lineage.git_state(repository).dirty is True


def test_untracked_files_and_the_stage_record_are_not_dirt(repository: Path) -> None:
    (repository / "notes.txt").write_text("mine")
    (repository / "dvc.lock").write_text("two\n")
    assert lineage.git_state(repository).dirty is False


def test_without_a_repository_or_a_commit_it_is_unknown(tmp_path: Path) -> None:
    assert lineage.git_state(tmp_path) == GitState(UNKNOWN, None)
    git(tmp_path, "init", "-q")
    assert lineage.git_state(tmp_path) == GitState(UNKNOWN, None)


def test_without_git_it_is_unknown(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert lineage.git_state(repository) == GitState(UNKNOWN, None)


@pytest.mark.parametrize("content", [None, "", "outs: []", "outs: [", "outs:\n- path: data\n"])
def test_data_version_without_a_usable_record_is_unknown(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "data.dvc").write_text(content)
    assert lineage.data_version(tmp_path) == UNKNOWN


def test_hashes_of_params_and_lock(tmp_path: Path) -> None:
    assert lineage.params_hash(tmp_path) == UNKNOWN
    assert lineage.lock_hash(tmp_path) == UNKNOWN
    (tmp_path / "params.yaml").write_text("data: {}\n")
    (tmp_path / "requirements.lock").write_text("numpy==2\n")
    assert lineage.params_hash(tmp_path) == hashlib.sha256(b"data: {}\n").hexdigest()
    assert lineage.lock_hash(tmp_path) == hashlib.sha256(b"numpy==2\n").hexdigest()


def test_provenance_holds_everything(repository: Path) -> None:
    (repository / "data.dvc").write_text("outs:\n- md5: 0a.dir\n  path: data\n")
    (repository / "code.py").write_text("a = 3\n")
    assert lineage.provenance(repository) == {
        "git_sha": git(repository, "rev-parse", "HEAD"),
        "git_dirty": "true",
        "data_version": "0a.dir",
        "params_sha256": UNKNOWN,
        "lock_sha256": UNKNOWN,
    }


def test_has_remote_reads_both_configs(tmp_path: Path) -> None:
    assert not lineage.has_remote(tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    assert not lineage.has_remote(tmp_path)
    (tmp_path / ".dvc" / "config.local").write_text("[core]\n    remote = studio\n")
    assert lineage.has_remote(tmp_path)


def test_add_change_lose_and_check_out(repository: Path) -> None:
    """DVC's whole round: our folder_md5 is DVC's, and lost data comes back."""
    dvc(repository, "init", "--quiet")
    fill(repository / "data")
    expected = lineage.folder_md5(repository / "data")
    assert not lineage.is_cached(repository, expected)
    assert lineage.dvc_add(repository) == expected
    assert lineage.data_version(repository) == expected
    assert lineage.is_cached(repository, expected)

    manifest = repository / "data" / "manifest.parquet"
    manifest.write_bytes(b"changed")
    assert lineage.folder_md5(repository / "data") != expected
    with pytest.raises(LineageError, match="dvc checkout"):
        lineage.dvc_checkout(repository)  # would lose the change
    assert manifest.read_bytes() == b"changed"

    manifest.unlink()
    lineage.dvc_checkout(repository)
    assert lineage.folder_md5(repository / "data") == expected


def test_dvc_outside_a_project_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LineageError) as caught:
        lineage.dvc_add(tmp_path)
    assert "\n" not in str(caught.value)
    assert "dvc add" in str(caught.value)
