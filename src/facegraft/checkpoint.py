"""Weights, config, step and RNG on disk: safetensors, never pickle; whole or absent.

A model folder holds model.safetensors (weights) and model.json (its `ModelConfig`); beside them
teachers.safetensors, which only further training needs. A training
checkpoint is one safetensors file whose metadata say what it is.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from facegraft.atomic import replacing
from facegraft.errors import FacegraftError
from facegraft.model import Model, ModelConfig
from facegraft.teachers import Teachers
from facegraft.training import TrainState

WEIGHTS = "model.safetensors"
CONFIG = "model.json"
TEACHERS = "teachers.safetensors"


class CheckpointError(FacegraftError):
    """A checkpoint or model folder cannot be used; the message names the file and the mend."""


def save_model(model: Model, folder: Path, *, half: bool = False) -> None:
    """Write a model folder; each file is replaced whole.

    Args:
        half: store floats in half precision; they are read back as float32.
    """
    with replacing(folder / CONFIG) as path:
        path.write_text(model.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    with replacing(folder / WEIGHTS) as path:
        tensors = _contiguous(model.state_dict())
        save_file(_halved(tensors) if half else tensors, path)


def load_model(folder: Path) -> Model:
    """Read a model folder; the model is in evaluation mode and takes no gradients.

    Raises:
        CheckpointError: a file is missing, damaged, or does not fit the other.
    """
    try:
        config = ModelConfig.model_validate_json((folder / CONFIG).read_text(encoding="utf-8"))
        model = Model(config)
        model.load_state_dict(load_file(folder / WEIGHTS))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{error.filename or folder}: not found; train first, or give a folder with "
            f"{WEIGHTS} and {CONFIG}"
        ) from error
    except (ValidationError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{folder}: unusable model: {_one_line(error)}") from error
    return model.eval().requires_grad_(False)


def save_teachers(teachers: Teachers, folder: Path) -> None:
    """Write the teachers of a model beside it."""
    with replacing(folder / TEACHERS) as path:
        save_file(_contiguous(teachers.state_dict()), path)


def halve_teachers(source: Path, folder: Path) -> None:
    """Copy the teachers in one model folder to another, in half precision."""
    with replacing(folder / TEACHERS) as path:
        save_file(_halved(load_file(source / TEACHERS)), path)


def continue_from(state: TrainState, initial: Model, folder: Path) -> None:
    """Start a fresh `state` from a model, and from its teachers if `folder` holds fitting ones.

    Raises:
        CheckpointError: the model was made with other params than `state`.
    """
    mine, theirs = (m.config.model_dump(exclude={"canonical"}) for m in (state.model, initial))
    other = sorted(key for key in mine if mine[key] != theirs[key])
    if other:
        told = ", ".join(f"{key} {theirs[key]} instead of {mine[key]}" for key in other)
        raise CheckpointError(
            f"{folder}: made with {told}; set train.init: scratch, or params and data.size to match"
        )
    state.model.load_state_dict(initial.state_dict())
    state.ema.load_state_dict(initial.state_dict())
    path = folder / TEACHERS
    known = load_file(path) if path.exists() else {}
    fresh = state.teachers.state_dict()
    if {k: v.shape for k, v in known.items()} == {k: v.shape for k, v in fresh.items()}:
        state.teachers.load_state_dict(known)


def save_state(state: TrainState, path: Path, recipe: str) -> None:
    """Write all that training needs to go on, RNG included.

    Args:
        recipe: identifies data and params; `load_state` refuses another one's checkpoint.
    """
    tensors = {"rng": torch.get_rng_state()}
    for part in ("model", "ema", "teachers"):
        tensors |= {f"{part}/{k}": v for k, v in getattr(state, part).state_dict().items()}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{k}": v for k, v in moments.items()}
    metadata = {"step": str(state.step), "recipe": recipe, "format": "facegraft-train-1"}
    with replacing(path) as temporary:
        save_file(_contiguous(tensors), temporary, metadata=metadata)


def checkpoint_recipe(path: Path) -> tuple[str, int]:
    """The recipe and the step of a training checkpoint.

    Raises:
        CheckpointError: the file is damaged or no training checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return metadata["recipe"], int(metadata["step"])
    except (SafetensorError, KeyError, OSError) as error:
        raise CheckpointError(
            f"{path}: no training checkpoint ({_one_line(error)}); delete it to start over"
        ) from error


def load_state(state: TrainState, path: Path) -> None:
    """Fill a freshly initialised `state` from a checkpoint, and set torch's RNG.

    Raises:
        CheckpointError: the file is damaged or was made by another architecture.
    """
    _, step = checkpoint_recipe(path)
    tensors = load_file(path)
    try:
        for part in ("model", "ema", "teachers"):
            getattr(state, part).load_state_dict(_below(tensors, f"{part}/"))
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: made by another architecture; delete it to start over: {_one_line(error)}"
        ) from error
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _below(tensors, "optimizer/").items():
        index, key = name.split("/")
        moments.setdefault(int(index), {})[key] = tensor
    saved = state.optimizer.state_dict()
    state.optimizer.load_state_dict({"state": moments, "param_groups": saved["param_groups"]})
    state.step = step
    torch.set_rng_state(tensors["rng"])


def read_json(path: Path) -> dict[str, object]:
    """A JSON object from a file.

    Raises:
        CheckpointError: the file is missing or no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: not found; run the stage that makes it") from error
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: damaged ({error}); run its stage again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: no JSON object; run its stage again")
    return value


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
