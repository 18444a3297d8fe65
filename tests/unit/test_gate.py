"""The gate's rules, each broken by itself on a sound dataset of numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facegraft.adapters.gate import GateReport, run_gate
from facegraft.config import ValidateParams
from tests import synthetic

PARAMS = ValidateParams(
    min_attributes_per_identity=2,
    min_face_fraction=0.25,
    min_face_detected=0.9,
    min_pixel_std=8.0,
    max_landmark_outside=0.1,
)
BOUNDS = {"identity.nose.width": (-1.0, 1.0), "attribute.yaw": (-45.0, 45.0)}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return synthetic.dataset(tmp_path_factory.mktemp("data"), rows=4)


def statistics_of(manifest: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "key": manifest["key"],
            "decodable": True,
            "problem": "",
            "channels": 3,
            "width": 64,
            "height": 64,
            "size": 64,
            "sha256_matches": True,
            "pixel_std": 40.0,
            "face_found": True,
            "face_score": 0.9,
            "face_fraction": 0.9,
        }
    )


def gate(manifest: pd.DataFrame, statistics: pd.DataFrame, out: Path) -> GateReport:
    return run_gate(manifest, statistics, PARAMS, out, BOUNDS)


def test_a_sound_dataset_is_green(sound: pd.DataFrame, tmp_path: Path) -> None:
    report = gate(sound, statistics_of(sound), tmp_path)
    assert report.passed
    assert report.message() == "every rule passed"
    assert len({rule.rule for rule in report.rules}) == len(report.rules) > 25
    assert all(rule.observed for rule in report.rules)
    kept = json.loads((tmp_path / "results.json").read_text())
    assert kept["manifest"]["success"] is True
    assert kept["pictures"]["success"] is True


def change(frame: pd.DataFrame, key: str, /, **values: object) -> None:
    """Set columns of one row; dots in a column's name are written as double underscores."""
    place = frame.index[frame["key"] == key][0]
    for column, value in values.items():
        frame.at[place, column.replace("__", ".")] = value


def failed(report: GateReport) -> dict[str, list[str]]:
    return {failure.rule: list(failure.keys) for failure in report.failures}


def test_each_broken_row_is_named_under_its_rule(sound: pd.DataFrame, tmp_path: Path) -> None:
    """Many rows broken at once, each in one way: nothing else is accused."""
    broken = sound.astype({"consent": object})
    change(broken, "train-000/i00/a00", sha256=sound["sha256"].iloc[-1])
    change(broken, "train-000/i00/a01", subject_kind="real_person")
    change(broken, "train-000/i01/a00", subject_kind="real_person", consent="   ")
    change(broken, "train-000/i01/a01", subject_kind="real_person", consent="letter 12")
    change(broken, "train-000/i02/a00", subject_kind="photo")
    change(broken, "train-000/i02/a01", licence=None)
    change(broken, "train-000/i03/a00", attribute__yaw=45.1)
    change(broken, "train-000/i03/a01", identity__nose__width=np.nan)
    change(broken, "test-000/i00/a00", landmarks=np.full(10, 64 * 1.11, np.float32))
    change(broken, "test-000/i00/a01", landmarks=np.full(10, 64 * 1.09, np.float32))
    change(broken, "test-000/i01/a00", landmarks=np.full(10, np.nan))
    change(broken, "test-000/i02/a00", landmarks=None)
    report = gate(broken, statistics_of(broken), tmp_path)
    assert failed(report) == {
        "no_duplicate_across_splits": ["train-000/i00/a00", "test-000/i03/a01"],
        "consent_present": ["train-000/i00/a01"],
        "consent_not_blank": ["train-000/i01/a00"],
        "subject_kind_known": ["train-000/i02/a00"],
        "licence_present": ["train-000/i02/a01"],
        "parameters_in_range": ["train-000/i03/a00", "train-000/i03/a01"],
        "landmarks_in_picture": ["test-000/i00/a00", "test-000/i01/a00", "test-000/i02/a00"],
    }
    assert not report.passed


def test_leaks_of_identity_and_attributes(sound: pd.DataFrame, tmp_path: Path) -> None:
    """Both pictures of a test identity are said to be of a train identity, and so on."""
    broken = sound.copy()
    for column in ("a00", "a01"):
        change(broken, f"test-000/i01/{column}", identity_id="train-000-i00")
    change(broken, "test-000/i02/a01", attribute_id="train-000-a01")
    assert failed(gate(broken, statistics_of(broken), tmp_path)) == {
        "identity_in_one_split": [
            "train-000/i00/a00", "train-000/i00/a01", "test-000/i01/a00", "test-000/i01/a01",
        ],
        "attributes_in_one_split": [
            *(f"train-000/i{i:02d}/a01" for i in range(4)), "test-000/i02/a01",
        ],
    }  # fmt: skip


def test_repeated_keys_lone_attributes_and_missing_splits(
    sound: pd.DataFrame, tmp_path: Path
) -> None:
    broken = sound[(sound["split"] != "validation") & (sound["key"] != "train-000/i02/a01")].copy()
    change(broken, "train-000/i01/a00", key="train-000/i00/a00")
    report = gate(broken, statistics_of(broken), tmp_path)
    assert failed(report) == {
        "key_unique": ["train-000/i00/a00"],
        "splits_complete": [],
        "enough_attributes": ["train-000/i02/a00"],
    }
    assert "rule key_unique (no key names two images) failed: train-000/i00/a00" in report.message()


def test_each_bad_picture_is_named_under_its_rule(sound: pd.DataFrame, tmp_path: Path) -> None:
    statistics = statistics_of(sound)
    change(
        statistics, "train-000/i00/a00",
        decodable=False, problem="truncated", pixel_std=0.0, channels=0, width=0, height=0,
        sha256_matches=False, face_found=False, face_fraction=np.nan,
    )  # fmt: skip
    change(statistics, "train-000/i00/a01", sha256_matches=False)
    change(statistics, "train-000/i01/a00", channels=1)
    change(statistics, "train-000/i01/a01", width=63)
    change(statistics, "train-000/i02/a00", height=128)
    change(statistics, "train-000/i02/a01", pixel_std=7.9)
    change(statistics, "train-000/i03/a00", pixel_std=np.nan)
    report = gate(sound, statistics, tmp_path)
    assert failed(report) == {
        "pixel_std_measured": ["train-000/i03/a00"],
        "decodable": ["train-000/i00/a00"],
        "bytes_match_manifest": ["train-000/i00/a01"],
        "rgb": ["train-000/i01/a00"],
        "exact_width": ["train-000/i01/a01"],
        "exact_height": ["train-000/i02/a00"],
        "not_blank": ["train-000/i02/a01"],
    }


def test_faces_may_be_missed_up_to_the_tolerance(sound: pd.DataFrame, tmp_path: Path) -> None:
    """Of 24 pictures, 90 % must show a face: two may lack one, three may not."""
    statistics = statistics_of(sound)
    statistics.loc[:1, ["face_found", "face_fraction"]] = [False, np.nan]
    report = gate(sound, statistics, tmp_path)
    assert report.passed
    by_name = {rule.rule: rule for rule in report.rules}
    assert list(by_name["face_present"].keys) == list(sound["key"][:2])
    assert by_name["face_present"].observed == "2 of 24 break it"
    assert by_name["face_large_enough"].observed == "all 22 hold"
    statistics.loc[2, "face_found"] = False
    assert [rule.rule for rule in gate(sound, statistics, tmp_path).failures] == ["face_present"]


def test_small_faces_are_refused(sound: pd.DataFrame, tmp_path: Path) -> None:
    statistics = statistics_of(sound)
    statistics.loc[:2, "face_fraction"] = 0.24
    (failure,) = gate(sound, statistics, tmp_path).failures
    assert failure.rule == "face_large_enough"
    assert len(failure.keys) == 3


def test_nothing_is_not_green(sound: pd.DataFrame, tmp_path: Path) -> None:
    empty = gate(sound[:0], statistics_of(sound)[:0], tmp_path)
    assert {"not_empty", "pictures_seen"} <= failed(empty).keys()
    assert not GateReport(()).passed


def test_a_rule_that_cannot_be_computed_fails(sound: pd.DataFrame, tmp_path: Path) -> None:
    report = gate(sound.drop(columns="licence"), statistics_of(sound), tmp_path)
    (failure,) = report.failures
    assert failure.rule == "licence_present"
    assert "could not be computed" in failure.observed
    assert "could not be computed" in report.message()


def test_message_counts_what_it_does_not_name(sound: pd.DataFrame, tmp_path: Path) -> None:
    statistics = statistics_of(sound).assign(sha256_matches=False)
    message = gate(sound.assign(licence=None), statistics, tmp_path).message()
    assert "and 19 more" in message
    assert "also failed: bytes_match_manifest (24 images)" in message
