"""Seals: figures that decide something, bound to the model they were measured of.

Thresholds and benchmarks lie in plain JSON, in build/ and in the registry. Sealed, they hold the
model's hash and a hash of all of it, so that what somebody changed is not taken for measured.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from facegraft.core.errors import FacegraftError

MODEL, SEAL = "model_sha256", "sha256"


class SealBroken(FacegraftError):
    """Figures are another model's or were changed; a verb to put behind their name."""


def seal(figures: Mapping[str, object], model_sha256: str) -> dict[str, object]:
    """The figures, which JSON can hold, with `model_sha256` and the hash `sha256` of all else."""
    bound = {**figures, MODEL: model_sha256}
    return {**bound, SEAL: _hash(bound)}


def unseal(stored: Mapping[str, object], model_sha256: str) -> dict[str, object]:
    """The figures that `seal` was given for this model.

    Raises:
        SealBroken: they are another model's, or not as they were sealed.
    """
    bound = {name: value for name, value in stored.items() if name != SEAL}
    if stored.get(SEAL) != _hash(bound):
        raise SealBroken("was changed after it was measured")
    if bound.pop(MODEL, None) != model_sha256:
        raise SealBroken("is another model's")
    return bound


def _hash(bound: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest()
