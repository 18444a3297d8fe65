"""Same seed, same losses: the proof that a refactor changed nothing.

In float64: there another processor's order of sums and its fused multiplications show in the
fourteenth figure, in float32 in the third after a few steps.

To accept a change that is meant: `UPDATE_GOLDEN=1 make test`, and say why in the commit.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from facegraft.data.grids import Mix, Person
from facegraft.method.model import ModelConfig
from facegraft.training.loop import train
from facegraft.training.state import init_state
from tests import tiny
from tests.album_pictures import PEOPLE

GOLDEN = Path(__file__).with_name("losses_by_step.json")


CASES: dict[str, tuple[dict[str, object], list[Person]]] = {
    "drawing": ({"freeze_convolutions": False}, []),
    "vector_only": ({"vector_only": True}, []),
    "people": ({"init": "base"}, PEOPLE),  # whose convolutions stay
}
"""What differs from the tiny params, and who joins; every case reads and draws."""


@pytest.mark.parametrize("name", CASES)
def test_losses_by_step(name: str) -> None:
    changes, people = CASES[name]
    grid = replace(tiny.faces(rows=6), mixes=(Mix(4, 0, 1, "eyes"), Mix(5, 2, 3, "nose")))
    section = tiny.train_params(teach_steps=2, steps=5, **changes)
    with tiny.float64():
        state = init_state(section, ModelConfig.from_params(section, [grid]), grid)
        measured = [m.losses for m in train(state, [grid], section, people)]
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps({**golden, name: measured}, indent=1, sort_keys=True) + "\n")
        golden = json.loads(GOLDEN.read_text())
    assert [set(step) for step in measured] == [set(step) for step in golden[name]]
    for mine, expected in zip(measured, golden[name], strict=True):
        # What is zero but for rounding, a target's reconstruction, is 1e-30 or so.
        assert mine == pytest.approx(expected, rel=1e-9, abs=1e-20)
