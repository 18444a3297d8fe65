"""The gate fails closed."""

from __future__ import annotations

import math

import pytest

from facegraft.core.config import PromoteParams
from facegraft.evaluation.promotion import decide

RULES = PromoteParams(
    metric="model/psnr_changed",
    min_improvement=0.1,
    min_values={"model/judge_closer_to_source": 0.5},
    max_values={"model/attribute_loss": 9.0},
)
GOOD = {
    "model/psnr_changed": 20.0,
    "model/judge_closer_to_source": 0.9,
    "model/attribute_loss": 3.0,
}


def test_a_better_challenger_is_promoted_with_its_reason() -> None:
    decision = decide(GOOD, {**GOOD, "model/psnr_changed": 19.0}, RULES)
    assert decision.promote
    assert "challenger 20.0000 above champion 19.0000" in decision.reasons[0]


def test_the_first_challenger_needs_only_the_bounds() -> None:
    assert decide(GOOD, None, RULES).promote


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model/psnr_changed": math.nan}, "missing or not a finite"),
        ({"model/psnr_changed": math.inf}, "missing or not a finite"),
        ({"model/psnr_changed": None}, "missing or not a finite"),
        ({"model/psnr_changed": True}, "missing or not a finite"),
        ({"model/psnr_changed": 19.0}, "is not more than"),
        ({"model/psnr_changed": 19.05}, "is not more than"),
        ({"model/judge_closer_to_source": 0.5}, "is not above 0.5"),
        ({"model/judge_closer_to_source": math.nan}, "missing or not a finite"),
        ({"model/attribute_loss": 9.0}, "is not below 9.0"),
        ({"model/attribute_loss": None}, "missing or not a finite"),
    ],
)
def test_doubt_refuses(change: dict[str, float | None], reason: str) -> None:
    decision = decide({**GOOD, **change}, {**GOOD, "model/psnr_changed": 19.0}, RULES)
    assert not decision.promote
    assert any(reason in one for one in decision.reasons)


def test_a_tie_refuses_even_without_a_margin() -> None:
    rules = RULES.model_copy(update={"min_improvement": 0.0})
    assert not decide(GOOD, GOOD, rules).promote


@pytest.mark.parametrize("theirs", [math.nan, None])
def test_an_unmeasured_champion_is_not_beaten(theirs: float | None) -> None:
    assert not decide(GOOD, {**GOOD, "model/psnr_changed": theirs}, RULES).promote


def test_a_first_challenger_without_its_metric_is_refused() -> None:
    assert not decide({k: v for k, v in GOOD.items() if "psnr" not in k}, None, RULES).promote


def test_every_reason_against_is_told() -> None:
    decision = decide({}, {}, RULES)
    assert len(decision.reasons) >= 3
