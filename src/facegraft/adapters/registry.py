"""The MLflow model registry: versions of `facegraft`, and which of them is champion.

A version is stored without pickle: an `MLmodel` file that names the loader
(`adapters/pyfunc.py`), our safetensors, and the model's config. What the gate measured of it
is a tag of the version. `champion` and `challenger` are aliases; a version that becomes champion
remembers whom it replaced, so that going back is one step.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facegraft.adapters.tracking import Run, artifacts, client, one_line
from facegraft.atomic import replacing
from facegraft.errors import FacegraftError
from facegraft.project import Project

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NAME = "facegraft"
CHAMPION = "champion"
CHALLENGER = "challenger"

LOADER = "facegraft.adapters.pyfunc"
NEEDS = ("torch", "numpy", "pillow", "pydantic", "pyyaml", "safetensors")
Predict = Callable[[np.ndarray, np.ndarray], np.ndarray]

DATA_SUMMARY = "data_summary.json"
"""In a model's folder: what its training data looked like."""

FILES = "data/model"
"""Where the model's own files lie inside a stored version."""


class RegistryError(FacegraftError):
    """The registry cannot answer; one line with the mend."""


@dataclass(frozen=True)
class Registered:
    """One version of the model.

    Attributes:
        version: the registry's number, as text.
        run_id: the training run it came from.
        sha256: of its files, as `fingerprint` makes it.
        benchmark: what was measured of it, metric key -> value; holds texts beside floats.
        calibration: its swap thresholds' calibration, as the evaluation wrote it.
        data_summary: JSON of what its training data looked like; empty if that was not kept.
        previous_champion: the version it replaced when it was promoted, if it was.
        rolled_back: it was champion and was taken back.
    """

    version: str
    run_id: str
    sha256: str
    benchmark: dict[str, Any]
    calibration: dict[str, Any]
    data_summary: str
    previous_champion: str | None
    rolled_back: bool


def register(
    project: Project,
    model_dir: Path,
    run: Run,
    *,
    size: int,
    benchmark: Mapping[str, object],
    calibration: Mapping[str, object],
    tags: Mapping[str, object],
) -> Registered:
    """Store the model as a new version and make it challenger; the same files again are the
    same version, with the newer figures.

    Args:
        model_dir: holds model.safetensors, model.json and, where training kept it,
            data_summary.json.
        run: the run whose artifacts keep the files.
        size: pixels, width and height of the images that it takes.
    """
    sha256 = fingerprint(model_dir)
    with one_line():
        mlflow_client = client(project)
        _ensure_name(project)
        known = next((v for v in _versions(project) if v.tags.get("sha256") == sha256), None)
        number = str(known.version) if known else _store(project, model_dir, run, size)
        figures = {"benchmark": json.dumps(benchmark), "calibration": json.dumps(calibration)}
        summary = model_dir / DATA_SUMMARY
        if summary.exists():
            figures["data_summary"] = summary.read_text(encoding="utf-8").strip()
        for name, value in {**tags, **figures, "sha256": sha256}.items():
            mlflow_client.set_model_version_tag(NAME, number, name, str(value))
        held = champion(project)
        if held is None or held.version != number:
            mlflow_client.set_registered_model_alias(NAME, CHALLENGER, number)
    return get(project, number)


def remeasured(project: Project, version: str, benchmark: Mapping[str, object]) -> None:
    """Keep a newer benchmark of a version, e.g. on the pairs that its challenger is judged on."""
    with one_line():
        client(project).set_model_version_tag(NAME, version, "benchmark", json.dumps(benchmark))


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
    """The version and a local folder with model.safetensors, model.json and calibration.json.

    Kept under `build/registry/<version>`; what lies there is used again only while its hash is
    that of the version.

    Raises:
        RegistryError: no such version, or its files are not what was registered.
    """
    registered = get(project, reference)
    kept = project.build / "registry" / registered.version
    if not (kept / FILES).is_dir() or fingerprint(kept / FILES) != registered.sha256:
        _download(project, registered, kept)
    with replacing(kept / FILES / "calibration.json") as path:
        path.write_text(json.dumps(registered.calibration, indent=2) + "\n", encoding="utf-8")
    return registered, kept / FILES


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


def fingerprint(model_dir: Path) -> str:
    """sha256 over the names and contents of a model folder's files.

    Raises:
        RegistryError: the folder holds no model.
    """
    if not (model_dir / "model.safetensors").is_file() or not (model_dir / "model.json").is_file():
        raise RegistryError(f"{model_dir}: no model.safetensors and model.json; run train first")
    digest = hashlib.sha256()
    for name in ("model.json", "model.safetensors"):
        with (model_dir / name).open("rb") as file:
            digest.update(f"{name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _store(project: Project, model_dir: Path, run: Run, size: int) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / "model"
        _pack(model_dir, packed, size, Path(scratch))
        run.log_artifact(packed, "model")
    created = client(project).create_model_version(
        NAME, f"{run.artifact_uri}/model", run.id, await_creation_for=0
    )
    return str(created.version)


def _pack(model_dir: Path, packed: Path, size: int, scratch: Path) -> None:
    """Write an MLflow model folder around our files; nothing in it is pickled."""
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    images = np.dtype(np.uint8), (-1, size, size, 3)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(*images, name="source"), TensorSpec(*images, name="target")]),
        outputs=Schema([TensorSpec(*images)]),
    )
    files = scratch / "files" / Path(FILES).name
    files.mkdir(parents=True)
    for name in ("model.safetensors", "model.json"):
        shutil.copyfile(model_dir / name, files / name)
    with warnings.catch_warnings():
        # Two pictures as JSON would be large and show nothing; the signature is explicit.
        warnings.filterwarnings("ignore", message="(?s).*An input example was not provided")
        pyfunc.save_model(
            path=str(packed),
            loader_module=LOADER,
            data_path=str(files),
            signature=signature,
            pip_requirements=[f"{name}=={_public_version(name)}" for name in NEEDS],
        )


def _public_version(name: str) -> str:
    """Without the local part: torch 2.13.0+cpu can only be installed as 2.13.0 elsewhere."""
    return installed_version(name).partition("+")[0]


def _download(project: Project, registered: Registered, kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    with one_line():
        source = client(project).get_model_version_download_uri(NAME, registered.version)
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        copy = Path(scratch) / "model"
        copy.mkdir()
        with one_line():
            artifacts(project, source).download_artifacts("", str(copy))
        if fingerprint(copy / FILES) != registered.sha256:
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
        benchmark=json.loads(found.tags.get("benchmark", "{}")),
        calibration=json.loads(found.tags.get("calibration", "{}")),
        data_summary=found.tags.get("data_summary", ""),
        previous_champion=found.tags.get("previous_champion"),
        rolled_back="rolled_back_at" in found.tags,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
