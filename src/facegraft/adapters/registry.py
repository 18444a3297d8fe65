"""The MLflow model registry: versions of `facegraft`, and which of them is champion.

A version is stored without pickle (`adapters/stored_version.py`), in a folder of its own that is
written once. What the gate measured of it is a tag of the version. `champion` and `challenger` are
aliases; a version that becomes champion remembers whom it replaced, so that going back is one step.
Who reads the registry in order to change it holds `registry_lock`: else one hash may get two
versions.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facegraft.adapters.stored_version import (
    FILES,
    RegistryError,
    files_fingerprint,
    fingerprint,
    pack,
    require_our_loader,
)
from facegraft.adapters.tracking import Run, artifacts, client, one_line
from facegraft.core.locks import one_at_a_time
from facegraft.core.project import Project
from facegraft.core.seal import SealBroken, seal, unseal
from facegraft.method.calibration import Calibration

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NAME = "facegraft"
CHAMPION = "champion"
CHALLENGER = "challenger"

Predict = Callable[[np.ndarray, np.ndarray], np.ndarray]

DATA_SUMMARY = "data_summary.json"
"""In a model's folder: what its training data looked like."""


@dataclass(frozen=True)
class Registered:
    """One version of the model.

    Attributes:
        version: the registry's number, as text.
        run_id: the training run it came from.
        sha256: of its weights and config, as `fingerprint` makes it; one version has it.
        files_sha256: of every file that is stored of it, as `files_fingerprint` makes it.
        benchmark: what was measured of it, metric key -> value; holds texts beside floats. Empty
            where the registry's tag is not as it was sealed: then nothing is known.
        calibration: its swap thresholds' calibration, sealed; see `calibration_of`. Empty where the
            registry's tag is damaged.
        data_summary: JSON of what its training data looked like; empty if that was not kept.
        previous_champion: the version it replaced when it was promoted, if it was.
        rolled_back: it was champion and was taken back.
    """

    version: str
    run_id: str
    sha256: str
    files_sha256: str
    benchmark: dict[str, Any]
    calibration: dict[str, Any]
    data_summary: str
    previous_champion: str | None
    rolled_back: bool


def registry_lock(project: Project, tell: Callable[[str], object]) -> AbstractContextManager[int]:
    """Hold the registry's lock in this folder; one line to `tell` where that must be waited for."""
    return one_at_a_time(project.mlruns / "registry.lock", tell, "promotion or rollback")


def register(
    project: Project,
    model_dir: Path,
    run: Run,
    *,
    size: int,
    benchmark: Mapping[str, object],
    calibration: Calibration,
    tags: Mapping[str, object],
) -> Registered:
    """Store the model as a new version and make it challenger; the same model again is the
    same version, with the newer figures. The caller holds `registry_lock`.

    Args:
        model_dir: holds model.safetensors, model.json and, where training kept it,
            data_summary.json.
        run: the run whose artifacts keep the files.
        size: pixels, width and height of the images that it takes.
    """
    sha256 = fingerprint(model_dir)
    summary = model_dir / DATA_SUMMARY
    kept = {"data_summary": summary.read_text(encoding="utf-8").strip()} if summary.exists() else {}
    known_of_it = {name: str(value) for name, value in tags.items()} | {
        "benchmark": json.dumps(seal(benchmark, sha256)),
        "calibration": json.dumps(calibration.sealed(sha256)),
        **kept,
    }
    with one_line():
        mlflow_client = client(project)
        _ensure_name(project)
        number = _number_of(project, sha256)
        if number is None:
            number = _store(project, model_dir, run, size, known_of_it | {"sha256": sha256})
        else:
            for name, value in known_of_it.items():
                mlflow_client.set_model_version_tag(NAME, number, name, value)
        held = champion(project)
        if held is None or held.version != number:
            mlflow_client.set_registered_model_alias(NAME, CHALLENGER, number)
    return get(project, number)


def remeasured(project: Project, version: str, benchmark: Mapping[str, object]) -> None:
    """Keep a newer benchmark of a version, e.g. on the pairs that its challenger is judged on."""
    sealed = seal(benchmark, get(project, version).sha256)
    with one_line():
        client(project).set_model_version_tag(NAME, version, "benchmark", json.dumps(sealed))


def get(project: Project, reference: str) -> Registered:
    """A version by number or alias.

    Raises:
        RegistryError: there is none; the line says how to get one.
    """
    found = _find(project, reference)
    if found is None:
        if reference == CHAMPION:
            raise RegistryError(
                f"no champion in the registry ({NAME}@{CHAMPION}) yet; run `facegraft promote`"
                " after train and evaluate, or `make demo`"
            )
        raise RegistryError(
            f"the registry holds no {NAME} version {reference!r}; `champion`, `challenger` or one"
            f" of {', '.join(str(v.version) for v in _versions(project)) or 'none'}"
        )
    return _registered(found)


def champion(project: Project) -> Registered | None:
    """The champion, or None where nothing was promoted yet."""
    found = _find(project, CHAMPION)
    return None if found is None else _registered(found)


def fetch(project: Project, reference: str = CHAMPION) -> tuple[Registered, Path]:
    """The version and a local folder with model.safetensors and model.json.

    Kept under `build/registry/<version>`; what lies there is used again only while the hash of
    all its files is that of the version.

    Raises:
        RegistryError: no such version, its files or its calibration are not what was registered,
            or they would load by another loader than ours.
    """
    registered = get(project, reference)
    calibration_of(registered)
    kept = project.build / "registry" / registered.version
    with one_at_a_time(kept.parent / "fetch.lock", lambda _: None):  # two swaps at once
        if not _whole(kept, registered):
            _download(project, registered, kept)
        require_our_loader(kept)
    return registered, kept / FILES


def calibration_of(registered: Registered) -> Calibration:
    """The version's calibration, as it was measured.

    Raises:
        RegistryError: the registry's tag was damaged, changed or is another model's.
    """
    try:
        return Calibration.unsealed(registered.calibration, registered.sha256)
    except SealBroken as error:
        raise RegistryError(
            f"version {registered.version}: the calibration in the registry {error}; run evaluate"
            " and promote with its model, or roll back"
        ) from error


def load(project: Project, reference: str) -> Predict:
    """The version as MLflow loads it, pickle refused: two uint8 (B, S, S, 3) -> the same shape."""
    _, folder = fetch(project, reference)
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    from mlflow import pyfunc

    loaded = pyfunc.load_model(str(folder.parents[1]))

    def predict(source: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.asarray(loaded.predict({"source": source, "target": target}))

    return predict


def promote(project: Project, version: str) -> None:
    """Move the alias champion to `version`, which remembers whom it replaced."""
    before = champion(project)
    with one_line():
        mlflow_client = client(project)
        if before is not None and before.version != version:
            mlflow_client.set_model_version_tag(NAME, version, "previous_champion", before.version)
        mlflow_client.set_model_version_tag(NAME, version, "promoted_at", _now())
        mlflow_client.set_registered_model_alias(NAME, CHAMPION, version)
        mlflow_client.delete_registered_model_alias(NAME, CHALLENGER)


def rollback(project: Project) -> tuple[Registered, Registered]:
    """Give the alias champion back to the version that the champion replaced.

    Returns:
        The champion before and the champion now.

    Raises:
        RegistryError: no champion, it replaced nobody, or the older version's files are damaged.
    """
    leaving = get(project, CHAMPION)
    if leaving.previous_champion is None:
        raise RegistryError(
            f"version {leaving.version} is the first champion: there is none to roll back to"
        )
    fetch(project, leaving.previous_champion)  # its files are whole, or the alias stays
    with one_line():
        mlflow_client = client(project)
        mlflow_client.set_registered_model_alias(NAME, CHAMPION, leaving.previous_champion)
        mlflow_client.set_model_version_tag(NAME, leaving.version, "rolled_back_at", _now())
    return leaving, get(project, CHAMPION)


def _number_of(project: Project, sha256: str) -> str | None:
    """The version that stores this model.

    A version without `files_sha256` is of an earlier facegraft, in a folder that others may share:
    it does not count.
    """
    for one in _versions(project):
        if one.tags.get("sha256") == sha256 and one.tags.get("files_sha256"):
            return str(one.version)
    return None


def _store(project: Project, model_dir: Path, run: Run, size: int, tags: Mapping[str, str]) -> str:
    """Store the files in a folder that no other version has, then make the version at once.

    A kill before the last step leaves files that no version names; the next try replaces them.
    """
    folder = f"versions/{tags['sha256']}"
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / "model"
        pack(model_dir, packed, size)
        run.log_artifact(packed, folder)
        whole = {**tags, "files_sha256": files_fingerprint(packed)}
    created = client(project).create_model_version(
        NAME, f"{run.artifact_uri}/{folder}", run.id, tags=whole, await_creation_for=0
    )
    return str(created.version)


def _whole(folder: Path, registered: Registered) -> bool:
    """Whether these are the files that were registered; of a version without a hash, never."""
    return folder.is_dir() and files_fingerprint(folder) == registered.files_sha256


def _download(project: Project, registered: Registered, kept: Path) -> None:
    if not registered.files_sha256:
        raise RegistryError(
            f"version {registered.version}: registered by an earlier facegraft, which kept no hash"
            " of all its files; promote a model anew (where it is the champion, delete the alias"
            " champion in MLflow first)"
        )
    with one_line():
        source = client(project).get_model_version_download_uri(NAME, registered.version)
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        copy = Path(scratch) / "model"
        copy.mkdir()
        with one_line():
            artifacts(project, source).download_artifacts("", str(copy))
        if not _whole(copy, registered) or fingerprint(copy / FILES) != registered.sha256:
            raise RegistryError(
                f"version {registered.version}: its stored files are not those that were"
                " registered; restore mlruns/artifacts, or roll back"
            )
        if kept.exists():
            kept.rename(Path(scratch) / "stale")
        os.replace(copy, kept)


def _ensure_name(project: Project) -> None:
    from mlflow.exceptions import MlflowException

    mlflow_client = client(project)
    try:
        mlflow_client.get_registered_model(NAME)
    except MlflowException as error:
        if not _absent(error):
            raise
        mlflow_client.create_registered_model(
            NAME, description="Swaps facial identity onto game virtual characters."
        )


def _find(project: Project, reference: str) -> ModelVersion | None:
    from mlflow.exceptions import MlflowException

    with one_line():
        try:
            if reference.isdigit():
                return client(project).get_model_version(NAME, reference)
            return client(project).get_model_version_by_alias(NAME, reference)
        except MlflowException as error:
            if not _absent(error):
                raise
            return None


def _absent(error: Exception) -> bool:
    # An alias that does not exist is reported as an invalid value, all else as not found.
    return getattr(error, "error_code", "") in (
        "RESOURCE_DOES_NOT_EXIST",
        "INVALID_PARAMETER_VALUE",
    )


def _versions(project: Project) -> list[ModelVersion]:
    with one_line():
        return list(client(project).search_model_versions(f"name = '{NAME}'"))


def _registered(found: ModelVersion) -> Registered:
    return Registered(
        version=str(found.version),
        run_id=found.run_id or "",
        sha256=found.tags.get("sha256", ""),
        files_sha256=found.tags.get("files_sha256", ""),
        benchmark=_benchmark(found),
        calibration=_json(found.tags.get("calibration", "")),
        data_summary=found.tags.get("data_summary", ""),
        previous_champion=found.tags.get("previous_champion"),
        rolled_back="rolled_back_at" in found.tags,
    )


def _benchmark(found: ModelVersion) -> dict[str, Any]:
    try:
        return unseal(_json(found.tags.get("benchmark", "")), found.tags.get("sha256", ""))
    except SealBroken:
        return {}


def _json(text: str) -> dict[str, Any]:
    """The JSON object; empty where a tag holds none, e.g. for it was edited by hand."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
