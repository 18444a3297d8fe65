"""Pictures as an import leaves them: what an album's table says, and noise for the crops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from facegraft.adapters import store
from facegraft.data.grids import Person, Readings
from tests import synthetic

SPLIT_OF = {"a": "train", "b": "test"}


def pictures(
    names: Sequence[str], seed: int = 0, size: int = 64
) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Rows and crops of pictures called identity + number, e.g. "a1"."""
    rng = np.random.default_rng(seed)
    crops = [rng.integers(0, 255, (3, size, size), np.uint8) for _ in names]
    rows = [
        {
            "key": f"own/{name[0]}/{name[1:]}",
            "identity_id": f"own/{name[0]}",
            "identity": name[0],
            "split": SPLIT_OF[name[0]],
            "sha256": store.sha256(crop),
            "size": size,
            "subject_kind": "cartoon",
            "licence": "CC0-1.0",
            "consent": None,
            "landmarks": synthetic.LANDMARKS_64.ravel(),
            "found_by": "detector",
            "score": 0.9,
            "file": f"{name}.png",
            "file_sha256": name,
            "transform": np.array([1.0, 0, 2, 0, 1, 3]),
        }
        for name, crop in zip(names, crops, strict=True)
    ]
    return pd.DataFrame(rows), crops


def person(name: str, count: int) -> Person:
    """Somebody of `count` drawn faces of 32 px, as a landmark reader would read them."""
    drawn = synthetic.grid(name, rows=1, columns=count, size=32)
    assert drawn.readings is not None
    readings = Readings(drawn.readings.landmarks[0], drawn.readings.expression[0])
    keys = tuple(f"{name}/{k}" for k in range(count))
    return Person(name, keys, tuple(drawn.images[0]), readings)


PEOPLE = [person("own/ann", 5), person("own/bob", 2), person("own/cleo", 1)]
