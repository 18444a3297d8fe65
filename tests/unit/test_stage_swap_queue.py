"""The queue: no bad pair stops the list, no name meets another's files, the exit code tells."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from facegraft.adapters.judge import Judge
from facegraft.adapters.landmarks import Landmarker
from facegraft.cli import DID_NOT_PASS, main
from facegraft.core.progress import silent
from facegraft.core.project import Project
from facegraft.method.calibration import Thresholds
from facegraft.method.model import ModelConfig
from facegraft.stages import swap_queue as stage
from facegraft.stages.data import DataVersion
from facegraft.stages.inputs import FaceReaders
from facegraft.stages.swap import TuningSwapper
from facegraft.stages.swap_queue import QueueRefused, QueueReport, list_folder
from facegraft.training.state import init_state
from tests import tiny
from tests.disk import largest_file
from tests.photographs import photograph

SOURCE, TARGET = "test-000/i00/a00", "test-000/i01/a01"


@pytest.fixture(scope="module")
def dataset(
    rendered: tuple[Project, DataVersion], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Rendered faces: a verdict reads what is drawn of them."""
    root = tmp_path_factory.mktemp("queue")
    shutil.copytree(rendered[0].data, root / "data")
    shutil.copy(tiny.ROOT / "params.yaml", root)
    return root


@pytest.fixture
def project(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose champion passes everything; no registry is asked for it."""
    shutil.copytree(dataset, tmp_path / "project")
    champion(monkeypatch, Project(tmp_path / "project"), 3.0)
    return Project(tmp_path / "project")


def champion(patch: pytest.MonkeyPatch, project: Project, identity: float) -> None:
    """A real model as the champion, with this threshold of the identity loss."""
    section = tiny.params().swap.model_copy(update={"budget_steps": 1, "check_every": 1})
    train, grid = tiny.train_params(), tiny.faces(size=64)
    config = ModelConfig.from_params(train, [grid])
    opened = TuningSwapper(
        project=project,
        params=section,
        model=init_state(train, config, grid).ema,
        model_version="7",
        thresholds=Thresholds(identity_loss=identity, attribute_loss=1e6),
        readers=FaceReaders(Judge(), Landmarker(threads=1)),
    )
    patch.setattr(stage, "open_swapper", lambda *_: opened)


def written(project: Project, text: str, name: str = "jobs.csv") -> Path:
    path = project.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def run(project: Project, jobs: Path, limit: int | None = None) -> QueueReport:
    return stage.swap_queue(project, tiny.params(), jobs, silent, limit=limit)


def test_no_bad_pair_stops_the_list(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(project.root / "pipe.png")
    (project.root / "memory.png").symlink_to("/proc/self/mem")
    (project.root / "text.png").write_text("no picture", encoding="utf-8")
    both = Image.new("L", (184, 112))
    both.paste(photograph(3, 1), (0, 0))
    both.paste(photograph(4, 1), (92, 0))
    both.resize((736, 448)).save(project.root / "both.png")
    faults = {
        "pipe.png": "no regular file",
        "memory.png": "cannot be read",
        "text.png": "no picture",
        "both.png": "shows 2 faces",
        "gone.png": "not found",
        "x" * 300: "File name too long",
        "test-000/i99/a00": "unknown id",
        '"a\nb.png"': "not found",
    }
    rows = [f"{SOURCE},{name},bad-{index}," for index, name in enumerate(faults)]
    rows += [f"{SOURCE},{TARGET},ears,ears", f"{SOURCE},{TARGET},good,"]
    jobs = written(project, "source,target,job,transplant\n" + "\n".join(rows) + "\n")
    asked = ["--project", str(project.root), "swap-queue", str(jobs)]
    assert main(asked) == 1
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert f"1 done, {len(rows) - 1} could not be tried, 0 done before, 0 pending" in said.out
    for index, fault in enumerate(faults.values()):
        (line,) = (one for one in said.out.splitlines() if one.startswith(f"ERROR bad-{index}:"))
        assert fault in line
    assert "ERROR ears: ears: no part of this model's faces" in said.out
    notes = list_folder(project, jobs).glob("*/error.json")
    assert len([json.loads(note.read_text(encoding="utf-8")) for note in notes]) == len(rows) - 1

    # A limit is not used up by what failed before, nor is a done pair done twice.
    jobs.write_text(jobs.read_text(encoding="utf-8") + f"{TARGET},{SOURCE},late,\n", "utf-8")
    report = run(project, jobs, limit=1)
    assert [one.record.job for one in report.done] == ["late"]
    assert [one.record.job for one in report.before] == ["good"]
    assert report.pending == len(rows) - 1


def test_what_the_terminal_cannot_print_is_escaped(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = written(project, f"source,target,job\n\u2193.png,{TARGET},arrow\n")
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", terminal)
    assert main(["--project", str(project.root), "swap-queue", str(jobs)]) == 1
    terminal.flush()
    assert b"\\u2193.png: not found" in terminal.buffer.getvalue()  # type: ignore[attr-defined]


def test_no_name_meets_the_files_of_another(project: Project) -> None:
    names = ["hero", "hero.error", "hero.FAIL", "hero.compare"]
    text = "source,target,job\n" + "".join(f"{SOURCE},{TARGET},{name}\n" for name in names)
    jobs = written(project, text)
    done = run(project, jobs).done
    assert [one.record.job for one in done] == names
    assert len({one.image for one in done}) == len(names)
    assert len(run(project, jobs).before) == len(names)

    # The same name with another target is another job, and takes nothing from the first.
    jobs.write_text(f"source,target,job\n{SOURCE},test-000/i01/a00,hero\n", encoding="utf-8")
    (other,) = run(project, jobs).done
    assert other.record.target.given == "test-000/i01/a00"
    assert done[0].image.exists()


def test_lists_of_one_name_in_two_folders_are_two_lists(project: Project) -> None:
    source = project.root / "one" / "face.png"
    source.parent.mkdir()
    photograph(3, 1, 4).save(source)
    text = f"source,target,job\nface.png,{TARGET},hero\n"
    one, two = (written(project, text, f"{folder}/jobs.csv") for folder in ("one", "two"))
    (done,) = run(project, one).done  # the path is seen from the list's folder
    assert done.record.source.given == "face.png"
    (failed,) = run(project, two).failed
    assert f"{two.parent / 'face.png'}: not found" in failed.message
    assert list_folder(project, one) != list_folder(project, two)
    moved = project.root.rename(project.root.with_name("moved"))
    assert len(run(Project(moved), moved / "one" / "jobs.csv").before) == 1


def test_a_damaged_result_is_done_again_and_leftovers_go(project: Project) -> None:
    jobs = written(project, f"source,target,job\n{SOURCE},{TARGET},hero\n")
    (first,) = run(project, jobs).done
    text = first.sidecar.read_text(encoding="utf-8")
    (first.folder / ".record.tmp-killed.json").write_text("{", encoding="utf-8")
    first.sidecar.write_text(text[:100], encoding="utf-8")
    assert len(run(project, jobs).done) == 1
    first.image.unlink()
    assert len(run(project, jobs).done) == 1
    names = ["comparison.png", "record.json", "swap.png"]
    assert sorted(path.name for path in first.folder.iterdir()) == names
    assert len(run(project, jobs).before) == 1


def test_a_full_disk_stops_the_list_in_one_line_and_loses_nothing(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{SOURCE},{TARGET},a", f"{TARGET},{SOURCE},b", f"{SOURCE},test-000/i01/a00,c"]
    jobs = written(project, "source,target,job\n" + "\n".join(rows) + "\n")
    run(project, jobs, limit=1)
    asked = ["--project", str(project.root), "swap-queue", str(jobs)]
    with largest_file(1000):
        assert main(asked) == 1
    said = capsys.readouterr().out.strip().splitlines()
    assert said[0].startswith("ERROR b: [Errno 27] File too large")
    assert said[1:] == ["0 done, 1 could not be tried, 1 done before, 1 pending"]
    assert main(asked) == 0
    assert (
        capsys.readouterr()
        .out.strip()
        .endswith("2 done, 0 could not be tried, 1 done before, 0 pending")
    )


def test_the_exit_code_tells_a_fail_also_of_an_earlier_run(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = written(project, f"source,target\n{SOURCE},{TARGET}\n{TARGET},{SOURCE}\n")
    asked = ["--project", str(project.root), "swap-queue", str(jobs), "--limit", "1"]
    assert main(asked) == 0
    champion(monkeypatch, project, 1e-9)
    assert main(asked) == DID_NOT_PASS
    assert main(asked) == DID_NOT_PASS  # nothing is pending: what was done before counts
    for limit in (0, -1):
        with pytest.raises(QueueRefused, match=f"--limit {limit}: give at least 1"):
            run(project, jobs, limit)
