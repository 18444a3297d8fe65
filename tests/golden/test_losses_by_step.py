"""Same seed, same losses: the proof that a refactor changed nothing.

In float64: there another processor's order of sums and its fused multiplications show in the
fourteenth figure, in float32 in the third after a few steps.

To accept a change that is meant: `UPDATE_GOLDEN=1 make test`, and say why in the commit.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from facegraft.dataset import Grid, Person
from facegraft.model import ModelConfig
from facegraft.training import init_state, train
from tests import tiny
from tests.album_pictures import PEOPLE
from tests.painted import painted_faces

GOLDEN = Path(__file__).with_name("losses_by_step.json")


CASES: dict[str, tuple[bool, Grid, list[Person]]] = {
    "spatial": (False, tiny.faces(), []),
    "vector_only": (True, tiny.faces(), []),
    "strokes_and_people": (False, painted_faces(), PEOPLE),
}


@pytest.mark.parametrize("name", CASES)
def test_losses_by_step(name: str) -> None:
    vector_only, grid, people = CASES[name]
    section = tiny.train_params(steps=6, vector_only=vector_only)
    with tiny.float64():
        state = init_state(section, ModelConfig.from_params(section, [grid]), grid)
        measured = [m.losses for m in train(state, [grid], section, people)]
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps({**golden, name: measured}, indent=1, sort_keys=True) + "\n")
        golden = json.loads(GOLDEN.read_text())
    assert [set(step) for step in measured] == [set(step) for step in golden[name]]
    for mine, expected in zip(measured, golden[name], strict=True):
        assert mine == pytest.approx(expected, rel=1e-9)
