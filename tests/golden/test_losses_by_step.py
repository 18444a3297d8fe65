"""Same seed, same losses: the proof that a refactor changed nothing.

To accept a change that is meant: `UPDATE_GOLDEN=1 make test`, and say why in the commit.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from facegraft.training import train
from tests import tiny

GOLDEN = Path(__file__).with_name("losses_by_step.json")


@pytest.mark.parametrize("vector_only", [False, True], ids=["spatial", "vector_only"])
def test_losses_by_step(vector_only: bool, request: pytest.FixtureRequest) -> None:
    section = tiny.train_params(steps=6, vector_only=vector_only)
    state = tiny.state(steps=6, vector_only=vector_only)
    measured = [m.losses for m in train(state, [tiny.faces()], section)]
    name = request.node.callspec.id
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps({**golden, name: measured}, indent=1, sort_keys=True) + "\n")
        golden = json.loads(GOLDEN.read_text())
    assert [set(step) for step in measured] == [set(step) for step in golden[name]]
    for mine, expected in zip(measured, golden[name], strict=True):
        assert mine == pytest.approx(expected, rel=2e-3, abs=1e-5)
