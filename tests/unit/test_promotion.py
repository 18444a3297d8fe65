"""The gate fails closed, and compares by the interval of the difference over the same pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facegraft.core.config import PromoteParams
from facegraft.evaluation.promotion import Decision, Measured, both, decide, difference

METRIC = "model/psnr_changed"
RULES = PromoteParams(
    metric=METRIC,
    min_difference=0.1,
    min_values={"model/judge_closer_to_source": 0.5},
    max_values={"model/attribute_loss": 9.0},
)
GOOD = {METRIC: 20.0, "model/judge_closer_to_source": 0.9, "model/attribute_loss": 3.0}
PAIRS = [float(v) for v in np.random.default_rng(0).normal(20.0, 3.0, 200)]


def of(change: dict[str, float | None], shift: float = 0.0, noise: float = 0.0) -> Measured:
    """A model that is better by `shift` on every pair, give or take."""
    jitter = np.random.default_rng(1).normal(0.0, 1.0, len(PAIRS))
    jitter = noise * (jitter - jitter.mean())
    return Measured({**GOOD, **change}, [v + shift + j for v, j in zip(PAIRS, jitter, strict=True)])


CHAMPION = of({METRIC: 19.0})


def test_a_better_challenger_is_promoted_with_its_reason() -> None:
    decision = decide(of({}, shift=1.0), CHAMPION, RULES)
    assert decision.promote
    told = "challenger 20.0000, champion 19.0000, difference +1.0000 [+1.0000, +1.0000]"
    assert told in decision.reasons[0]


def test_the_first_challenger_needs_only_the_bounds() -> None:
    assert decide(Measured(GOOD), None, RULES).promote


@pytest.mark.parametrize(
    ("change", "shift", "reason"),
    [
        ({METRIC: math.nan}, 1.0, "missing or not a finite"),
        ({METRIC: math.inf}, 1.0, "missing or not a finite"),
        ({METRIC: None}, 1.0, "missing or not a finite"),
        ({METRIC: True}, 1.0, "missing or not a finite"),
        ({}, 0.0, "must lie above +0.1"),
        ({}, 0.05, "must lie above +0.1"),
        ({}, -1.0, "must lie above +0.1"),
        ({"model/judge_closer_to_source": 0.5}, 1.0, "is not above 0.5"),
        ({"model/judge_closer_to_source": math.nan}, 1.0, "missing or not a finite"),
        ({"model/attribute_loss": 9.0}, 1.0, "is not below 9.0"),
        ({"model/attribute_loss": None}, 1.0, "missing or not a finite"),
    ],
)
def test_doubt_refuses(change: dict[str, float | None], shift: float, reason: str) -> None:
    decision = decide(of(change, shift), CHAMPION, RULES)
    assert not decision.promote
    assert any(reason in one for one in decision.reasons)


def test_a_hundredth_is_no_reason_where_the_bound_allows_it_and_chance_is_none_either() -> None:
    lenient = RULES.model_copy(update={"min_difference": -0.05})
    assert decide(of({}, shift=-0.013, noise=0.1), CHAMPION, lenient).promote
    assert not decide(of({}, shift=-0.06, noise=0.1), CHAMPION, lenient).promote
    # On so few or so unlike pairs nobody can tell: a better mean alone is no proof.
    assert not decide(of({}, shift=0.05, noise=2.0), CHAMPION, lenient).promote
    strict = RULES.model_copy(update={"min_difference": 0.0})
    assert not decide(of({}), CHAMPION, strict).promote, "a tie"
    assert not decide(of({}, shift=0.1, noise=2.0), CHAMPION, strict).promote
    assert decide(of({}, shift=0.5, noise=2.0), CHAMPION, strict).promote


@pytest.mark.parametrize("theirs", [math.nan, None])
def test_an_unmeasured_champion_is_not_beaten(theirs: float | None) -> None:
    assert not decide(of({}, shift=1.0), of({METRIC: theirs}), RULES).promote


def test_what_was_not_measured_on_the_same_pairs_is_not_compared() -> None:
    better = of({}, shift=1.0)
    for other in (None, [], PAIRS[:-1], [None, *PAIRS[1:]], [math.nan, *PAIRS[1:]]):
        decision = decide(better, Measured(CHAMPION.metrics, other), RULES)
        assert not decision.promote
        assert "not measured on the same pairs" in decision.reasons[0]
    # A pair in which nothing changes has no figure on either side, and says nothing.
    both = difference([None, 2.0, 3.0], [None, 1.0, 2.0])
    assert both is not None
    assert (both.mean, both.pairs) == (1.0, 2)
    assert difference([None], [None]).mean is None  # type: ignore[union-attr]


def test_a_first_challenger_without_its_metric_is_refused() -> None:
    assert not decide(Measured({k: v for k, v in GOOD.items() if k != METRIC}), None, RULES).promote


def test_every_reason_against_is_told() -> None:
    assert len(decide(Measured({}), Measured({}), RULES).reasons) >= 3


def test_two_decisions_are_for_it_together_and_each_alone_may_be_against() -> None:
    yes, no = (
        Decision(promote=True, reasons=("better",)),
        Decision(promote=False, reasons=("worse on photographs",)),
    )
    assert both(yes, Decision(promote=True, reasons=("no worse",))) == Decision(
        promote=True, reasons=("better", "no worse")
    )
    assert (
        both(yes, no) == both(no, yes) == Decision(promote=False, reasons=("worse on photographs",))
    )
    assert both(no, no).reasons == (*no.reasons, *no.reasons)
