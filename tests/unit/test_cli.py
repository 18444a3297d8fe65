"""The command line: help, one-line errors, exit codes, progress."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from facegraft.cli import DID_NOT_PASS, main
from facegraft.core.project import Project
from facegraft.evaluation.promotion import Decision
from facegraft.stages import base as base_stage
from facegraft.stages import promote as promote_stage
from tests import synthetic, tiny
from tests.disk import largest_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(tiny.ROOT / "params.yaml", tmp_path)
    return tmp_path


def test_help_names_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    for command in (
        "data",
        "import",
        "validate",
        "train",
        "evaluate",
        "promote",
        "swap-queue",
        "rollback",
    ):
        assert command in shown


def test_a_folder_without_params_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--project", str(tmp_path), "train"]) == 1
    shown = capsys.readouterr().err
    assert "params.yaml: not found; run from the project folder" in shown
    assert "Traceback" not in shown


def test_training_without_data_says_what_to_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--project", str(folder), "train"]) == 1
    assert "run `facegraft data`" in capsys.readouterr().err


def test_drawing_anew_is_asked_for_and_never_loses_what_nobody_keeps(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic.dataset(folder / "data")
    before = sorted(path.name for path in (folder / "data").rglob("*"))
    assert main(["--project", str(folder), "data"]) == 0
    assert main(["--project", str(folder), "data", "--rerender"]) == 1
    assert "run `dvc add data` or move the folder away" in capsys.readouterr().err
    assert sorted(path.name for path in (folder / "data").rglob("*")) == before


def test_swapping_without_a_champion_says_what_to_run(
    folder: Path, mlflow_template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(mlflow_template, folder / "mlruns")
    synthetic.dataset(folder / "data")
    assert main(["--project", str(folder), "swap", "test-000/i00/a00", "test-000/i01/a01"]) == 1
    shown = capsys.readouterr().err.strip().splitlines()[-1]
    assert "no champion in the registry" in shown
    assert "facegraft promote" in shown


@pytest.mark.parametrize("knob", ["--detail", "--shape"])
def test_a_strength_out_of_range_is_one_line(
    folder: Path, knob: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in ("1.5", "-0.1", "nan", "inf"):
        assert main(["--project", str(folder), "swap", "a", "b", knob, value]) == 1
        said = capsys.readouterr().err.strip().splitlines()
        assert said[-1] == f"facegraft swap: {knob} {value}: give a number from 0 to 1"
        assert "Traceback" not in "\n".join(said)


@pytest.mark.slow
def test_a_swap_of_another_strength_is_another_job(
    tiny_project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_project.root, tmp_path / "project", symlinks=True)
    asked = ["--project", str(tmp_path / "project"), "swap", "test-000/i00/a00", "test-000/i01/a01"]
    for knobs in ([], ["--detail", "0.5"], ["--detail", "0.5", "--shape", "0"]):
        for _ in range(2):  # the second finds it done
            assert main([*asked, *knobs]) == DID_NOT_PASS  # what six steps teach
    found = (tmp_path / "project" / "build" / "swaps").glob("single/*/record.json")
    records = [json.loads(path.read_text(encoding="utf-8")) for path in found]
    strengths = sorted((one["detail"], one["shape"]) for one in records)
    assert strengths == [(0.5, 0.0), (0.5, 1.0), (1.0, 1.0)]


@pytest.mark.slow
def test_a_swap_names_the_model_that_it_is_done_with(
    tiny_project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_project.root, tmp_path / "project", symlinks=True)
    asked = ["--project", str(tmp_path / "project"), "swap", "test-000/i00/a00", "test-000/i01/a01"]
    assert main([*asked, "--model", "99"]) == 1
    assert "holds no facegraft version '99'" in capsys.readouterr().err
    assert main([*asked, "--model", "1"]) == DID_NOT_PASS
    (sidecar,) = (tmp_path / "project" / "build" / "swaps").glob("single/*/record.json")
    assert json.loads(sidecar.read_text(encoding="utf-8"))["model_version"] == "1"


def test_promote_and_base_exit_with_three_where_the_gate_refuses(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    endings = {
        Decision(promote=True, reasons=("better",)): 0,
        Decision(promote=False, reasons=("a tie",)): DID_NOT_PASS,
        Decision(promote=False, reasons=("champion already",), unchanged=True): 0,
    }
    for decision, code in endings.items():
        monkeypatch.setattr(promote_stage, "promote", lambda *_, it=decision: it)
        assert main(["--project", str(folder), "promote"]) == code
        assert decision.reasons[0] in capsys.readouterr().out
        if decision.unchanged:
            continue
        outcome = base_stage.Outcome(decision, 4, 4)
        monkeypatch.setattr(base_stage, "base", lambda *_, it=outcome, **__: it)
        assert main(["--project", str(folder), "base"]) == code


def test_bad_usage_exits_with_two() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["swap", "only-one"])
    assert ended.value.code == 2


def test_what_the_system_refuses_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic.dataset(folder / "data")
    jobs = folder / "jobs.csv"
    jobs.write_text("source,target\na,b\n", encoding="utf-8")
    asked = ["--project", str(folder), "swap-queue", str(jobs)]
    (folder / "build").write_text("a file where a folder belongs", encoding="utf-8")
    assert main(asked) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"facegraft swap-queue: {folder / 'build'}")
    assert said.endswith("Not a directory; mend that and run again")

    (folder / "build").unlink()
    with largest_file(0):
        assert main(["--project", str(folder), "validate"]) == 1
    (said,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert said.endswith("File too large; raise the limit for the size of a file and run again")

    (folder / "params.yaml").write_bytes(b"data: \xff\n")
    assert main(asked) == 1
    assert "params.yaml: not valid YAML" in capsys.readouterr().err
