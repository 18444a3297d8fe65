"""Pairs that move points and decode nothing: drawn rightly, read once, alone where asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from facegraft.batches import draw_batch
from facegraft.checkpoint import load_state, save_state
from facegraft.config import TrainParams
from facegraft.dataset import Grid, Mix
from facegraft.model import ModelConfig
from facegraft.moves import MoveReader, move_losses, moves_of_batch
from facegraft.paint import by_kind, by_stroke
from facegraft.points import Moved, colours_at
from facegraft.stages.train import _may_stop
from facegraft.strokes import STROKES
from facegraft.training import TrainState, init_state, phase_of, step_losses, train
from tests import tiny
from tests.painted import painted_faces

PHASED = {"teach_steps": 2, "freeze_encoder": True, "move_steps": 2, "steps": 6}


def started(section: TrainParams, grid: Grid) -> TrainState:
    return init_state(section, ModelConfig.from_params(section, [grid]), grid)


def mixed_faces() -> Grid:
    return replace(painted_faces(), mixes=(Mix(3, 0, 1, "eyes"),))


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_every_pair_is_one_whose_truth_the_grid_holds() -> None:
    section, grid = tiny.train_params(), mixed_faces()
    state = started(section, grid)
    state.model.eval()
    reader = MoveReader(state.model, [grid], section)
    moves = reader.draw(3)
    read = reader.read[0]

    columns = grid.images.shape[1]

    def cells(vectors: torch.Tensor, elements: torch.Tensor | slice = slice(None)) -> list[int]:
        known = read.vectors.float()[:, elements]
        return torch.cdist(vectors[:, elements], known).argmin(dim=1).tolist()

    target_cells, swap_cells = (cells(one.vectors) for one in (moves.target, moves.swap))
    targets, swaps = ([cell // columns for cell in one] for one in (target_cells, swap_cells))
    assert [c % columns for c in swap_cells] == [c % columns for c in target_cells]
    assert [int(key.split("/")[1][1:]) for key in moves.keys] == targets
    sources = [cell // columns for cell in cells(moves.fused, elements_of(state, "nose"))]
    eyes = taken_rows(state, moves.fused, moves.target.vectors)
    pairs = [(*pair, part) for *pair, part in zip(targets, swaps, eyes, strict=True)]
    whole = [(target, swap) for target, swap, part in pairs if not part]
    parts = {(target, swap) for target, swap, part in pairs if part}
    assert parts <= {(0, 3), (3, 0)}  # target is the base, or the mix itself
    assert parts
    assert all(target != swap for target, swap in whole)
    triples = zip(sources, swaps, eyes, strict=True)
    assert all(source == swap for source, swap, part in triples if not part)


def elements_of(state: TrainState, region: str) -> torch.Tensor:
    """Which elements of the vectors are a sub-dimension's: bool (V,)."""
    layout = state.model.layout
    owners = [k for k in layout.vector_dimensions for _ in range(layout.sizes[k])]
    return torch.tensor([k in layout.identity[region] for k in owners])


def taken_rows(state: TrainState, fused: torch.Tensor, target: torch.Tensor) -> list[bool]:
    """Whether only the eyes of a pair were taken from the source."""
    nose = elements_of(state, "nose")
    return (fused[:, nose] == target[:, nose]).all(dim=1).tolist()


def test_every_stroke_has_what_its_kind_has() -> None:
    kinds = torch.rand(2, 2, 3)
    torch.testing.assert_close(by_kind(by_stroke(kinds)), kinds)
    assert by_stroke(kinds).shape == (2, STROKES, 3)


def test_a_draw_is_a_pure_function_of_its_step_and_reads_each_grid_once() -> None:
    section, grid = tiny.train_params(), painted_faces()
    state = started(section, grid)
    state.model.eval()
    one, two = (MoveReader(state.model, [grid, grid], section) for _ in range(2))
    one.draw(0)
    first = one.read[0]
    later, direct = one.draw(1), two.draw(1)
    assert one.read[0] is first
    assert torch.equal(later.fused, direct.fused)
    assert torch.equal(later.pictures, direct.pictures)
    assert torch.equal(later.swap.painted, direct.swap.painted)
    assert later.keys == direct.keys
    assert not torch.equal(later.fused, one.draw(2).fused)


def test_the_truth_of_a_move_costs_nothing_and_the_paint_is_learnt() -> None:
    section, grid = tiny.train_params(learning_rate=0.01), painted_faces()
    state = started(section, grid)
    batch = draw_batch([grid], section, 0)
    features = state.model.encoder.features(batch.images)
    z = state.model.encoder.project(batch.images, features)
    moves = moves_of_batch(state.model, batch, z, features.points.kept)
    values = move_losses(state.model.decoder, moves)
    assert set(values) == {"shift_loss", "tint_loss", "sight_loss", "paint_loss"}
    true = moves.swap.painted - moves.target.painted
    assert values["paint_loss"].item() == pytest.approx(true.abs().mean().item(), rel=1e-4)
    ink = state.model.decoder.ink
    optimizer = torch.optim.Adam(ink.change.parameters(), 0.03)
    for _ in range(80):
        loss = move_losses(state.model.decoder, moves)["paint_loss"]
        optimizer.zero_grad()
        loss.backward(retain_graph=True)
        optimizer.step()
    assert loss.item() < 0.9 * values["paint_loss"].item()
    assert moves.swap.painted.shape[1] == STROKES


def test_phases_follow_each_other_and_each_anneals() -> None:
    section = tiny.train_params(**PHASED, warmup_steps=0, learning_rate=1.0)
    model = started(section, painted_faces()).model
    phases = [phase_of(step, model, section) for step in range(6)]
    told = [(phase.frozen, phase.moves_alone, phase.decodes) for phase in phases]
    assert told == 2 * [(False, False, False)] + 2 * [(True, True, False)] + 2 * [
        (True, False, True)
    ]
    assert [phase.learning_rate for phase in phases] == pytest.approx(3 * [1.0, 0.505])


def test_a_model_that_moves_no_points_decodes_at_once() -> None:
    section = tiny.train_params(**PHASED, points="")
    model = started(section, tiny.faces()).model
    assert phase_of(2, model, section).decodes


def test_the_encoder_stays_and_the_mover_moves_alone_then_all_that_decodes() -> None:
    section, grid = tiny.train_params(**PHASED), painted_faces()
    state = started(section, grid)
    kept: list[dict[str, dict[str, torch.Tensor]]] = []
    losses = []
    for metrics in train(state, [grid], section):
        decoder = state.model.decoder
        parts = {"encoder": state.model.encoder, "mover": decoder.mover, "layers": decoder.layers}
        kept.append({name: weights(part) for name, part in parts.items()})
        losses.append(set(metrics.losses))
    taught, moved, decoded = kept[1], kept[3], kept[5]
    assert same(kept[2]["encoder"], decoded["encoder"])
    assert same(weights(state.ema.encoder), decoded["encoder"])
    assert not same(taught["mover"], moved["mover"])
    assert same(taught["layers"], moved["layers"])
    assert not same(moved["layers"], decoded["layers"])
    assert losses[2] == {"shift_loss", "tint_loss", "sight_loss", "paint_loss"}
    assert "anchor_loss" in losses[0]
    assert "anchor_loss" not in losses[5]
    assert "swap_loss" in losses[5]


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_resumed_in_any_phase_the_weights_are_the_same(cut: int, tmp_path: Path) -> None:
    section, grid = tiny.train_params(**PHASED), painted_faces()
    whole = started(section, grid)
    for _ in train(whole, [grid], section):
        pass
    state = started(section, grid)
    for metrics in train(state, [grid], section):
        if metrics.step == cut:
            break
    save_state(state, tmp_path / "last.safetensors", "recipe")
    again = started(section, grid)
    load_state(again, tmp_path / "last.safetensors")
    for _ in train(again, [grid], section):
        pass
    assert same(weights(whole.model), weights(again.model))
    assert same(weights(whole.ema), weights(again.ema))


def test_a_frozen_encoder_gets_no_gradient_from_what_is_decoded() -> None:
    section, grid = tiny.train_params(**PHASED), painted_faces()
    state = started(section, grid)
    state.step = 5
    sum(step_losses(state, draw_batch([grid], section, 5), section).values()).backward()
    assert all(parameter.grad is None for parameter in state.model.encoder.parameters())
    assert any(parameter.grad is not None for parameter in state.model.decoder.parameters())


def test_steps_of_the_mover_alone_need_an_encoder_that_stays() -> None:
    with pytest.raises(ValidationError, match="freeze_encoder"):
        tiny.train_params(move_steps=3)


def test_training_does_not_stop_before_anything_was_decoded() -> None:
    section = tiny.train_params(**PHASED)
    params = tiny.params().model_copy(update={"train": section})
    state = started(section, painted_faces())
    content = {name: bound / 2 for name, bound in section.thresholds.model_dump().items()}
    stops = []
    for step in range(7):
        state.step = step
        stops.append(_may_stop(content, state, params))
    assert stops == 5 * [False] + 2 * [True]


def test_a_point_is_asked_to_look_as_the_true_swap_does_where_it_is_put() -> None:
    section, grid = tiny.train_params(), painted_faces()
    state = started(section, grid)
    state.model.eval()
    moves = MoveReader(state.model, [grid], section).draw(0)
    shift = torch.full_like(moves.target.places, 0.25)  # nowhere near the truth
    shown = colours_at(moves.pictures, moves.target.places + shift)
    truth = grid.images.reshape(-1, *grid.images.shape[2:])
    pictures = torch.from_numpy(truth.copy()) / 127.5 - 1.0
    assert torch.cdist(moves.pictures.flatten(1), pictures.flatten(1)).amin(dim=1).max() < 0.01
    tint = shown - moves.target.colours

    class Puts(torch.nn.Module):
        def forward(self, *seen: torch.Tensor) -> Moved:
            return Moved(shift, tint, torch.zeros_like(shift[..., 0]))

    state.model.decoder.mover = Puts()
    assert move_losses(state.model.decoder, moves)["tint_loss"].item() < 1e-6


def test_the_pictures_of_a_draw_are_the_true_swaps() -> None:
    section, grid = tiny.train_params(), painted_faces()
    state = started(section, grid)
    state.model.eval()
    moves = MoveReader(state.model, [grid], section).draw(0)
    shown = colours_at(moves.pictures, moves.swap.places)
    torch.testing.assert_close(shown, moves.swap.colours, atol=2e-2, rtol=0)
