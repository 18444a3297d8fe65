"""How MLflow loads a registered model: `mlflow.pyfunc.load_model` calls `_load_pyfunc`.

Only safetensors and JSON are read, so it works with pickle refused
(`MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from facegraft.checkpoint import load_model
from facegraft.images import to_tensor, to_uint8
from facegraft.model import Model, paste_back


class Swapper:
    """The registered model as MLflow sees it."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def predict(self, model_input: Mapping[str, np.ndarray]) -> np.ndarray:
        """Swap whole batches, without fine-tuning.

        Args:
            model_input: "source" and "target", each uint8 (B, S, S, 3), RGB, face-filling crops.

        Returns:
            uint8 (B, S, S, 3), RGB: the targets with the sources' identity.
        """
        source, target = (_images(model_input[name]) for name in ("source", "target"))
        with torch.no_grad():
            return to_uint8(paste_back(self._model.swap(source, target), target))


def _images(pixels: np.ndarray) -> torch.Tensor:
    return to_tensor(np.moveaxis(np.asarray(pixels, np.uint8), -1, -3))


def _load_pyfunc(path: str) -> Swapper:
    return Swapper(load_model(Path(path)))
