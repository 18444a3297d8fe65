"""M10-M12: the phases, the step, resuming bit for bit, the stop, the refusal of NaN."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from facegraft.data.batches import NoReadings, draw_swap_batch, person_faces
from facegraft.data.faces import Faces
from facegraft.data.grids import Grid, Person
from facegraft.evaluation.heldout import all_below
from facegraft.method.checkpoint import CheckpointError
from facegraft.method.decoder import Decoder
from facegraft.method.latents import fuse, source_weights
from facegraft.method.losses import attribute_loss_per_pair, identity_loss_per_pair, perceptual_loss
from facegraft.method.model import faces_of_swap
from facegraft.training.loop import WEIGHTS, NonFiniteLoss, draw_batch, step_losses, train
from facegraft.training.phases import begin, phase_of, phases, scheduled_rate
from facegraft.training.state import TrainState, parameter_groups, update_ema
from facegraft.training.state_file import checkpoint_metadata, load_state, save_state
from tests import tiny
from tests.album_pictures import PEOPLE

READ = {"identity_parameter_loss", "attribute_parameter_loss", "contrast_loss", "consistency_loss"}
PATENT = {"identity_loss", "attribute_loss", "mse_loss", "perceptual_loss"}
DRAWN = PATENT | {"swap_loss", "feature_loss"}


def about_to_draw() -> TrainState:
    """Nothing is taught, but what is settled before each phase is."""
    state, section = tiny.state(), tiny.train_params()
    for phase in phases(section):
        state.step = phase.start
        begin(phase, state, [tiny.faces()], section, [])
    return state


def test_reading_comes_first_then_drawing_and_plain_vectors_do_both_at_once() -> None:
    assert {*WEIGHTS, *tiny.train_params().weights.model_dump()} == READ | DRAWN
    for vector_only, last in ((False, DRAWN), (True, READ | DRAWN)):
        section = tiny.train_params(vector_only=vector_only, steps=3)
        steps = list(train(tiny.state(vector_only=vector_only), [tiny.faces()], section))
        assert [m.step for m in steps] == [1, 2, 3]
        assert [set(m.losses) for m in steps] == [READ, last, last]


def test_a_phase_knows_its_steps_and_draws_what_it_learns_from() -> None:
    section = tiny.train_params(teach_steps=2)
    assert [(p.start, p.stop) for p in phases(section)] == [(0, 2), (2, 4)]
    assert [phase_of(k, section).trains_decoder for k in range(4)] == [False, False, True, True]
    short = tiny.train_params(teach_steps=9)
    assert all(phase_of(step, short).trains_encoder for step in range(4))
    for phase in phases(section):
        block, pairs = draw_batch(phase, [tiny.faces()], [], section, phase.start)
        assert (block is not None) == phase.trains_encoder
        assert (pairs is not None) == phase.trains_decoder


def test_the_encoder_that_draws_is_the_averaged_one_and_stays() -> None:
    section = tiny.train_params(teach_steps=3, steps=5)
    state = tiny.state()
    loop = train(state, [tiny.faces()], section)
    for _ in range(3):
        next(loop)
    taught = {k: v.clone() for k, v in state.ema.encoder.state_dict().items()}
    learnt = state.model.encoder.state_dict()
    assert any(not torch.equal(taught[name], learnt[name]) for name in taught)
    fresh = {k: v.clone() for k, v in state.model.decoder.state_dict().items()}
    assert [m.step for m in loop] == [4, 5]
    for encoder in (state.model.encoder, state.ema.encoder):
        assert all(torch.equal(taught[k], v) for k, v in encoder.state_dict().items())
    moved = {k for k, v in state.model.decoder.state_dict().items() if not torch.equal(v, fresh[k])}
    assert {"exchange.weight", "unet.share.weight"} <= moved


def test_both_models_have_one_mean_face_and_one_geometry() -> None:
    state = tiny.state()
    unfitted = state.model.encoder.state_dict()["shapes.mean"].clone()
    list(train(state, [tiny.faces()], tiny.train_params(steps=2)))
    mine, theirs = state.model.state_dict(), state.ema.state_dict()
    assert not torch.equal(mine["encoder.shapes.mean"], unfitted)
    geometry = [name for name in mine if name.startswith(("decoder.exchange", "decoder.outline"))]
    assert len(geometry) > 5
    for name in (*geometry, "encoder.shapes.mean", "encoder.shapes.covariate_weight"):
        assert torch.equal(mine[name], theirs[name]), name


def test_the_average_starts_anew_with_the_drawing() -> None:
    section = tiny.train_params(teach_steps=3, steps=5, ema_decay=0.9)
    state = tiny.state()
    loop = train(state, [tiny.faces()], section)
    for _ in range(3):
        next(loop)
    name = "decoder.unet.layers.0.conv.weight"
    before = state.model.state_dict()[name].clone()
    next(loop)
    after, averaged = state.model.state_dict()[name], state.ema.state_dict()[name]
    assert not torch.equal(before, after)
    torch.testing.assert_close(averaged, before + 0.9 * (after - before))


def test_what_was_not_read_cannot_be_trained_on() -> None:
    for changes in ({"teach_steps": 1}, {"teach_steps": 0, "init": "base"}):
        section, state = tiny.train_params(**changes), tiny.state(**changes)
        with pytest.raises(NoReadings, match="grid train-000 was not read"):
            next(train(state, [replace(tiny.faces(), readings=None)], section))


def test_characters_and_people_are_held_to_the_patents_losses() -> None:
    """Each swap by hand, source and target in their places."""
    state, section = about_to_draw(), tiny.train_params(batch_people=1)
    model, encoder = state.model.eval(), state.ema.encoder
    assert isinstance(model.decoder, Decoder)
    pairs = draw_swap_batch([tiny.faces()], PEOPLE[:1], section, 1)
    identity, attribute, rebuilt = [], [], []
    with torch.no_grad():
        for k, part in enumerate(pairs.parts):
            one, other, true = (x[k : k + 1] for x in (pairs.source, pairs.target, pairs.true_swap))
            z_target = encoder(other)
            weights = source_weights(model.layout, part and (part,))
            fused = fuse(model.layout, encoder(one), z_target, weights)
            drawn = model.decoder.blend(model.decoder.plan(fused, true.landmarks), power=1.0)
            z = encoder(faces_of_swap(drawn, other))
            identity.append(identity_loss_per_pair(model.layout, z, fused))
            attribute.append(attribute_loss_per_pair(model.layout, z, z_target))
            if k == 0:
                again = model.decoder(z_target)
                rebuilt.append(perceptual_loss(z_target, encoder(faces_of_swap(again, other))))
    phase = phase_of(1, section)
    values = step_losses(state, phase, (None, pairs))
    assert len(identity) == section.batch_pairs + 1
    expected = {"identity_loss": torch.cat(identity), "attribute_loss": torch.cat(attribute)}
    for name, losses in expected.items():
        assert values[name].item() == pytest.approx(losses.mean().item(), rel=1e-3), name
    assert values["perceptual_loss"].item() == pytest.approx(rebuilt[0].item(), abs=1e-9)
    assert values["mse_loss"].item() < 1e-9  # by all the target's own latents, the target


def test_people_are_told_apart_while_reading_and_teach_nothing_that_is_not_known() -> None:
    state, section = tiny.state(), tiny.train_params()
    state.model.eval()  # batch norm would mix the pictures
    phase = phases(section)[0]

    def losses(people: list[Person]) -> dict[str, float]:
        batch = draw_batch(phase, [tiny.faces()], people, section, 0)
        return {k: v.item() for k, v in step_losses(state, phase, batch).items()}

    alone, joined = losses([]), losses(PEOPLE)
    changed = {name for name in alone if joined[name] != pytest.approx(alone[name], rel=1e-5)}
    assert changed == {"contrast_loss"}


def test_training_with_people_learns_to_tell_them_apart() -> None:
    def taught(people: list[Person]) -> float:
        changes = {"teach_steps": 80, "steps": 80, "learning_rate": 1e-2, "batch_people": 2}
        state, section = tiny.state(**changes), tiny.train_params(**changes)
        for _ in train(state, [tiny.faces()], section, people):
            pass
        return spread(state)

    assert taught(PEOPLE[:2]) > taught([]) + 0.3


@torch.no_grad()
def spread(state: TrainState) -> float:
    """How much likelier z_id holds a person's pictures for one than for two people's."""
    model, layout = state.model.eval(), state.model.layout.bare
    faces = Faces.joined([person_faces(one, [0, 1]) for one in PEOPLE[:2]])
    z_id = torch.nn.functional.normalize(layout.z_id(model.encoder.vectors_alone(faces)), dim=1)
    near = z_id @ z_id.T
    return ((near[0, 1] + near[2, 3]) / 2 - near[:2, 2:].mean()).item()


def test_plain_vectors_learn_a_grid_by_heart() -> None:
    changes = {
        "steps": 120,
        "channels": 8,
        "decoder_channels": 8,
        "teach_steps": 0,
        "learning_rate": 0.003,
        "vector_only": True,
    }
    with tiny.float64():  # a hundred steps in float32 end elsewhere on another processor
        steps = list(train(tiny.state(**changes), [tiny.faces()], tiny.train_params(**changes)))
    for name in ("swap_loss", "identity_parameter_loss"):
        late = sum(m.losses[name] for m in steps[-5:]) / 5
        assert late < 0.7 * steps[0].losses[name], name


def test_drawing_is_learnt() -> None:
    """What it draws of pairs that it is not shown comes nearer to their true swaps' features."""
    changes = {"steps": 17, "learning_rate": 0.01, "decoder_channels": 8}
    section, grids = tiny.train_params(**changes), [tiny.faces()]
    last = phases(section)[-1]
    with tiny.float64():
        state = tiny.state(**changes)
        batch = (None, draw_swap_batch(grids, [], section, 1000))
        loop = train(state, grids, section)
        next(loop), next(loop)
        before = step_losses(state, last, batch)["feature_loss"].item()
        assert len(list(loop)) == 15
        after = step_losses(state, last, batch)["feature_loss"].item()
    assert after < 0.85 * before


def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path: Path) -> None:
    """Amid the reading, at the border of the phases, and amid the drawing."""
    for vector_only in (False, True):
        changes = {"vector_only": vector_only, "teach_steps": 2, "steps": 5, "init": "base"}
        section, grids = tiny.train_params(**changes), [tiny.faces()]
        whole = tiny.state(**changes)
        for _ in train(whole, grids, section, PEOPLE):
            save_state(whole, tmp_path / f"{whole.step}.safetensors", key="r")
        expected = load_file(tmp_path / "5.safetensors")
        for step in (1, 2, 4):
            torch.manual_seed(999)
            resumed = tiny.state(**changes)
            load_state(resumed, tmp_path / f"{step}.safetensors")
            assert [m.step for m in train(resumed, grids, section, PEOPLE)] == [*range(step + 1, 6)]
            save_state(resumed, tmp_path / "resumed.safetensors", key="r")
            found = load_file(tmp_path / "resumed.safetensors")
            assert found.keys() == expected.keys()
            different = [name for name in expected if not torch.equal(found[name], expected[name])]
            assert not different, f"{step}: {different}"
        assert checkpoint_metadata(tmp_path / "2.safetensors") == ("r", 2)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"last\.safetensors: no training checkpoint"):
        checkpoint_metadata(path)


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    save_state(tiny.state(), path, key="r")
    with pytest.raises(CheckpointError, match="another architecture"):
        load_state(tiny.state(latent_dim=16), path)


def test_nan_stops_before_the_weights_are_touched() -> None:
    def refused(state: TrainState, grid: Grid, match: str) -> None:
        before = {k: v.clone() for k, v in state.model.named_parameters()}
        with pytest.raises(NonFiniteLoss, match=match):
            next(train(state, [grid], tiny.train_params()))
        after = dict(state.model.named_parameters())
        assert all(torch.equal(before[k], v) or v.isnan().any() for k, v in after.items())

    unknown = tiny.faces()
    unknown.identity_code[:] = math.nan
    refused(tiny.state(), unknown, r"step 0: .*identity_parameter_loss=nan.*images train-000/")
    drawing = about_to_draw()
    assert isinstance(drawing.model.decoder, Decoder)
    drawing.model.decoder.unet.tone.bias.data.fill_(math.nan)
    refused(drawing, tiny.faces(), r"step 1: .*swap_loss=nan.*images train-000/")


def test_the_average_follows_at_its_decay() -> None:
    averaged, current = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(averaged.weight, 1.0)
    torch.nn.init.constant_(current.weight, 3.0)
    update_ema(averaged, current, decay=0.75)
    assert averaged.weight.item() == pytest.approx(1.5)


def test_the_rate_warms_up_then_falls_to_a_hundredth() -> None:
    section = tiny.train_params(warmup_steps=10, learning_rate=1.0)
    assert scheduled_rate(0, 100, section) == pytest.approx(0.1)
    assert scheduled_rate(10, 100, section) == pytest.approx(1.0)
    assert scheduled_rate(100, 100, section) == pytest.approx(0.01)


def test_all_four_must_be_strictly_below() -> None:
    thresholds = tiny.params().train.thresholds
    below = {name: bound * 0.9 for name, bound in thresholds.model_dump().items()}
    assert all_below(below, thresholds)
    for name, bound in thresholds.model_dump().items():
        assert not all_below({**below, name: bound}, thresholds)
        assert not all_below({**below, name: math.nan}, thresholds)
        assert not all_below({k: v for k, v in below.items() if k != name}, thresholds)


def test_wide_linear_layers_learn_at_a_smaller_rate_and_nothing_is_forgotten() -> None:
    wide, narrow = torch.nn.Linear(1024, 2), torch.nn.Linear(8, 2)
    groups = {group["scale"]: group["params"] for group in parameter_groups(wide, narrow)}
    assert set(groups) == {0.25, 1.0}
    assert [p is wide.weight for p in groups[0.25]] == [True]
    state = tiny.state()
    held = sum(len(group["params"]) for group in state.optimizer.param_groups)
    assert held == len([*state.model.parameters(), *state.heads.parameters()])
