"""The gate's rules, each broken by itself on a sound dataset of numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facegraft.adapters.gate import GateReport, run_gate
from facegraft.adapters.gate_columns import head_poses, with_counts
from facegraft.core.config import ValidateParams
from tests import synthetic

PARAMS = ValidateParams(
    min_attributes_per_identity=2,
    min_face_fraction=0.25,
    min_face_detected=0.9,
    min_pixel_std=8.0,
    max_landmark_outside=0.1,
    min_hash_distance=28,
    min_sharpness=0.15,
    min_brightness=25.0,
    max_brightness=235.0,
    max_clipped=0.2,
    max_poor_share=0.1,
    max_identity_imbalance=2.0,
    min_kind_share=0.1,
    min_split_share=0.2,
    min_yaw_reach=10.0,
    min_pitch_reach=3.0,
    min_pose_share=0.05,
    identity_sample=4,
    identity_images=2,
    identity_seed=0,
    min_identity_margin=0.1,
    min_identities_agree=0.9,
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
            "brightness": 120.0,
            "clipped": 0.01,
            "sharpness": 0.9,
            "face_found": True,
            "face_score": 0.9,
            "face_fraction": 0.9,
            "yaw": np.linspace(-30.0, 30.0, len(manifest)),
            "pitch": np.linspace(12.0, -12.0, len(manifest)),
            "roll": 0.0,
            "nearest": 90.0,
            "nearest_key": manifest["key"].iloc[::-1].to_numpy(),
            "identity_margin": np.where(np.arange(len(manifest)) < 12, 0.3, np.nan),
        }
    )


def gate(manifest: pd.DataFrame, statistics: pd.DataFrame, out: Path) -> GateReport:
    return run_gate(manifest, statistics, PARAMS, out, BOUNDS)


def test_a_sound_dataset_is_green(sound: pd.DataFrame, tmp_path: Path) -> None:
    report = gate(sound, statistics_of(sound), tmp_path)
    assert report.passed
    assert report.message() == "every rule passed"
    assert len({rule.rule for rule in report.rules}) == len(report.rules) > 45
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


def test_a_picture_that_is_blank_is_not_also_soft_dark_and_a_copy(
    sound: pd.DataFrame, tmp_path: Path
) -> None:
    statistics = statistics_of(sound)
    nothing = {"sharpness": np.nan, "nearest": np.nan, "brightness": 0.0, "clipped": 1.0}
    for key in sound["key"][:4]:
        change(statistics, key, pixel_std=0.0, **nothing)
    assert failed(gate(sound, statistics, tmp_path)) == {"not_blank": list(sound["key"][:4])}


def test_quality_variety_and_likeness(sound: pd.DataFrame, tmp_path: Path) -> None:
    """Of 24 pictures a tenth may be poor: two in each way pass, three do not."""
    statistics = statistics_of(sound)
    keys = list(sound["key"])
    for key in keys[0:3]:
        change(statistics, key, sharpness=0.149)
    for key in keys[3:5]:
        change(statistics, key, brightness=24.0)
    change(statistics, keys[5], brightness=236.0)
    for key in keys[6:9]:
        change(statistics, key, clipped=0.21)
    for key in (keys[10], keys[20]):
        change(statistics, key, nearest=27.0, nearest_key=keys[20])
    for key in keys[0:2]:
        change(statistics, key, identity_margin=0.09)
    statistics["yaw"] = statistics["yaw"].abs()
    report = gate(sound, statistics, tmp_path)
    assert failed(report) == {
        "sharp_enough": keys[0:3],
        "well_exposed": keys[3:6],
        "not_clipped": keys[6:9],
        "no_near_duplicate_across_splits": [keys[10], keys[20]],
        "identity_agrees": keys[0:2],
        "pose_left": [],
    }
    for key, column in ((keys[2], "sharpness"), (keys[5], "brightness"), (keys[8], "clipped")):
        change(statistics, key, **{column: statistics_of(sound)[column].iloc[0]})
    assert not failed(gate(sound, statistics, tmp_path)).keys() & {
        "sharp_enough", "well_exposed", "not_clipped",
    }  # fmt: skip


def test_figures_that_are_missing_do_not_pass(sound: pd.DataFrame, tmp_path: Path) -> None:
    unmeasured = ["sharpness", "brightness", "clipped", "nearest", "identity_margin", "pitch"]
    statistics = statistics_of(sound).assign(**dict.fromkeys(unmeasured, np.nan))
    assert failed(gate(sound, statistics, tmp_path)).keys() == {
        "sharp_enough", "well_exposed", "not_clipped", "no_near_duplicate_across_splits",
        "identities_judged", "pose_up", "pose_down",
    }  # fmt: skip


def test_imbalance_of_identities_kinds_and_splits(sound: pd.DataFrame, tmp_path: Path) -> None:
    """The median identity has two images: six are too many; and a kind or split of a few."""
    crowd = sound.copy()
    names = {"train-000-i01": "train-000-i00", "train-000-i02": "train-000-i00"}
    crowd["identity_id"] = crowd["identity_id"].replace(names)
    assert failed(gate(crowd, statistics_of(crowd), tmp_path)) == {
        "identity_balance": [f"train-000/i{i:02d}/a{a:02d}" for i in range(3) for a in range(2)]
    }
    rare = sound.copy()
    rare.loc[rare["identity_id"] == "train-000-i03", "subject_kind"] = "cartoon"
    rare = rare[~rare["identity_id"].isin([f"test-000-i{i:02d}" for i in range(2)])]
    assert failed(gate(rare, statistics_of(rare), tmp_path)) == {}
    rare = rare[(rare["split"] != "test") | (rare["identity_id"] == "test-000-i02")]
    rare.loc[rare["key"] == "train-000/i03/a01", "subject_kind"] = "game_character"
    assert failed(gate(rare, statistics_of(rare), tmp_path)) == {
        "kind_balance": ["train-000/i03/a00"],
        "split_balance": ["test-000/i02/a00", "test-000/i02/a01"],
    }


def test_an_albums_identities_are_compared_with_each_other(
    sound: pd.DataFrame, tmp_path: Path
) -> None:
    """Everybody in train has twelve pictures in the album, where those rendered have two."""
    train = sound[sound["split"] == "train"]
    heroes = pd.concat([train] * 6, ignore_index=True)
    heroes["key"] = [f"heroes/{k}" for k in range(len(heroes))]
    heroes = heroes.assign(
        shard="albums/heroes.train.images.npy", grid="heroes", attribute_id=heroes["key"],
        identity_id="heroes/" + heroes["identity_id"],
    )  # fmt: skip
    columns = with_counts(pd.concat([sound, heroes], ignore_index=True), {})
    assert set(columns["identity_excess"]) == {1.0}
    heroes.loc[heroes["identity_id"] != heroes["identity_id"][0], "identity_id"] = "heroes/other"
    columns = with_counts(pd.concat([sound, heroes], ignore_index=True), {})
    assert set(columns["identity_excess"][: len(sound)]) == {1.0}
    assert columns["identity_excess"].max() > 1.3


def test_imported_rows_without_parameters_and_codes_are_judged_like_others(
    sound: pd.DataFrame, tmp_path: Path
) -> None:
    album = sound.drop(columns=["attribute.yaw", "identity_code", "attribute_code"])
    album["identity.nose.width"] = album["identity.nose.width"].where(album["split"] == "train")
    album["column"] = 0
    assert gate(album, statistics_of(album), tmp_path).passed


def test_the_pose_is_the_manifests_own_or_read_off_the_landmarks(sound: pd.DataFrame) -> None:
    poses = head_poses(sound.assign(**{"attribute.pitch": np.nan}))
    assert list(poses["yaw"]) == list(sound["attribute.yaw"])
    assert poses["pitch"].notna().all()
    lost = sound.drop(columns="attribute.yaw").assign(landmarks=None)
    assert head_poses(lost).isna().all(axis=None)


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
