"""`facegraft benchmark` in small: its own renders, once; every row, the pictures, clear errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from facegraft.adapters import second_judge
from facegraft.core import parallel
from facegraft.core.config import Params
from facegraft.core.progress import silent
from facegraft.core.project import Project
from facegraft.data.grids import PARTS
from facegraft.evaluation.benchmark import ROWS
from facegraft.method.checkpoint import CheckpointError, save_model
from facegraft.method.model import Model, ModelConfig
from facegraft.stages import benchmark as stage
from facegraft.stages.benchmark import (
    NOT_INSTALLED,
    SECOND_JUDGE,
    BenchmarkRefused,
    Outcome,
    benchmark,
    find_model,
)
from facegraft.stages.benchmarking.data import MARKER, benchmark_data
from tests import tiny
from tests.elsewhere import elsewhere


@pytest.fixture(scope="module")
def params() -> Params:
    """The repository's params with a benchmark of two grids of three people."""
    whole = tiny.params()
    small = {
        "grids": 2,
        "identities": 3,
        "attributes": 2,
        "supersample": 1,
        "region_grids": 1,
        "region_pairs": 1,
        "resamples": 100,
        "probe_grids": 2,
        "dimension_pairs": 2,
    }
    return whole.model_copy(update={"benchmark": whole.benchmark.model_copy(update=small)})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Iterator[Project]:
    """A folder with an untrained model of 64 px, and the benchmark's renders."""
    root = tmp_path_factory.mktemp("benchmark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "usable_cores", lambda: 1)
        project = Project(root)
        data = benchmark_data(project, params.benchmark, 64, silent)
        config = ModelConfig.from_params(tiny.train_params(), data.people)
        save_model(Model(config), project.model)
        yield project


@pytest.fixture(scope="module")
def outcome(project: Project, params: Params) -> Outcome:
    """Of all pairs, without the second judge and drawn avatars."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(second_judge, "installed", lambda: False)
        patch.setattr(stage, "avatars", lambda *_: None)
        return benchmark(project, params, str(project.model), silent)


def test_the_whole_benchmark(project: Project, params: Params, outcome: Outcome) -> None:
    assert outcome.folder == project.benchmark / "model"
    written = json.loads((outcome.folder / "benchmark.json").read_text())
    assert written["pairs"] == 6
    figures = written["figures"]
    for row in ROWS:
        for metric in ("judge_retrieval_top1", "judge_similarity_source", "pose_error",
                       "expression_error", "hair_colour_error", "skin_tone_error",
                       "background_error", "identity_loss"):  # fmt: skip
            one = figures[f"{row}/{metric}"]
            assert one["low"] <= one["mean"] <= one["high"], (row, metric)
    for metric in ("psnr", "ssim", "gmsd"):
        for place in ("", "_face", "_changed"):
            assert figures[f"model/{metric}{place}"]["pairs"] == 6
    assert figures["copy_target/background_error"]["mean"] == 0.0
    assert figures["copy_source/judge_retrieval_top1"]["mean"] == 1.0
    assert {k for k in figures if k.startswith("model/psnr_changed_gain_")} == {
        f"model/psnr_changed_gain_{part}" for part in PARTS
    }
    absent = (SECOND_JUDGE, "avatars_similarity_source")
    assert written["notes"] == dict.fromkeys(absent, NOT_INSTALLED)
    for metric in ("similarity_source", "similarity_target", "closer_to_source", "found"):
        assert figures[f"model/photographs_{metric}"]["pairs"] == 6
    assert figures["copy_target/eye_opening_error"]["pairs"] == 6
    assert figures["model/judge_share_of_the_way"]["pairs"] == 6
    assert figures["copy_source/sharpness_mouth"]["mean"] > 0
    assert written["costs"]["flops"] > 0
    assert len(written["dimensions"]["whole"]) == 18
    for name in (
        "swaps.jpg",
        "regions.jpg",
        "photographs.jpg",
        "dimensions.png",
        "dimension_rows.jpg",
    ):
        with Image.open(outcome.folder / name) as picture:
            assert picture.width > 300
    page = (outcome.folder / "index.html").read_text(encoding="utf-8")
    assert "Benchmark of " in page
    assert "<td>psnr_changed ↑</td>" in page
    assert page.count("<img") == page.count(".jpg") + page.count(".png") == 5
    assert "not installed" in outcome.text
    assert outcome.text.splitlines()[3].startswith("metric")
    assert "| psnr_changed ↑ |" in (outcome.folder / "README.md").read_text()


def test_the_renders_are_used_again_until_they_are_made_otherwise(
    project: Project, params: Params
) -> None:
    marker = project.benchmark_data / "people-64" / MARKER
    before = marker.stat().st_mtime_ns
    first = benchmark_data(project, params.benchmark, 64, silent)
    assert marker.stat().st_mtime_ns == before
    assert len({key for grid in first.people for key in grid.keys.ravel()}) == 12
    made = json.loads(marker.read_text())
    marker.write_text(json.dumps({**made, "renderer": "an older one"}))
    assert benchmark_data(project, params.benchmark, 64, silent).version == first.version
    assert json.loads(marker.read_text()) == made


def test_fewer_pairs_are_another_benchmark_and_too_many_are_refused(
    project: Project, params: Params, outcome: Outcome, tmp_path: Path
) -> None:
    shutil.rmtree(project.benchmark_data / "probes")  # the fitted probes are kept beside it
    short = benchmark(project, params, str(project.model), silent, out=tmp_path, pairs=2)
    written = json.loads((tmp_path / "benchmark.json").read_text())
    assert short.folder == tmp_path
    assert not (project.benchmark_data / "probes").exists()
    assert written["pairs"] == 2
    whole = outcome.folder / "benchmark.json"
    assert written["pairs_hash"] != json.loads(whole.read_text())["pairs_hash"]
    with pytest.raises(BenchmarkRefused, match="--pairs 7: the benchmark has 1 to 6 pairs"):
        benchmark(project, params, str(project.model), silent, pairs=7)
    for refused in ({"pairs": 0}, {"resamples": 0}):
        with pytest.raises(BenchmarkRefused, match=f"--{next(iter(refused))} 0: give at least 1"):
            benchmark(project, params, "base", silent, **refused)


def test_it_computes_where_runtime_says_with_the_same_figures(
    project: Project,
    params: Params,
    outcome: Outcome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No GPU is needed: what lies `elsewhere` refuses to meet what lies on the CPU."""
    monkeypatch.setattr(second_judge, "installed", lambda: False)
    monkeypatch.setattr(stage, "avatars", lambda *_: None)
    with elsewhere() as device:
        monkeypatch.setattr(stage, "set_up", lambda runtime: device)
        away = benchmark(project, params, str(project.model), silent, out=tmp_path)
    mine, theirs = (json.loads((o.folder / "benchmark.json").read_text()) for o in (outcome, away))
    assert theirs["costs"]["device"] == device.type != mine["costs"]["device"]
    assert mine["pairs_hash"] == theirs["pairs_hash"]
    assert mine["figures"].keys() == theirs["figures"].keys()
    for key, figure in mine["figures"].items():
        if figure["pairs"]:
            expected = pytest.approx(figure["mean"], rel=1e-3, abs=1e-6)
            assert theirs["figures"][key]["mean"] == expected, key


def test_a_model_is_base_or_a_folder_and_else_a_clear_error(project: Project) -> None:
    assert find_model(project, "base")[0].config.size == 128
    assert find_model(project, str(project.model))[1] == project.model
    with pytest.raises(CheckpointError, match="no/such: not found; give `base`, a folder with"):
        find_model(project, "no/such")
    with pytest.raises(CheckpointError, match=r"model\.json: not found"):
        find_model(project, str(project.root))
