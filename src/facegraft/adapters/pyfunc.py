"""How MLflow loads a registered model: `mlflow.pyfunc.load_model` calls `_load_pyfunc`.

Only safetensors and JSON are read, so it works with pickle refused
(`MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from facegraft.adapters.landmarks import Landmarker
from facegraft.data.faces import Faces
from facegraft.imaging.images import to_tensor, to_uint8
from facegraft.method.checkpoint import load_model
from facegraft.method.model import Model


class PyfuncModel:
    """A registered model for MLflow's scoring: whole batches, no fine-tuning, no verdict.

    A stored version names this module and `_load_pyfunc`, never this class.
    """

    def __init__(self, model: Model) -> None:
        self._model, self._landmarker = model, Landmarker()

    def predict(self, model_input: Mapping[str, np.ndarray]) -> np.ndarray:
        """Swap whole batches, without fine-tuning.

        Args:
            model_input: "source" and "target", each uint8 (B, S, S, 3), RGB, face-filling crops.

        Returns:
            uint8 (B, S, S, 3), RGB: the targets with the sources' identity.
        """
        source, target = (self._faces(model_input[name]) for name in ("source", "target"))
        with torch.no_grad():
            return to_uint8(self._model.swap(source, target).image)

    def _faces(self, pixels: np.ndarray) -> Faces:
        pixels = np.ascontiguousarray(pixels, np.uint8)
        read = [self._landmarker.read(one, certain=True) for one in pixels]
        found = [one for one in read if one is not None]
        side = pixels.shape[1]
        return Faces(
            to_tensor(pixels),
            torch.from_numpy(np.stack([one.over(side, side) for one in found])),
            torch.from_numpy(np.stack([one.expression for one in found])),
        )


def _load_pyfunc(path: str) -> PyfuncModel:
    return PyfuncModel(load_model(Path(path)))
