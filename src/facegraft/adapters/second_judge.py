"""A second recogniser, to catch a model that is tuned to the first: dlib's ResNet. Optional.

`.venv/bin/uv pip install --no-deps dlib-bin==20.0.1.post1 face-recognition-models==0.3.0` brings
it: the code (Boost licence) from the first, the networks (CC0) from the second, 100 MB. Used by
`facegraft benchmark` alone.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facegraft.adapters.judge import Judge

RECOGNISER = "dlib_face_recognition_resnet_model_v1.dat"
LANDMARKS = "shape_predictor_5_face_landmarks.dat"

SIDE = 300
"""Pixels to which a crop is enlarged: dlib cuts its chip of 150 from it."""


def installed() -> bool:
    """Whether the optional packages are there."""
    return all(importlib.util.find_spec(n) for n in ("dlib", "face_recognition_models"))


class SecondJudge:
    """Recognises faces that YuNet finds; deterministic, one picture at a time.

    Raises:
        ImportError: the optional packages are not installed; ask `installed` first.
    """

    def __init__(self) -> None:
        import dlib

        self._dlib = dlib
        self._detector = Judge()
        self._landmarks: Any = dlib.shape_predictor(str(_model_file(LANDMARKS)))
        self._recogniser: Any = dlib.face_recognition_model_v1(str(_model_file(RECOGNISER)))

    def embed(self, image: np.ndarray) -> np.ndarray | None:
        """Who is shown in uint8 (H, W, 3), RGB: float32 (128,), unit length; None if nobody."""
        face = self._detector.detect(image)
        if face is None:
            return None
        scale = SIDE / max(image.shape[:2])
        sides = (round(scale * image.shape[1]), round(scale * image.shape[0]))
        large = np.array(Image.fromarray(image).resize(sides, Image.Resampling.BICUBIC))
        shape = self._landmarks(large, self._box(face.box, scale))
        feature = np.array(self._recogniser.compute_face_descriptor(large, shape), np.float64)
        norm = float(np.linalg.norm(feature))
        return (feature / norm).astype(np.float32) if norm > 0 else None

    def _box(self, box: tuple[float, float, float, float], scale: float) -> Any:
        """YuNet's upright box as the square that dlib's own detector would give."""
        left, top, width, height = (scale * value for value in box)
        side = (width + height) / 2
        x, y = left + width / 2, top + height / 2
        corners = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
        return self._dlib.rectangle(*(round(value) for value in corners))


def _model_file(name: str) -> Path:
    """A network inside the installed wheel, found without importing it (it asks for setuptools)."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise ImportError("face_recognition_models is not installed")
    return Path(spec.origin).parent / "models" / name
