"""dvc.yaml names what a stage depends on: every file is there, the whole method among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from facegraft.core.config import SECTIONS
from facegraft.core.project import Project
from facegraft.stages.train import CODE

ROOT = Path(__file__).parents[2]
IN_USE = Project(Path()).params_in_use.as_posix()
ALSO = {"train": ("runtime.precision",)}
"""Stage -> what else it depends on; where it computes changes no weight but by rounding."""

STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_its_own_code_and_section(name: str) -> None:
    stage = STAGES[name]
    assert stage["cmd"] == f"python -m facegraft.cli {name}"
    assert name in SECTIONS
    # With all defaults, which `data` writes: params.yaml need not name the section.
    (sections,) = [one[IN_USE] for one in stage.get("params", [{IN_USE: [name]}])]
    assert sections == [name, *ALSO.get(name, ())]
    known = {"build/data/version.json", "build/validation/summary.json"}
    assert name == "data" or known & set(stage["deps"])
    # What train.py itself says is logged: the weights depend on the rooms below.
    assert name == "train" or f"src/facegraft/stages/{name}.py" in stage["deps"]
    for dependency in stage["deps"]:
        if dependency.startswith("src/"):
            assert (ROOT / dependency).exists(), dependency


def test_training_depends_on_all_of_the_method() -> None:
    assert {f"src/facegraft/{part}" for part in CODE} <= set(STAGES["train"]["deps"])


def test_only_the_stage_that_always_runs_reads_params_yaml_itself() -> None:
    assert STAGES["data"]["always_changed"]
    assert {IN_USE: {"cache": False}} in STAGES["data"]["outs"]
    assert [name for name, stage in STAGES.items() if "params" not in stage] == ["data"]


def test_the_stages_form_one_road_and_write_below_build() -> None:
    assert "build/validation/report.json" in STAGES["train"]["deps"]
    assert "build/drift/verdict.json" in STAGES["train"]["deps"]
    assert STAGES["drift"]["always_changed"], "the champion changes without the data"
    assert "build/model" in STAGES["evaluate"]["deps"]
    outs = [
        out if isinstance(out, str) else next(iter(out))
        for stage in STAGES.values()
        for out in (*stage["outs"], *stage.get("metrics", []))
    ]
    assert all(out.startswith("build/") for out in outs)
