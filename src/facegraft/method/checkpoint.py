"""A model on disk: safetensors, never pickle; whole or absent.

A model folder holds model.safetensors (weights) and model.json (its `ModelConfig`).
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from facegraft.core.atomic import replacing
from facegraft.core.errors import FacegraftError
from facegraft.method.model import Model, ModelConfig

WEIGHTS = "model.safetensors"
CONFIG = "model.json"


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
        tensors = contiguous(model.state_dict())
        save_file(halved(tensors) if half else tensors, path)


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
        raise CheckpointError(f"{folder}: unusable model: {one_line(error)}") from error
    return model.eval().requires_grad_(False)


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


def contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
