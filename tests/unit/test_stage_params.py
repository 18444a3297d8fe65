"""`facegraft params`: every knob, what is in use, its default, bounds and meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from facegraft.cli import main
from facegraft.core.config import SECTIONS, Params
from facegraft.stages.params import HEAD, knobs

CHANGED = """
train: {steps: 99, weights: {mse_loss: 2}}
promote: {min_values: {model/judge_detected: 0.95, model/psnr_face: 20}}
swap: {learning_rate: 0.00002}
"""


@pytest.fixture
def shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    (tmp_path / "params.yaml").write_text(CHANGED)
    assert main(["--project", str(tmp_path), "params"]) == 0
    return capsys.readouterr().out.splitlines()


def test_every_knob_has_a_line_in_aligned_columns(shown: list[str]) -> None:
    head, *lines, last = shown
    keys = [line[2:].split()[0] for line in lines]
    assert list(dict.fromkeys(key.partition(".")[0] for key in keys)) == list(SECTIONS)
    assert {knob.key for knob in knobs(Params(), Params())} <= set(keys)
    assert last == f"{len(lines)} knobs; * 6 differ from the default"
    starts = [head.index(f" {title}") for title in HEAD[1:]]
    for line in lines:
        assert all(line[start - 1 : start + 1] == "  " for start in starts[:-1]), line


def test_what_differs_is_marked_with_both_values_bounds_and_meaning(shown: list[str]) -> None:
    marked = [line.split() for line in shown if line.startswith("* ")]
    assert [words[1:4] for words in marked] == [
        ["train.steps", "99", "150"],
        ["train.weights.mse_loss", "2.0", "1.0"],
        ["promote.min_values.model/psnr_changed_gain", "-", "0.0"],
        ["promote.min_values.model/judge_detected", "0.95", "0.9"],
        ["promote.min_values.model/psnr_face", "20.0", "-"],
        ["swap.learning_rate", "0.00002", "0.00005"],
    ]
    (size,) = [line for line in shown if " data.size " in line]
    assert "32 | 64 | 128 | 256" in size
    assert size.endswith("pixels, width = height")
    (decay,) = [line for line in shown if " train.ema_decay " in line]
    assert ">= 0, < 1" in decay


def test_one_section_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "params.yaml").write_text("")
    assert main(["--project", str(tmp_path), "params", "import"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:-1]
    assert len(lines) == 6
    assert all(line.startswith("  import.") for line in lines)
    with pytest.raises(SystemExit):
        main(["--project", str(tmp_path), "params", "trian"])
    assert "invalid choice: 'trian'" in capsys.readouterr().err
