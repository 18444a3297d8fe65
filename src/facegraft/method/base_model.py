"""The base weights that every user starts from: shipped with the package, checked when loaded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from facegraft.method.checkpoint import WEIGHTS, CheckpointError, load_model
from facegraft.method.model import Model

BASE = Path(__file__).parents[1] / "base_weights"
"""Holds model.safetensors (half precision), model.json, data_summary.json, pairs.jpg, card.json and
README.md. parameter_heads.safetensors is written by every `make base`; the weights shipped now
predate it."""

CARD = "card.json"


def load_base(folder: Path = BASE) -> Model:
    """The shipped model, if its bytes are those that its card names.

    Raises:
        CheckpointError: a file is missing or damaged, or the weights are not the card's.
    """
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{error.filename}: not found; install the package again, or set train.init: scratch"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{folder / CARD}: no JSON; install the package again") from error
    if not isinstance(card, dict) or card.get("sha256") != digest:
        raise CheckpointError(
            f"{folder / WEIGHTS}: not the weights that {CARD} names; install the package again"
        )
    return load_model(folder)
