"""What a result was made from: git revision, data version, params and lock; and DVC's verbs."""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from facegraft.core.atomic import replacing
from facegraft.core.errors import FacegraftError

UNKNOWN = "unknown"
"""What a run is stamped with where git or a file cannot say."""


class LineageError(FacegraftError):
    """DVC refused; the message is one line with its reason and the mend."""


@dataclass(frozen=True)
class GitState:
    """The revision in use.

    Attributes:
        sha: 40 hexadecimal digits, or `UNKNOWN` outside a repository.
        dirty: whether a tracked file differs from it (dvc.lock, a stage's own record, aside);
            None if unknown.
    """

    sha: str
    dirty: bool | None


def git_state(root: Path) -> GitState:
    """The git revision of `root`; "unknown" without git, a repository or a first commit."""
    sha = _git(root, "rev-parse", "HEAD")
    if sha is None:
        return GitState(UNKNOWN, None)
    changed = _git(
        root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)dvc.lock"
    )
    return GitState(sha.strip(), None if changed is None else bool(changed.strip()))


def data_version(root: Path) -> str:
    """The md5 that data.dvc records, e.g. "0123….dir"; "unknown" without a readable data.dvc."""
    try:
        recorded = yaml.safe_load((root / "data.dvc").read_text(encoding="utf-8"))
        return str(recorded["outs"][0]["md5"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, IndexError, TypeError):
        return UNKNOWN


def recorded_recipe(root: Path) -> str:
    """What drew the version in data.dvc, as `note_recipe` left it; "unknown" if nothing says so."""
    try:
        recorded = yaml.safe_load((root / "data.dvc").read_text(encoding="utf-8"))
        drawn = recorded["meta"]["rendered"]
        return str(drawn["recipe"]) if drawn["md5"] == recorded["outs"][0]["md5"] else UNKNOWN
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, IndexError, TypeError):
        return UNKNOWN


def note_recipe(root: Path, recipe: str) -> None:
    """Write into data.dvc, where DVC leaves it, what drew the version that it records."""
    path = root / "data.dvc"
    recorded = yaml.safe_load(path.read_text(encoding="utf-8"))
    drawn = {"md5": recorded["outs"][0]["md5"], "recipe": recipe}
    recorded["meta"] = {**recorded.get("meta", {}), "rendered": drawn}
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(recorded, sort_keys=False), encoding="utf-8")


def data_in_use(root: Path) -> str:
    """The version of what lies in data/, as the stage `data` found it; "unknown" without one.

    That is data.dvc's, but where data/ was drawn on another processor or changed by hand.
    """
    recorded = data_version(root)
    try:
        found = json.loads(_in_use(root).read_text(encoding="utf-8"))
        return str(found["in_use"]) if found["recorded"] == recorded else recorded
    except (OSError, ValueError, KeyError, TypeError):
        return recorded


def note_data_in_use(root: Path, version: str) -> None:
    """Keep for `data_in_use` what lies in data/ while data.dvc says what it says now."""
    with replacing(_in_use(root)) as temporary:
        found = {"in_use": version, "recorded": data_version(root)}
        temporary.write_text(json.dumps(found) + "\n", encoding="utf-8")


def _in_use(root: Path) -> Path:
    return root / "build" / "data" / "in_use.json"


def params_hash(root: Path) -> str:
    """sha256 of params.yaml, or "unknown"."""
    return _file_hash(root / "params.yaml")


def lock_hash(root: Path) -> str:
    """sha256 of requirements.lock, or "unknown"."""
    return _file_hash(root / "requirements.lock")


def provenance(root: Path) -> dict[str, str]:
    """What to stamp a run with: revision, dirty flag, data version, params and lock."""
    git = git_state(root)
    return {
        "git_sha": git.sha,
        "git_dirty": UNKNOWN if git.dirty is None else str(git.dirty).lower(),
        "data_version": data_in_use(root),
        "params_sha256": params_hash(root),
        "lock_sha256": lock_hash(root),
    }


def folder_md5(folder: Path) -> str:
    """The version DVC gives a folder, without starting DVC: "<md5>.dir".

    DVC digests the JSON list of its files, each with md5 and relative path, in order of path.
    """
    files = sorted(path.relative_to(folder).as_posix() for path in _files(folder))
    listing = [{"md5": _file_md5(folder / name), "relpath": name} for name in files]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"


def has_remote(root: Path) -> bool:
    """Whether the project names a default DVC remote."""
    config = configparser.ConfigParser()
    config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    return bool(config.get("core", "remote", fallback=""))


def is_cached(root: Path, version: str) -> bool:
    """Whether DVC's local cache holds the listing of this version of a folder."""
    return (root / ".dvc" / "cache" / "files" / "md5" / version[:2] / version[2:]).exists()


def dvc_add(root: Path) -> str:
    """Record data/ in data.dvc and DVC's cache; returns the version.

    Raises:
        LineageError: DVC refused, e.g. outside a DVC project.
    """
    _dvc(root, "add", "--quiet", "data")
    return data_version(root)


def dvc_checkout(root: Path) -> None:
    """Bring data/ to the version in data.dvc from the local cache; never drops unsaved files.

    Raises:
        LineageError: the cache lacks it, or data/ holds files that no version holds.
    """
    _dvc(root, "checkout", "--quiet", "data.dvc")


def dvc_pull(root: Path) -> None:
    """Fetch the version in data.dvc from the default remote into data/.

    Raises:
        LineageError: no remote, not reachable, or it lacks the version.
    """
    _dvc(root, "pull", "--quiet", "data.dvc")


def _dvc(root: Path, *arguments: str) -> str:
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")]
        reason = (*errors, *lines, "no reason given")[0].removeprefix("ERROR:").strip()
        raise LineageError(
            f"dvc {arguments[0]} in {root}: {reason}; "
            f"run `dvc {arguments[0]} {arguments[-1]}` there to see more"
        )
    return done.stdout.strip()


def _git(root: Path, *arguments: str) -> str | None:
    """Git's answer, or None where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _file_hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return UNKNOWN


def _file_md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()
