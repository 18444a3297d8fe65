"""The swap stage on files and dataset keys: inputs, sidecar, marks, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facegraft.adapters.judge import Judge
from facegraft.adapters.store import DataError
from facegraft.calibration import Thresholds
from facegraft.characters import load_assets, render, sample_attributes, sample_identity
from facegraft.images import ImageError, is_ai_generated, load_image, read_metadata, save_png
from facegraft.project import Project
from facegraft.sidecar import SwapRecord
from facegraft.stages.inputs import read_input, true_swap
from facegraft.stages.swap import Swapper, finished, job_name, run_swap
from tests import synthetic, tiny


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("swap")
    synthetic.dataset(root / "data", size=32)
    return Project(root)


@pytest.fixture(scope="module")
def portrait(project: Project) -> Path:
    """A picture of a character, head and shoulders, larger than any crop."""
    rng = np.random.default_rng(4)
    assets = load_assets()
    drawn = render(
        assets, sample_identity(assets, rng), sample_attributes(rng), 256, framing="portrait"
    )
    path = project.root / "portrait.png"
    save_png(path, drawn.image)
    return path


def swapper(project: Project, identity: float, attribute: float) -> Swapper:
    section = tiny.params().swap.model_copy(update={"budget_steps": 2, "check_every": 1})
    return Swapper(
        project=project,
        params=section,
        model=tiny.state().ema,
        model_version="7",
        thresholds=Thresholds(identity_loss=identity, attribute_loss=attribute),
        judge=Judge(),
    )


def test_a_pass_is_saved_with_marks_and_a_full_record(project: Project) -> None:
    one = swapper(project, identity=3.0, attribute=1e6)
    inputs = [
        read_input(project, one.model.config, one.judge, key)
        for key in ("test-000/i00/a00", "test-000/i01/a01")
    ]
    result = run_swap(one, inputs, "job-1", project.swaps, None)
    assert result.record.verdict == "PASS"
    assert result.record.steps == 0
    assert is_ai_generated(result.image)
    assert read_metadata(result.image)["facegraft:verdict"] == "PASS"
    assert load_image(result.image).shape == (32, 32, 3)
    assert result.comparison.exists()
    assert SwapRecord.read(result.sidecar) == result.record
    assert result.record.model_version == "7"
    assert result.record.transplant == ("face_shape", "eyes", "brows", "nose", "mouth")
    again = finished(project.swaps, "job-1")
    assert again is not None
    assert again.record == result.record


def test_an_exhausted_budget_is_marked_in_name_metadata_and_record(project: Project) -> None:
    one = swapper(project, identity=1e-9, attribute=1e-9)
    inputs = [
        read_input(project, one.model.config, one.judge, key)
        for key in ("test-000/i00/a00", "test-000/i01/a01")
    ]
    result = run_swap(one, inputs, "job-2", project.swaps, ("eyes",))
    assert result.record.verdict == "FAIL"
    assert result.image.name == "job-2.FAIL.png"
    assert "budget of fine-tuning steps exhausted" in result.record.reason
    assert {loss.step for loss in result.record.losses} == {0, 1, 2}
    assert read_metadata(result.image)["facegraft:verdict"] == "FAIL"


def test_a_picture_keeps_its_size_and_all_that_is_not_face(
    project: Project, portrait: Path
) -> None:
    one = swapper(project, identity=3.0, attribute=1e6)
    source = read_input(project, one.model.config, one.judge, "test-000/i00/a00")
    target = read_input(project, one.model.config, one.judge, str(portrait))
    assert target.crop.shape == (32, 32, 3)
    result = run_swap(one, [source, target], "job-3", project.swaps, None)
    before, after = load_image(portrait), load_image(result.image)
    assert after.shape == before.shape
    assert np.array_equal(after[:20], before[:20])
    assert not np.array_equal(after, before)


def test_the_truth_is_known_inside_a_grid_only(project: Project) -> None:
    config, judge = tiny.state().ema.config, Judge()
    a, b, c = (
        read_input(project, config, judge, key)
        for key in ("test-000/i00/a00", "test-000/i01/a01", "train-000/i01/a01")
    )
    truth = true_swap(project, a, b)
    expected = read_input(project, config, judge, "test-000/i00/a01").crop
    assert truth is not None
    assert np.array_equal(truth, expected)
    assert true_swap(project, a, c) is None


def test_unknown_ids_and_bad_files_are_one_line(project: Project) -> None:
    config, judge = tiny.state().ema.config, Judge()
    with pytest.raises(DataError, match="test-000/i09/a00"):
        read_input(project, config, judge, "test-000/i09/a00")
    with pytest.raises(ImageError, match=r"missing\.png: not found"):
        read_input(project, config, judge, "missing.png")
    text = project.root / "note.png"
    text.write_text("this is no picture")
    with pytest.raises(ImageError, match=r"note\.png"):
        read_input(project, config, judge, str(text))
    blank = project.root / "blank.png"
    save_png(blank, np.full((64, 64, 3), 127, np.uint8))
    with pytest.raises(ImageError, match=r"blank\.png: no face found"):
        read_input(project, config, judge, str(blank))


def test_a_job_is_named_by_its_inputs(project: Project) -> None:
    name = job_name("a/hero.png", "test-000/i01/a01", ("x", "y"))
    assert name.startswith("a-hero--test-000-i01-a01-")
    assert name != job_name("a/hero.png", "test-000/i01/a01", ("x", "z"))
