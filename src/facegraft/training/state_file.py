"""Training's state on disk: weights, moments, step and RNG; parameter heads beside a model.

A training checkpoint is one safetensors file whose metadata say what it is. The parameter heads lie
beside a model's files, since only further training needs them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from facegraft.core.atomic import replacing
from facegraft.method.checkpoint import CheckpointError, contiguous, halved, one_line
from facegraft.method.model import Model
from facegraft.training.parameter_heads import ParameterHeads
from facegraft.training.state import TrainState

HEADS = "parameter_heads.safetensors"


def save_heads(heads: ParameterHeads, folder: Path) -> None:
    """Write the heads of a model beside it."""
    with replacing(folder / HEADS) as path:
        save_file(contiguous(heads.state_dict()), path)


def halve_heads(source: Path, folder: Path) -> None:
    """Copy the heads in one model folder to another, in half precision."""
    with replacing(folder / HEADS) as path:
        save_file(halved(load_file(source / HEADS)), path)


def continue_from(state: TrainState, initial: Model, folder: Path) -> None:
    """Start a fresh `state` from a model, and from its heads if `folder` holds fitting ones.

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
    path = folder / HEADS
    known = load_file(path) if path.exists() else {}
    fresh = state.heads.state_dict()
    if {k: v.shape for k, v in known.items()} == {k: v.shape for k, v in fresh.items()}:
        state.heads.load_state_dict(known)


def save_state(state: TrainState, path: Path, key: str) -> None:
    """Write all that training needs to go on, RNG included.

    Args:
        key: digest of data, params and code; a stage continues a checkpoint of its own key only.
    """
    tensors = {"rng": torch.get_rng_state()}
    for part in ("model", "ema", "heads"):
        tensors |= {f"{part}/{k}": v for k, v in getattr(state, part).state_dict().items()}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{k}": v for k, v in moments.items()}
    metadata = {"step": str(state.step), "recipe": key, "format": "facegraft-train-1"}
    with replacing(path) as temporary:
        save_file(contiguous(tensors), temporary, metadata=metadata)


def checkpoint_metadata(path: Path) -> tuple[str, int]:
    """The key, as given to `save_state`, and the step of a training checkpoint.

    Raises:
        CheckpointError: the file is damaged or no training checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return metadata["recipe"], int(metadata["step"])
    except (SafetensorError, KeyError, OSError) as error:
        raise CheckpointError(
            f"{path}: no training checkpoint ({one_line(error)}); delete it to start over"
        ) from error


def load_state(state: TrainState, path: Path) -> None:
    """Fill a freshly initialised `state` from a checkpoint, and set torch's RNG.

    Raises:
        CheckpointError: the file is damaged or was made by another architecture.
    """
    _, step = checkpoint_metadata(path)
    tensors = load_file(path)
    try:
        for part in ("model", "ema", "heads"):
            getattr(state, part).load_state_dict(_below(tensors, f"{part}/"))
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: made by another architecture; delete it to start over: {one_line(error)}"
        ) from error
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _below(tensors, "optimizer/").items():
        index, key = name.split("/")
        moments.setdefault(int(index), {})[key] = tensor
    saved = state.optimizer.state_dict()
    state.optimizer.load_state_dict({"state": moments, "param_groups": saved["param_groups"]})
    state.step = step
    torch.set_rng_state(tensors["rng"])


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
