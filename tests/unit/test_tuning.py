"""M7-M9: verdict, fine-tuning, exhausted budget."""

from __future__ import annotations

import math

import pytest
import torch

from facegraft.calibration import Thresholds
from facegraft.model import Model
from facegraft.swap import swap
from facegraft.tuning import Verdict
from tests import tiny

EASY, HARD = (
    Thresholds(identity_loss=3.0, attribute_loss=1e6),
    Thresholds(identity_loss=1e-6, attribute_loss=1e-6),
)


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny.state(vector_only=True).ema  # paints from nothing: there is much to tune


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.rand(1, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2))  # type: ignore[return-value]


def tuned(model: Model, thresholds: Thresholds, **changes: object):  # type: ignore[no-untyped-def]
    section = tiny.params().swap.model_copy(
        update={"budget_steps": 12, "check_every": 5, **changes}
    )
    return swap(model, *pair(), thresholds, section).tuned


def test_a_loss_equal_to_its_threshold_fails_and_nan_fails() -> None:
    thresholds = Thresholds(identity_loss=0.2, attribute_loss=5.0)
    assert Verdict(0, 0.19, 4.9).passes(thresholds)
    assert not Verdict(0, 0.2, 4.9).passes(thresholds)
    assert not Verdict(0, 0.19, 5.0).passes(thresholds)
    assert not Verdict(0, math.nan, 4.9).passes(thresholds)
    assert Verdict(0, math.nan, 4.9).excess(thresholds) == math.inf


def test_a_pair_that_passes_at_once_is_not_tuned(model: Model) -> None:
    result = tuned(model, EASY)
    assert result.passed
    assert [v.step for v in result.trace] == [0]
    assert torch.equal(result.first, result.image)


def test_an_exhausted_budget_is_a_fail_that_keeps_the_best_image(model: Model) -> None:
    result = tuned(model, HARD, learning_rate=0.003)
    assert not result.passed
    assert {v.step for v in result.trace} == {0, 5, 10, 12}
    assert result.best.excess(HARD) == min(v.excess(HARD) for v in result.trace)
    assert result.best.excess(HARD) < result.trace[0].excess(HARD)
    assert not torch.equal(result.first, result.image)


def test_tuning_leaves_the_champion_untouched_and_repeats_exactly(model: Model) -> None:
    before = {k: v.clone() for k, v in model.state_dict().items()}
    one, again = tuned(model, HARD), tuned(model, HARD)
    assert torch.equal(one.image, again.image)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_no_budget_means_no_tuning(model: Model) -> None:
    assert [v.step for v in tuned(model, HARD, budget_steps=0).trace] == [0]


def test_tuning_stops_at_the_first_check_that_passes(model: Model) -> None:
    first = tuned(model, HARD, budget_steps=0).trace[0]
    reachable = Thresholds(
        identity_loss=first.identity_loss * 0.999, attribute_loss=first.attribute_loss * 2
    )
    result = tuned(model, reachable, budget_steps=200, learning_rate=0.003)
    assert result.passed
    assert 0 < result.best.step < 200
    assert result.best.passes(reachable)
