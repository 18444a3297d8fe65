"""The drift rule on summaries alone: what is the same holds, what moved or is unknown does not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from facegraft.core.config import DriftParams
from facegraft.data.drift import SHARES, compare, drift_verdict, stability_index
from facegraft.data.summary import (
    BINS,
    RANGES,
    DataSummary,
    KindSummary,
    SummaryError,
    counted,
    read_summary,
)

PARAMS = DriftParams(max_index=0.25)


def summary(
    version: str = "new", kinds: dict[str, int] | None = None, seed: int = 0, **moved: float
) -> DataSummary:
    """Bell curves in the middle of every range; `moved` shifts some, in their deviations."""
    rng = np.random.default_rng(seed)
    held = {}
    for kind, images in (kinds or {"game_character": 4000}).items():
        counts = {}
        for statistic, (low, high) in RANGES.items():
            deviation = (high - low) / 10
            values = rng.normal((low + high) / 2, deviation, images)
            counts[statistic] = counted(statistic, values + moved.get(statistic, 0.0) * deviation)
        held[kind] = KindSummary(images=images, independent=images // 8, counts=counts)
    return DataSummary(data_version=version, kinds=held)


def moved(reference: DataSummary, current: DataSummary) -> list[str]:
    return [shift.statistic for shift in compare(reference, current, 0.25) if not shift.within]


def test_the_same_data_has_not_moved_at_all() -> None:
    shifts = compare(summary(), summary(), 0.25)
    assert len(shifts) == len(RANGES) + 1
    assert {shift.index for shift in shifts} == {0.0}


@pytest.mark.parametrize("seed", range(1, 6))
def test_another_draw_of_the_same_population_holds(seed: int) -> None:
    assert moved(summary(), summary(seed=seed)) == []


@pytest.mark.parametrize("statistic", RANGES)
def test_each_statistic_that_moves_is_named_alone(statistic: str) -> None:
    assert moved(summary(), summary(seed=1, **{statistic: 1.0})) == [statistic]


def test_few_pictures_prove_little_and_many_prove_more() -> None:
    few, many = {"cartoon": 40}, {"cartoon": 4000}
    assert moved(summary(kinds=few), summary(kinds=few, seed=2, yaw=0.7)) == []
    assert moved(summary(kinds=many), summary(kinds=many, seed=2, yaw=0.7)) == ["yaw"]


def test_another_mix_of_subjects_is_drift() -> None:
    before = summary(kinds={"game_character": 4000})
    after = summary(kinds={"game_character": 4000, "real_person": 1500})
    assert moved(before, after) == [SHARES]
    assert moved(after, before) == [SHARES]


def test_what_was_measured_on_one_side_only_is_drift() -> None:
    whole = summary()
    kind = whole.kinds["game_character"]
    empty = kind.model_copy(update={"counts": {**kind.counts, "yaw": (0,) * BINS}})
    lacking = whole.model_copy(update={"kinds": {"game_character": empty}})
    assert moved(whole, lacking) == ["yaw"]
    assert moved(lacking, whole) == ["yaw"]
    assert np.isinf(stability_index(np.zeros(BINS), np.ones(BINS))[0])


def test_no_champion_holds_and_says_so() -> None:
    found = drift_verdict(summary(), None, None, PARAMS)
    assert found.passed
    assert "no champion yet" in found.reason


def test_a_champion_without_a_summary_fails() -> None:
    found = drift_verdict(summary(), "3", None, PARAMS)
    assert not found.passed
    assert "champion 3 keeps no summary" in found.reason


def test_the_reason_names_what_moved_most_first() -> None:
    found = drift_verdict(summary(yaw=1.0, sharpness=3.0), "7", summary("old"), PARAMS)
    assert not found.passed
    assert found.reason.startswith("against champion 7: sharpness of game_character moved by ")
    assert found.reason.index("yaw") > found.reason.index("sharpness")
    assert (found.reference, found.data_version) == ("old", "new")


def test_a_summary_survives_its_json_and_nothing_else_is_one() -> None:
    text = summary().model_dump_json()
    assert read_summary(text) == summary()
    assert len(text) < 20_000
    other = json.loads(text)
    other["kinds"]["game_character"]["counts"]["yaw"].append(1)
    for bad in ("", "{}", json.dumps(other), '{"data_version": 1}'):
        with pytest.raises(SummaryError):
            read_summary(bad)


def test_what_lies_outside_counts_at_the_edge_and_nan_nowhere() -> None:
    counts = counted("yaw", np.array([-500.0, 500.0, np.nan, np.inf]))
    assert (counts[0], counts[-1], sum(counts)) == (1, 1, 2)
