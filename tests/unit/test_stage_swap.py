"""The swap stage on files and dataset keys: inputs, sidecar, marks, refusals."""

from __future__ import annotations

import hashlib
import os
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegraft.adapters.judge import Judge
from facegraft.adapters.landmarks import Landmarker
from facegraft.adapters.store import DataError, read_manifest
from facegraft.characters import load_assets, render, sample_attributes, sample_identity
from facegraft.cli import DID_NOT_PASS, main
from facegraft.core.project import Project
from facegraft.imaging.images import AI_GENERATED, ImageError, load_image, save_png
from facegraft.method.calibration import Thresholds
from facegraft.method.model import Model, ModelConfig
from facegraft.method.sidecar import SwapRecord
from facegraft.stages import inputs
from facegraft.stages import swap as stage
from facegraft.stages.data import DataVersion
from facegraft.stages.inputs import FaceReaders, Input, read_input, true_swap
from facegraft.stages.swap import (
    SwapRefused,
    TuningSwapper,
    finished,
    job_name,
    run_swap,
    with_strength,
)
from facegraft.training.state import init_state
from tests import synthetic, tiny
from tests.disk import largest_file
from tests.photographs import photograph
from tests.unit.test_images import png_text

SIZE = 64


@pytest.fixture(scope="module")
def project(
    rendered: tuple[Project, DataVersion], tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """Rendered faces: a verdict reads what is drawn of them."""
    root = tmp_path_factory.mktemp("swap")
    shutil.copytree(rendered[0].data, root / "data")
    return Project(root)


@cache
def readers() -> FaceReaders:
    return FaceReaders(Judge(), Landmarker(threads=1))


@cache
def model(size: int = SIZE, *, vector_only: bool = False) -> Model:
    """An untrained one."""
    section, grid = tiny.train_params(vector_only=vector_only), tiny.faces(size=size)
    return init_state(section, ModelConfig.from_params(section, [grid]), grid).ema


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


def swapper(
    project: Project,
    identity: float,
    attribute: float,
    *,
    used: Model | None = None,
    detail: float | None = None,
) -> TuningSwapper:
    params = with_strength(tiny.params(), detail, None).swap
    return TuningSwapper(
        project=project,
        params=params.model_copy(update={"budget_steps": 2, "check_every": 1}),
        model=used or model(),
        model_version="7",
        thresholds=Thresholds(identity_loss=identity, attribute_loss=attribute),
        readers=readers(),
    )


def test_the_exit_code_tells_a_fail_also_of_an_earlier_run(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(project.data, tmp_path / "data")
    shutil.copy(tiny.ROOT / "params.yaml", tmp_path)
    own = Project(tmp_path)
    asked = ["--project", str(own.root), "swap", "test-000/i00/a00", "test-000/i01/a01"]
    for bound, code, force in ((3.0, 0, ()), (1e-9, DID_NOT_PASS, ("--force",))):
        one = swapper(own, identity=bound, attribute=1e6)
        monkeypatch.setattr(stage, "open_swapper", lambda *_, it=one: it)
        assert main([*asked, *force]) == code
        assert main(asked) == code


def test_a_pass_is_saved_with_marks_and_a_full_record(project: Project) -> None:
    one = swapper(project, identity=3.0, attribute=1e6)
    inputs = [
        read_input(project, one.model.config, one.readers, key)
        for key in ("test-000/i00/a00", "test-000/i01/a01")
    ]
    result = run_swap(one, inputs, "job-1", project.swaps / "job-1", None)
    assert result.record.verdict == "PASS"
    assert result.record.steps == 0
    assert AI_GENERATED in png_text(result.image)["XML:com.adobe.xmp"]
    assert png_text(result.image)["facegraft:verdict"] == "PASS"
    assert load_image(result.image).shape == (SIZE, SIZE, 3)
    assert result.comparison.exists()
    assert SwapRecord.read(result.sidecar) == result.record
    assert result.record.model_version == "7"
    assert result.record.transplant == ("face_shape", "eyes", "brows", "nose", "mouth")
    again = finished(result.folder, "job-1")
    assert again is not None
    assert again.record == result.record
    assert finished(result.folder, "job-2") is None
    names = ["comparison.png", "record.json", "swap.png"]
    assert sorted(path.name for path in result.folder.iterdir()) == names


def test_an_exhausted_budget_is_marked_in_name_metadata_and_record(project: Project) -> None:
    one = swapper(project, identity=1e-9, attribute=1e-9)
    inputs = [
        read_input(project, one.model.config, one.readers, key)
        for key in ("test-000/i00/a00", "test-000/i01/a01")
    ]
    result = run_swap(one, inputs, "job-2", project.swaps / "job-2", ("eyes",))
    assert result.record.verdict == "FAIL"
    assert result.image.name == "swap.FAIL.png"
    assert "budget of fine-tuning steps exhausted" in result.record.reason
    assert {loss.step for loss in result.record.losses} == {0, 1, 2}
    assert png_text(result.image)["facegraft:verdict"] == "FAIL"


def test_a_picture_keeps_its_size_and_all_that_is_not_face(
    project: Project, portrait: Path
) -> None:
    """Drawn at the picture's own size, and painted at the model's, alike."""
    before = load_image(portrait)
    for name, used in (("drawn", model()), ("painted", model(vector_only=True))):
        one = swapper(project, identity=3.0, attribute=1e6, used=used)
        source = read_input(project, used.config, one.readers, "test-000/i00/a00")
        target = read_input(project, used.config, one.readers, str(portrait))
        assert target.crop.shape == (SIZE, SIZE, 3)
        result = run_swap(one, [source, target], name, project.swaps / name, None)
        after = load_image(result.image)
        assert after.shape == before.shape, name
        changed = (after != before).any(axis=2)
        crop = target.portrait.transform.apply(np.argwhere(changed)[:, ::-1] + 0.5)
        assert crop.min() > -1 and crop.max() < SIZE + 1, name  # noqa: PT018
        assert 0.05 < changed.mean() < 0.6, name


def test_the_record_says_how_much_a_smaller_source_was_enlarged(
    project: Project, portrait: Path
) -> None:
    one = swapper(project, identity=3.0, attribute=1e6)
    small = read_input(project, one.model.config, one.readers, "test-000/i00/a00")
    large = read_input(project, one.model.config, one.readers, str(portrait))
    scale = large.portrait.transform.scale  # of the crop over the picture
    assert scale < 0.8
    for name, both, enlarged in (("up", [small, large], 1 / scale), ("down", [large, small], 1.0)):
        record = run_swap(one, both, name, project.swaps / name, None).record
        assert record.enlargement == pytest.approx(enlarged, abs=1e-3), name


def test_less_detail_is_another_picture_and_stands_in_the_record(project: Project) -> None:
    key = "test-000/i01/a01"
    drawn = {}
    for detail in (None, 0.5, 0.0):
        one = swapper(project, identity=3.0, attribute=1e6, detail=detail)
        name = f"detail-{detail}"
        result = run_swap(one, pair(project, one), name, project.swaps / name, None)
        assert (result.record.detail, result.record.shape) == (1.0 if detail is None else detail, 1)
        drawn[detail] = load_image(result.image).astype(int)
    target = read_input(project, model().config, readers(), key).crop
    apart = [np.abs(drawn[detail] - target).mean() for detail in (None, 0.5, 0.0)]
    assert apart[0] > apart[1] > apart[2]
    with pytest.raises(SwapRefused, match=r"^--detail 1\.5: give a number from 0 to 1$"):
        with_strength(tiny.params(), 1.5, None)
    with pytest.raises(SwapRefused, match=r"^--shape nan: give a number from 0 to 1$"):
        with_strength(tiny.params(), None, float("nan"))


def test_where_no_face_can_be_read_in_a_swap_the_pair_fails_and_the_record_is_whole(
    tmp_path: Path,
) -> None:
    noise = Project(tmp_path)
    synthetic.dataset(noise.data, size=32)  # coloured discs
    one = swapper(noise, identity=3.0, attribute=1e6, used=model(32))
    result = run_swap(one, pair(noise, one), "unread", noise.swaps / "unread", None)
    assert result.record.verdict == "FAIL"
    assert {(loss.identity_loss, loss.attribute_loss) for loss in result.record.losses} == {
        (None, None)
    }
    assert result.record.reason.endswith("no face can be read in the swap")
    again = finished(result.folder, "unread")
    assert again is not None
    assert again.record == result.record


def test_the_truth_is_known_inside_a_grid_only(project: Project) -> None:
    config = model().config
    a, b, c = (
        read_input(project, config, readers(), key)
        for key in ("test-000/i00/a00", "test-000/i01/a01", "train-000/i01/a01")
    )
    truth = true_swap(project, a, b)
    expected = read_input(project, config, readers(), "test-000/i00/a01").crop
    assert truth is not None
    assert np.array_equal(truth, expected)
    assert true_swap(project, a, c) is None


def test_unknown_ids_and_bad_files_are_one_line(project: Project) -> None:
    config = model().config
    with pytest.raises(DataError, match="test-000/i09/a00"):
        read_input(project, config, readers(), "test-000/i09/a00")
    with pytest.raises(ImageError, match=r"missing\.png: not found"):
        read_input(project, config, readers(), "missing.png")
    text = project.root / "note.png"
    text.write_text("this is no picture")
    with pytest.raises(ImageError, match=r"note\.png"):
        read_input(project, config, readers(), str(text))
    blank = project.root / "blank.png"
    save_png(blank, np.full((64, 64, 3), 127, np.uint8))
    with pytest.raises(ImageError, match=r"blank\.png: no face found"):
        read_input(project, config, readers(), str(blank))


def pair(project: Project, one: TuningSwapper) -> list[Input]:
    keys = ("test-000/i00/a00", "test-000/i01/a01")
    return [read_input(project, one.model.config, one.readers, key) for key in keys]


def test_a_job_done_again_leaves_the_files_of_one_verdict(project: Project) -> None:
    folder = project.swaps / "again"
    failing = swapper(project, identity=1e-9, attribute=1e-9)
    passing = swapper(project, identity=3.0, attribute=1e6)
    run_swap(failing, pair(project, failing), "again", folder, None)
    (folder / "error.json").write_text("{}", encoding="utf-8")
    for leftover in (".swap.tmp-killed.png", ".record.tmp-killed.json"):
        (folder / leftover).write_bytes(b"half")  # what a killed writer leaves
    run_swap(passing, pair(project, passing), "again", folder, None)
    names = ["comparison.png", "record.json", "swap.png"]
    assert sorted(path.name for path in folder.iterdir()) == names


@pytest.mark.parametrize("parts", [["ears"], []])
def test_a_part_that_no_face_has_is_refused_before_anything_is_done(
    project: Project, parts: list[str]
) -> None:
    one = swapper(project, identity=3.0, attribute=1e6)
    with pytest.raises(SwapRefused, match="choose from face_shape, eyes, brows, nose, mouth"):
        run_swap(one, pair(project, one), "ears", project.swaps / "ears", parts)
    assert not (project.swaps / "ears").exists()


def test_a_full_disk_leaves_the_result_before(project: Project) -> None:
    one = swapper(project, identity=3.0, attribute=1e6)
    folder = project.swaps / "full"
    before = run_swap(one, pair(project, one), "full", folder, None)
    held = {path.name: path.read_bytes() for path in folder.iterdir()}
    with largest_file(1000), pytest.raises(OSError, match="File too large"):
        run_swap(one, pair(project, one), "full", folder, ("eyes",))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == held
    assert finished(folder, "full") == before


def test_what_is_damaged_or_gone_is_not_done(project: Project) -> None:
    one = swapper(project, identity=3.0, attribute=1e6)
    folder = project.swaps / "damaged"
    result = run_swap(one, pair(project, one), "damaged", folder, None)
    for path in (result.sidecar, result.image, result.comparison):
        whole = path.read_bytes()
        path.unlink()
        assert finished(folder, "damaged") is None, f"{path} is gone"
        path.touch()
        assert finished(folder, "damaged") is None, f"{path} is empty"
        path.write_bytes(whole)
        assert finished(folder, "damaged") == result
    text = result.sidecar.read_text(encoding="utf-8")
    outside = text.replace('"swap.png"', '"../again/swap.png"')
    for damaged in (text[: len(text) // 2], "[]", "\xff", outside):
        result.sidecar.write_text(damaged, encoding="latin-1")
        assert finished(folder, "damaged") is None, damaged


def test_the_record_hashes_what_was_decoded(
    project: Project, portrait: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cell of the dataset as the manifest does, and a file that changes meanwhile once."""
    config = model().config
    manifest = read_manifest(project.data, ("key", "sha256")).set_index("key")["sha256"]
    key = "test-000/i00/a00"
    assert read_input(project, config, readers(), key).record.sha256 == manifest[key]

    path, data = project.root / "changing.png", portrait.read_bytes()
    path.write_bytes(data)
    decode = inputs.decode_image

    def decoded_while_it_changes(path: Path, data: bytes) -> np.ndarray:
        Path(path).write_bytes(b"another picture")
        return decode(path, data)

    monkeypatch.setattr(inputs, "decode_image", decoded_while_it_changes)
    record = read_input(project, config, readers(), str(path)).record
    assert record.sha256 == hashlib.sha256(data).hexdigest()


def test_two_faces_leave_open_who_is_meant(project: Project) -> None:
    config = model().config
    both = Image.new("L", (184, 112))
    both.paste(photograph(3, 1), (0, 0))
    both.paste(photograph(4, 1), (92, 0))
    path = project.root / "both.png"
    both.resize((736, 448)).save(path)
    with pytest.raises(ImageError, match=r"both\.png: shows 2 faces; cut it to one"):
        read_input(project, config, readers(), str(path))


def test_no_name_is_waited_for_or_brings_a_traceback(project: Project) -> None:
    config = model().config
    os.mkfifo(project.root / "pipe.png")
    (project.root / "memory.png").symlink_to("/proc/self/mem")
    (project.root / "loop").symlink_to("loop")
    for name, fault in {
        "pipe.png": "no regular file",
        "memory.png": "cannot be read",
        "loop/x.png": "cannot be read",
        "x" * 300: "cannot be read (File name too long)",
        "d/" * 2100: "cannot be read (File name too long)",
        "a\0b.png": "no file name",
        "no\udcffname.png": "not found",
    }.items():
        with pytest.raises(ImageError) as caught:
            read_input(project, config, readers(), name, project.root)
        assert fault in str(caught.value)


def test_relative_names_are_seen_from_the_given_folder(project: Project, portrait: Path) -> None:
    config = model().config
    seen = read_input(project, config, readers(), portrait.name, project.root)
    assert seen.record.given == portrait.name
    odd = project.root / os.fsdecode(b"odd\xff.png")
    odd.write_bytes(portrait.read_bytes())
    seen = read_input(project, config, readers(), odd.name, project.root)
    assert seen.record.given == "odd\\xff.png"
    assert seen.record.model_dump_json()


def test_a_job_is_named_by_its_inputs(project: Project) -> None:
    name = job_name("a/hero.png", "test-000/i01/a01", ("x", "y"))
    assert name.startswith("a-hero--test-000-i01-a01-")
    assert name != job_name("a/hero.png", "test-000/i01/a01", ("x", "z"))
