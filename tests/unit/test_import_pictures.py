"""The import stage on photographs, odd files and creatures: what it takes, and what it says."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from facegraft.adapters import albums, lineage, store
from facegraft.adapters.judge import Judge
from facegraft.adapters.landmarks import Landmarker
from facegraft.characters import canonical_landmarks
from facegraft.cli import main
from facegraft.core.config import Params
from facegraft.core.params_file import load_params
from facegraft.core.progress import silent
from facegraft.core.project import Project
from facegraft.imaging.alignment import Similarity, warp
from facegraft.imaging.images import load_image
from facegraft.stages import data as data_stage
from facegraft.stages import rendering
from facegraft.stages.import_pictures import ImportRefused, Terms, import_pictures
from facegraft.stages.importing.report import ImportReport
from facegraft.stages.inputs import FaceReaders, read_input, true_swap
from facegraft.stages.validate import validate
from tests import odd_pictures, synthetic, tiny
from tests.photographs import CREATURE_POINTS, creature, people, photograph

ORL = Terms("real_person", "the database's terms", "LicenseRef-ORL")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git and DVC project with a dataset that somebody else made, recorded."""
    root = tmp_path_factory.mktemp("template") / "project"
    root.mkdir()
    params = yaml.safe_load((tiny.ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["data"]["size"] = 64
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    synthetic.dataset(root / "data")
    lineage.dvc_add(root)
    return root


@pytest.fixture
def versioned(template: Path, tmp_path: Path) -> Project:
    """A copy of the template, to change at will."""
    shutil.copytree(template, tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.fixture
def own(versioned: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The same, for tests that are not about DVC's record, which costs a second each."""
    monkeypatch.setattr(data_stage, "record", lambda *_: None)
    return versioned


@pytest.fixture(scope="module")
def odd(template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, ImportReport]:
    """A folder of odd files, imported; do not change it."""
    root = tmp_path_factory.mktemp("odd")
    odd_pictures.make(root / "odd" / "ann")
    shutil.copytree(template, root / "project")
    project = Project(root / "project")
    return project, take(project, root / "odd", Terms("cartoon"))


def take(project: Project, source: Path, terms: Terms = ORL, **options: object) -> ImportReport:
    params = load_params(project.params)
    return import_pictures(project, params, source, terms, silent, **options)  # type: ignore[arg-type]


def similarity(matrix: np.ndarray) -> Similarity:
    """What `Similarity.matrix` gave, as a transform again."""
    scale = float(np.sqrt(np.linalg.det(matrix[:, :2])))
    return Similarity(scale, matrix[:, :2] / scale, matrix[:, 2])


def by_name(report: ImportReport) -> dict[str, str]:
    return {Path(one.file).name: one.reason for one in report.choices}


def test_odd_but_good_files_are_taken(odd: tuple[Project, ImportReport]) -> None:
    project, report = odd
    taken = {Path(one.file).name: one for one in report.taken}
    assert sorted(taken) == sorted(odd_pictures.GOOD)
    keys = {name: one.key for name, one in taken.items()}
    assert keys["ünïcode 名前.webp"] == "odd/ann/ünïcode-名前"
    judge = Judge(threads=1)
    for key in keys.values():
        crop = store.load_image(project.data, key).transpose(1, 2, 0)
        face = judge.detect(crop)
        assert face is not None, key
        # Upright, unmirrored and in the training crop's place, whatever the file was like.
        miss = np.linalg.norm(face.landmarks - canonical_landmarks(64), axis=1)
        assert miss.mean() < 6, key
        assert 40 < crop.mean() < 200, key


@pytest.mark.parametrize("name", odd_pictures.BAD)
def test_a_bad_file_is_refused_with_its_reason(
    odd: tuple[Project, ImportReport], name: str
) -> None:
    reason = by_name(odd[1])[name]
    assert odd_pictures.BAD[name] in reason
    assert "\n" not in reason
    assert not reason.startswith("/")
    assert f"ann/{name}" in odd[1].table()


def test_the_report_is_kept_as_csv_json_and_sheet(odd: tuple[Project, ImportReport]) -> None:
    folder = odd[0].imports / "odd"
    with (folder / "report.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    good, bad = len(odd_pictures.GOOD), len(odd_pictures.BAD)
    assert len(rows) == good + bad
    assert {row["status"] for row in rows if row["reason"]} == {"refused"}
    summary = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert (summary["new"], summary["held"], summary["refused"]) == (good, 0, bad)
    assert load_image(folder / "crops.png").shape[1] > 500
    counted = [line.split() for line in odd[1].table().splitlines()]
    assert ["not", "taken", str(bad), "1"] in counted


def test_the_transform_leads_back_to_the_full_picture(odd: tuple[Project, ImportReport]) -> None:
    project, report = odd
    albums_of = [a for split in store.SPLITS for a in albums.load_albums(project.data, split)]
    (album,) = albums_of
    source = project.root.parent / "odd"
    for name in ("ann/rotated.jpg", "ann/grey16.png"):
        place = album.files.index(name)
        picture = load_image(source / name)
        transform = similarity(album.transforms[place])
        crop = warp(picture, transform, (64, 64))
        np.testing.assert_array_equal(crop.transpose(2, 0, 1), album.images[place])
        points = transform.inverse().apply(album.landmarks[place])
        assert (points > 0).all()
        assert (points < picture.shape[1::-1]).all()
    assert report.kind == album.subject_kind


def test_again_changes_nothing_and_a_new_picture_is_added(
    versioned: Project, tmp_path: Path
) -> None:
    source = people(tmp_path / "some people", range(1, 5), range(1, 4))
    first = take(versioned, source)
    assert first.album == "some-people"
    assert (first.count("new"), first.count("refused")) == (12, 0)
    assert lineage.data_version(versioned.root) == lineage.folder_md5(versioned.data)
    stamps = {p: p.stat().st_mtime_ns for p in versioned.data.rglob("*") if p.is_file()}
    again = take(versioned, source)
    assert (again.count("new"), again.count("held")) == (0, 12)
    assert {p: p.stat().st_mtime_ns for p in versioned.data.rglob("*") if p.is_file()} == stamps
    before = store.read_manifest(versioned.data).set_index("key")["sha256"]
    people(source, range(2, 3), range(4, 5))
    (source / "s1" / "1.pgm").unlink()
    third = take(versioned, source)
    assert (third.count("new"), third.count("held")) == (1, 11)
    after = store.read_manifest(versioned.data).set_index("key")["sha256"]
    assert after[before.index].equals(before)
    assert set(after.index) - set(before.index) == {"some-people/s2/4"}
    rows = store.read_manifest(versioned.data)
    rows = rows[rows["grid"] == "some-people"]
    assert (rows.groupby("identity_id")["split"].nunique() == 1).all()
    anew = take(versioned, source, anew=True)
    assert anew.count("new") == 12
    assert "some-people/s1/1" not in set(store.read_manifest(versioned.data)["key"])
    shutil.rmtree(source)
    (source / "x").mkdir(parents=True)
    creature(1).save(source / "x" / "1.png")
    assert "not one of 1 files could be taken" in refused(versioned, source, anew=True)
    assert len(albums.read_table(versioned.data, "some-people")) == 12


def test_creatures_are_taken_by_given_landmarks(own: Project, tmp_path: Path) -> None:
    for number in range(4):
        creature(number).save(tmp_path / f"{number}.png")
    creature(9, size=20).save(tmp_path / "small.png")
    photograph(1, 1, 2).save(tmp_path / "face.png")
    mirrored = np.reshape(CREATURE_POINTS, (5, 2))[[1, 0, 2, 4, 3]]
    given = [
        ("0.png", "orc", CREATURE_POINTS),
        ("1.png", "orc", CREATURE_POINTS),
        ("2.png", "orc", tuple(mirrored.ravel())),
        ("3.png", "orc", None),
        ("small.png", "orc", tuple(np.array(CREATURE_POINTS) / 16)),
        ("face.png", "orc", CREATURE_POINTS),
    ]
    rows = [(file, who, "" if p is None else " ".join(map(str, p))) for file, who, p in given]
    table = tmp_path / "creatures.csv"
    pd.DataFrame(rows, columns=["file", "identity", "landmarks"]).to_csv(table, index=False)
    report = take(own, table, Terms("game_character", licence="CC0-1.0"))
    found = {one.file: one.found_by for one in report.taken}
    assert found == {"0.png": "given", "1.png": "given", "face.png": "detector"}
    reasons = by_name(report)
    assert "form no face" in reasons["2.png"]
    assert "no face found; give landmarks" in reasons["3.png"]
    assert "times too small for a crop of 64 pixels" in reasons["small.png"]
    manifest = store.read_manifest(own.data).set_index("key")
    points = np.reshape(manifest.loc["creatures/orc/0", "landmarks"], (5, 2))
    assert np.linalg.norm(points - canonical_landmarks(64), axis=1).max() < 8
    # Corrected landmarks are looked at again.
    rows[2] = ("2.png", "orc", rows[0][2])
    pd.DataFrame(rows, columns=["file", "identity", "landmarks"]).to_csv(table, index=False)
    again = take(own, table, Terms("game_character", licence="CC0-1.0"))
    assert [one.file for one in again.choices if one.status == "new"] == ["2.png"]


def test_a_lone_picture_waits_for_a_second(own: Project, tmp_path: Path) -> None:
    source = people(tmp_path / "few", range(1, 3), range(1, 3))
    (source / "s2" / "2.pgm").unlink()
    report = take(own, source)
    assert [one.file for one in report.refused] == ["s2/1.pgm"]
    assert "fewer than 2 usable pictures" in report.refused[0].reason
    people(source, range(2, 3), range(2, 3))
    assert take(own, source).count("new") == 2


def test_names_that_look_alike_stay_apart(own: Project, tmp_path: Path) -> None:
    source = tmp_path / "names"
    for person, name in ((1, "a b"), (2, "a-b")):
        (source / name).mkdir(parents=True)
        photograph(person, 1, 2).save(source / name / "x.1.png")
        photograph(person, 2, 2).save(source / name / "x-1.png")
    report = take(own, source)
    keys = [one.key for one in report.taken]
    assert len(set(keys)) == 4
    assert len({one.identity_id for one in report.taken}) == 2
    assert all("." not in key for key in keys)
    assert take(own, source).count("held") == 4


def refused(project: Project, source: Path, terms: Terms = ORL, **options: object) -> str:
    with pytest.raises(ImportRefused) as caught:
        take(project, source, terms, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_refused_as_a_whole(own: Project, tmp_path: Path) -> None:
    source = people(tmp_path / "people", range(1, 2), range(1, 3))
    for consent in (None, " "):
        assert "add --consent REF" in refused(own, source, Terms("real_person", consent))
    assert "unknown kind" in refused(own, source, Terms("person"))
    assert "rendered grid" in refused(own, source, album="train-000")
    assert "cannot name an album" in refused(own, source, album="a/b")
    assert not own.imports.exists()
    take(own, source)
    assert "consent the database's terms, not other" in refused(
        own, source, Terms("real_person", "other", ORL.licence)
    )


def test_the_command_prints_the_table_or_one_line(
    own: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = people(tmp_path / "people", range(1, 2), range(1, 3))
    command = ["--project", str(own.root), "import", str(source), "--kind", "real_person"]
    assert main(command) == 1
    assert capsys.readouterr().err.strip().endswith("add --consent REF")
    assert main([*command, "--consent", "signed-17"]) == 0
    assert "album people: real_person" in capsys.readouterr().out


def test_no_cell_of_the_report_is_a_formula(own: Project, tmp_path: Path) -> None:
    source = people(tmp_path / "people", range(1, 2), range(1, 3))
    names = ["=1+1", "+1", "-1", "@SUM(1)", " =1", "\t=1", "a=1"]
    for name in names:
        photograph(1, 1).save(source / "s1" / f"{name}.png")
    (source / "=HYPERLINK(1)").touch()
    take(own, source)
    with (own.imports / "people" / "report.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    files = [row["file"] for row in rows]
    assert "'=HYPERLINK(1)" in files
    assert not [file for file in files if file.lstrip().startswith(("=", "+", "-", "@"))]
    formula = (own.imports / "people" / "report.json").read_text(encoding="utf-8")
    assert '"=HYPERLINK(1)"' in formula


def test_a_file_that_cannot_be_read_says_so(own: Project, tmp_path: Path) -> None:
    source = people(tmp_path / "people", range(1, 2), range(1, 4))
    locked = source / "s1" / "3.pgm"
    locked.chmod(0)
    if os.geteuid() == 0:  # root may read every file, but not this one
        locked.unlink()
        locked.symlink_to("/proc/self/mem")
    reason = by_name(take(own, source))["3.pgm"]
    assert reason.startswith("cannot be read (")
    assert reason.endswith("); check the rights")


def test_a_picture_of_another_album_is_not_taken_twice(own: Project, tmp_path: Path) -> None:
    source = people(tmp_path / "one", range(1, 2), range(1, 4))
    take(own, source)
    people(tmp_path / "two", range(1, 3), range(3, 6))
    report = take(own, tmp_path / "two")
    assert [one.file for one in report.refused] == ["s1/3.pgm"]
    assert report.refused[0].reason == "the same picture as one/s1/3"


def test_a_killed_import_goes_on_to_the_same_dataset(versioned: Project, tmp_path: Path) -> None:
    source = people(tmp_path / "people", range(1, 11), range(1, 6))
    other = Project(tmp_path / "other")
    shutil.copytree(versioned.root, other.root)
    command = [sys.executable, "-m", "facegraft.cli", "import", str(source), "--kind"]
    running = subprocess.Popen(
        [*command, ORL.kind, "--consent", str(ORL.consent), "--licence", ORL.licence],
        cwd=versioned.root,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while running.poll() is None and not list(versioned.imports.glob("people/found-*/[!.]*.npz")):
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert "people" not in set(store.read_manifest(versioned.data)["grid"])
    said: list[str] = []
    import_pictures(
        versioned,
        load_params(versioned.params),
        source,
        ORL,
        lambda done, _, text: said.append(f"{done} {text}"),
    )
    assert "32 pictures examined" in said[said.index("50 files read") + 1]
    take(other, source)
    assert lineage.folder_md5(versioned.data) == lineage.folder_md5(other.data)
    assert lineage.data_version(versioned.root) == lineage.folder_md5(versioned.data)


def test_the_road_goes_on_beside_an_album(
    project: Project, tiny_params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate passes, keys can be swapped, and a new rendering keeps the album."""
    source = people(tmp_path / "people", range(1, 4), range(1, 3))
    import_pictures(project, tiny_params, source, ORL, silent)
    lenient = tiny_params.validate_.model_copy(update={"min_face_detected": 0.8})
    report = validate(project, tiny_params.model_copy(update={"validate_": lenient}), silent)
    assert report.passed
    config, readers = (
        tiny.state().model.config,
        FaceReaders(Judge(threads=1), Landmarker(threads=1)),
    )
    one, two = (read_input(project, config, readers, f"people/s1/{n}") for n in (1, 2))
    assert one.crop.shape == (32, 32, 3)
    assert true_swap(project, one, two) is None
    kept = store.load_image(project.data, "people/s2/1")

    def draw(folder: Path, params: object, *_: object) -> None:
        synthetic.dataset(folder, seed=params.seed)  # type: ignore[attr-defined]
        (folder / rendering.MARKER).write_text(json.dumps(rendering.rendering_recipe(params)))  # type: ignore[arg-type]

    monkeypatch.setattr(data_stage, "render_dataset", draw)
    section = tiny_params.data.model_copy(update={"seed": 99})
    other = tiny_params.model_copy(update={"data": section})
    version = data_stage.data(project, other, silent)
    assert (version.source, version.images, version.recorded) == ("rendered", 18 + 6, True)
    np.testing.assert_array_equal(store.load_image(project.data, "people/s2/1"), kept)
    assert data_stage.data(project, other, silent).source == "cached"
