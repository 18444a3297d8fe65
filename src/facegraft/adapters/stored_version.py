"""The files of a stored version: an MLflow model folder around ours, packed and verified.

Nothing in it is pickled. Its `MLmodel` names the module that MLflow imports to load it, so that
file is part of the version's hash, and is held against ours before MLflow sees it.
"""

from __future__ import annotations

import hashlib
import shutil
import warnings
from importlib.metadata import version as installed_version
from pathlib import Path

import numpy as np
import yaml

from facegraft.core.errors import FacegraftError

LOADER = "facegraft.adapters.pyfunc"
NEEDS = ("torch", "numpy", "pillow", "pydantic", "pyyaml", "safetensors")

FILES = "data/model"
"""Where the model's own files lie inside a stored version."""

FLAVOR = {"loader_module": LOADER, "data": FILES}
DESCRIBES = frozenset({"env", "python_version"})
"""Entries of the flavour that describe an environment; any other could bring code in."""


class RegistryError(FacegraftError):
    """The registry cannot answer; one line with the mend."""


def fingerprint(model_dir: Path) -> str:
    """sha256 of a model: over the names and contents of its weights and its config.

    Raises:
        RegistryError: the folder holds no model.
    """
    if not (model_dir / "model.safetensors").is_file() or not (model_dir / "model.json").is_file():
        raise RegistryError(f"{model_dir}: no model.safetensors and model.json; run train first")
    return _hash(model_dir, ["model.json", "model.safetensors"])


def files_fingerprint(stored: Path) -> str:
    """sha256 over the names and contents of every file of a stored version.

    Raises:
        RegistryError: something in it is no plain file.
    """
    names = []
    for path in stored.rglob("*"):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise RegistryError(f"{path}: no plain file; a stored version holds nothing else")
        if path.is_file():
            names.append(path.relative_to(stored).as_posix())
    return _hash(stored, sorted(names))


def pack(model_dir: Path, packed: Path, size: int) -> None:
    """Write an MLflow model folder around our files.

    Args:
        packed: the folder to make.
        size: pixels, width and height of the images that the model takes.
    """
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    images = np.dtype(np.uint8), (-1, size, size, 3)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(*images, name="source"), TensorSpec(*images, name="target")]),
        outputs=Schema([TensorSpec(*images)]),
    )
    files = packed.parent / "files" / Path(FILES).name
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


def require_our_loader(stored: Path) -> None:
    """Refuse a version that would have MLflow import anything but our loader.

    Raises:
        RegistryError: `MLmodel` is missing or unreadable, names another loader, or brings code.
    """
    path = stored / "MLmodel"
    try:
        flavors = yaml.safe_load(path.read_text(encoding="utf-8"))["flavors"]
        flavor = {name: value for name, value in flavors["python_function"].items() if value}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise RegistryError(f"{path}: no MLmodel file that could be trusted") from error
    others = flavor.keys() - FLAVOR.keys() - DESCRIBES | flavors.keys() - {"python_function"}
    if others or {name: flavor.get(name) for name in FLAVOR} != FLAVOR:
        raise RegistryError(
            f"{path}: names another loader than {LOADER}, or brings code of its own"
            f" ({', '.join(sorted(map(str, others))) or flavor.get('loader_module')}); not loaded"
        )


def _hash(folder: Path, names: list[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        with (folder / name).open("rb") as file:
            digest.update(f"{name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _public_version(name: str) -> str:
    """Without the local part: torch 2.13.0+cpu can only be installed as 2.13.0 elsewhere."""
    return installed_version(name).partition("+")[0]
