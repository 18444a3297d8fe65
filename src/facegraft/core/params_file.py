"""params.yaml read into `config.Params`; keys of earlier versions are errors that name the mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from facegraft.core.config import Params
from facegraft.core.errors import FacegraftError

_FIXED = "is fixed now, in src/facegraft/{}; delete it"
_IN_LOOP = _FIXED.format("training/loop.py (WEIGHTS)")
MOVED = {
    "train.device": "is runtime.device now",
    "train.precision": "is runtime.precision now",
    "train.identity": _FIXED.format("method/latents.py (IDENTITY)"),
    "train.attribute": _FIXED.format("method/latents.py (ATTRIBUTE)"),
    "train.weights.swap_loss": _IN_LOOP,
    "train.weights.feature_loss": _IN_LOOP,
    "train.weights.identity_teacher_loss": _IN_LOOP,
    "train.weights.attribute_teacher_loss": _IN_LOOP,
    "train.weights.contrast_loss": _IN_LOOP,
    "train.weights.consistency_loss": _IN_LOOP,
    "promote.min_improvement": "is promote.min_difference now, of the interval's lower end",
    "drift.accept": "is a command now: facegraft drift --accept VERSION --why TEXT; delete it",
}
"""Keys of earlier versions -> what stands in their place now."""


class ParamsError(FacegraftError):
    """params.yaml cannot be used; the message names the file, the key and the mend."""


def load_params(path: Path) -> Params:
    """Read and check params.yaml; what it does not name has its default.

    Raises:
        ParamsError: the file is missing, no UTF-8, no YAML mapping, or holds a key or value that
            the models refuse; one line, a fault after the other, each with its key.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(f"{path}: not found; run from the project folder") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    try:
        return Params.model_validate(_without_empty(raw))
    except ValidationError as error:
        faults = "; ".join(_fault_line(fault) for fault in error.errors())
        raise ParamsError(f"{path}: {faults}") from error


def _without_empty(raw: object) -> object:
    """A file or a section of which every line is commented out, which YAML calls null."""
    if isinstance(raw, dict):
        return {name: section for name, section in raw.items() if section is not None}
    return {} if raw is None else raw


def _fault_line(fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    text = fault["msg"]
    if fault["type"] == "extra_forbidden":
        text = MOVED.get(key, "no such knob; `facegraft params` lists them")
    return f"{key or 'document'}: {text}"
