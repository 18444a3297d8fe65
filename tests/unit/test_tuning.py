"""M7-M9: verdict, fine-tuning, exhausted budget."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from facegraft.data.batches import grid_faces
from facegraft.data.faces import Faces
from facegraft.method.calibration import Thresholds
from facegraft.method.decoder import Strength
from facegraft.method.model import Model
from facegraft.method.swap import swap
from facegraft.method.tuning import CheckedLosses, Tuned, passes_verdict
from facegraft.training.phases import begin, phases
from tests import tiny

EASY, HARD = (
    Thresholds(identity_loss=3.0, attribute_loss=1e6),
    Thresholds(identity_loss=1e-6, attribute_loss=1e-6),
)


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny.state(vector_only=True).ema  # paints from nothing: there is much to tune


@pytest.fixture(scope="module")
def drawing() -> Model:
    """One that draws with both faces, its geometry fitted, its convolutions untaught."""
    state, section = tiny.state(), tiny.train_params()
    for phase in phases(section):
        state.step = phase.start
        begin(phase, state, [tiny.faces()], section, [])
    return state.ema


def pair() -> tuple[Faces, Faces]:
    one, other = (grid_faces(tiny.faces(), [cell]) for cell in ((0, 0), (1, 2)))
    return one, other


def as_the_target(image: torch.Tensor) -> Faces:
    """A reader to whom every picture's landmarks and expression are the target's."""
    target = pair()[1]
    return Faces(image, target.landmarks, target.expression)


def tuned(
    model: Model,
    thresholds: Thresholds,
    read: Callable[[torch.Tensor], Faces | None] = as_the_target,
    **changes: object,
) -> Tuned:
    section = tiny.params().swap.model_copy(
        update={"budget_steps": 12, "check_every": 5, **changes}
    )
    return swap(model, *pair(), thresholds, section, read)


def test_a_loss_equal_to_its_threshold_fails_and_nan_fails() -> None:
    thresholds = Thresholds(identity_loss=0.2, attribute_loss=5.0)
    assert passes_verdict(CheckedLosses(0, 0.19, 4.9), thresholds)
    for failed in ((0.2, 4.9), (0.19, 5.0), (math.nan, 4.9), (0.19, math.nan)):
        assert not passes_verdict(CheckedLosses(0, *failed), thresholds), failed
    assert CheckedLosses(0, math.nan, 4.9).excess(thresholds) == math.inf


def test_a_pair_that_passes_at_once_is_not_tuned(model: Model) -> None:
    result = tuned(model, EASY)
    assert result.passed
    assert [v.step for v in result.trace] == [0]
    assert torch.equal(result.first.image, result.decoded.image)


def test_an_exhausted_budget_is_a_fail_that_keeps_the_best_image(model: Model) -> None:
    result = tuned(model, HARD, learning_rate=0.003)
    assert not result.passed
    assert {v.step for v in result.trace} == {0, 5, 10, 12}
    assert result.best.excess(HARD) == min(v.excess(HARD) for v in result.trace)
    assert result.best.excess(HARD) < result.trace[0].excess(HARD)
    assert not torch.equal(result.first.image, result.decoded.image)


def test_tuning_leaves_the_champion_untouched_and_repeats_exactly(model: Model) -> None:
    before = {k: v.clone() for k, v in model.state_dict().items()}
    one, again = tuned(model, HARD), tuned(model, HARD)
    assert torch.equal(one.decoded.image, again.decoded.image)
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
    assert passes_verdict(result.best, reachable)


def test_drawing_tunes_what_decides_and_moves_nothing(drawing: Model) -> None:
    before = {k: v.clone() for k, v in drawing.state_dict().items()}
    result = tuned(drawing, HARD, budget_steps=2, check_every=1, learning_rate=0.01)
    assert result.best.excess(HARD) < result.trace[0].excess(HARD)
    first, kept = result.first, result.decoded
    assert not torch.equal(first.image, kept.image)
    for name in ("share", "tone"):
        assert not torch.equal(getattr(first, name), getattr(kept, name)), name
    for name in ("landmarks", "motion", "target_tone"):
        assert torch.equal(getattr(first, name), getattr(kept, name)), name
    assert kept.visibility is not None
    held = [kept.image, kept.landmarks, kept.share, kept.visibility.own, kept.visibility.tone]
    assert not any(one is None or one.requires_grad for one in held)
    assert all(torch.equal(before[k], v) for k, v in drawing.state_dict().items())


def test_the_first_swap_is_the_models_own_at_the_strength_asked_for(drawing: Model) -> None:
    source, target = pair()
    for detail, shape in ((1.0, 1.0), (0.5, 0.0)):
        result = tuned(drawing, EASY, detail=detail, shape=shape)
        with torch.no_grad():
            own = drawing.swap(source, target, strength=Strength(detail, shape))
        assert torch.equal(result.first.image, own.image)
    assert not torch.equal(result.first.image, tuned(drawing, EASY).first.image)


@pytest.mark.parametrize("budget_steps", [0, 3])
def test_a_picture_without_a_face_fails_whatever_its_losses(
    model: Model, budget_steps: int
) -> None:
    result = tuned(model, EASY, read=lambda image: None, budget_steps=budget_steps)
    assert not result.passed
    assert math.isnan(result.best.identity_loss)
    assert torch.equal(result.first.image, result.decoded.image)


def test_a_verdict_reads_the_picture_and_not_what_was_asked_for(drawing: Model) -> None:
    """By another reading of the same picture the losses are others."""

    def elsewhere(image: torch.Tensor) -> Faces:
        read = as_the_target(image)
        return Faces(read.images, read.landmarks + torch.tensor([0.0, 0.2, 0.0]), read.expression)

    one, other = (tuned(drawing, EASY, read=read).best for read in (as_the_target, elsewhere))
    assert one.attribute_loss < other.attribute_loss
