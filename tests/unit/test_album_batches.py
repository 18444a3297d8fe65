"""Imported people in a training step: who is drawn, what is swapped, what it changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facegraft.album_batches import with_people
from facegraft.batches import draw_batch
from facegraft.dataset import Person
from facegraft.images import to_tensor
from facegraft.losses import attribute_loss_per_pair, identity_loss_per_pair
from facegraft.training import TrainState, step_losses, train
from tests import tiny
from tests.album_pictures import PEOPLE


def batch_with(people: list[Person], step: int = 0, **changes: int):
    section = tiny.train_params(**changes)
    return with_people(draw_batch([tiny.faces()], section, step), people, section, step)


def test_everyone_shows_two_pictures_and_is_an_identity_of_their_own() -> None:
    batch = batch_with(PEOPLE, batch_people=3)
    rendered = batch.rendered
    assert rendered == 6
    assert len(batch.images) == len(batch.identity) == len(batch.keys) == rendered + 6
    by_key = {key: image for one in PEOPLE for key, image in zip(one.keys, one.images, strict=True)}
    names = []
    for k in range(rendered, rendered + 6, 2):
        first, second = batch.keys[k], batch.keys[k + 1]
        names.append(first.rpartition("/")[0])
        assert second.startswith(names[-1])
        assert torch.equal(batch.images[k], to_tensor(by_key[first][None])[0])
        if names[-1] == "own/cleo":  # one picture and its mirror image
            assert torch.equal(batch.images[k + 1], batch.images[k].flip(-1))
        else:
            assert first != second
            assert torch.equal(batch.images[k + 1], to_tensor(by_key[second][None])[0])
        assert batch.identity[k] == batch.identity[k + 1]
    assert sorted(names) == ["own/ann", "own/bob", "own/cleo"]
    assert len(batch.identity.unique()) == len(batch.identity[:rendered].unique()) + 3


def test_a_person_is_swapped_onto_themselves_and_with_a_character_both_ways() -> None:
    batch = batch_with(PEOPLE, batch_people=2)
    source, target = batch.foreign_source, batch.foreign_target
    assert len(source) == len(target) == 6
    same = torch.zeros(6, dtype=torch.bool)
    same[batch.foreign_same] = True
    assert torch.equal(same, batch.identity[source] == batch.identity[target])
    assert (source[same] != target[same]).all()
    imported = torch.stack([source, target]) >= batch.rendered
    assert imported[:, same].all()
    assert (imported[:, ~same].sum(dim=0) == 1).all()
    assert imported[0, ~same].sum() == imported[1, ~same].sum() == 2


def test_what_is_drawn_depends_on_seed_and_step_alone_and_leaves_the_rendered_be() -> None:
    one, again, later = batch_with(PEOPLE), batch_with(PEOPLE), batch_with(PEOPLE, step=1)
    assert one.keys == again.keys
    assert torch.equal(one.foreign_target, again.foreign_target)
    assert one.keys[one.rendered :] != later.keys[later.rendered :]
    alone = batch_with([])
    assert torch.equal(one.images[: one.rendered], alone.images)
    assert torch.equal(one.source, alone.source)


@pytest.mark.parametrize("people", [[], PEOPLE])
def test_nobody_is_added_where_nobody_is_asked_for(people: list[Person]) -> None:
    batch = batch_with(people, batch_people=0 if people else 2)
    assert len(batch.images) == batch.rendered
    assert not len(batch.foreign_source)


def test_the_losses_see_the_people() -> None:
    """Only those losses that need no truth change, and a person's own swap counts as known."""
    state, section = tiny.state(teach_steps=0), tiny.train_params(teach_steps=0, batch_people=2)
    state.model.eval()  # batch norm would mix the pictures

    def losses(people: list[Person]) -> dict[str, float]:
        batch = with_people(draw_batch([tiny.faces()], section, 0), people, section, 0)
        return {name: value.item() for name, value in step_losses(state, batch, section).items()}

    alone, joined = losses([]), losses(PEOPLE)
    assert alone.keys() == joined.keys()
    changed = {name for name in alone if joined[name] != pytest.approx(alone[name], rel=1e-5)}
    assert changed == {
        "identity_loss", "attribute_loss", "mse_loss", "perceptual_loss", "contrast_loss",
    }  # fmt: skip


def test_a_person_swapped_onto_themselves_shall_look_like_the_target() -> None:
    state, section = tiny.state(teach_steps=0), tiny.train_params(teach_steps=0, batch_people=1)
    state.model.eval()
    batch = with_people(draw_batch([tiny.faces()], section, 0), PEOPLE[:1], section, 0)
    (own,) = batch.foreign_same.tolist()
    source, target = batch.foreign_source[own], batch.foreign_target[own]
    with torch.no_grad():
        swap = state.model.swap(batch.images[source][None], batch.images[target][None]).image
        rebuilt = state.model.decoder(state.model.encoder(batch.images[batch.reconstructed])).image
    error = torch.cat([swap, rebuilt]) - batch.images[torch.stack([target, *batch.reconstructed])]
    known = step_losses(state, batch, section)["mse_loss"].item()
    assert known == pytest.approx(error.square().mean().item(), rel=1e-4)


def test_characters_and_people_are_held_to_the_patents_losses() -> None:
    """Each swap by hand, source and target in their places."""
    state, section = tiny.state(teach_steps=0), tiny.train_params(teach_steps=0, batch_people=1)
    model = state.model.eval()
    batch = with_people(draw_batch([tiny.faces()], section, 0), PEOPLE[:1], section, 0)
    images, identity, attribute = batch.images, [], []
    sources = [*batch.source, *batch.foreign_source]
    targets = [*batch.target, *batch.foreign_target]
    parts = [*batch.transplant, None, None, None]
    with torch.no_grad():
        for s, t, part in zip(sources, targets, parts, strict=True):
            fused = model.fused(images[s][None], images[t][None], part and (part,))
            z = model.encoder(model.decoder(fused).image)
            identity.append(identity_loss_per_pair(model.layout, z, fused))
            attribute.append(
                attribute_loss_per_pair(model.layout, z, model.encoder(images[t][None]))
            )
    values = step_losses(state, batch, section)
    expected = {"identity_loss": torch.cat(identity), "attribute_loss": torch.cat(attribute)}
    for name, losses in expected.items():
        assert values[name].item() == pytest.approx(losses.mean().item(), rel=1e-3), name


def test_a_step_with_people_moves_encoder_and_decoder_otherwise() -> None:
    def gradients(people: list[Person]) -> dict[str, torch.Tensor]:
        state, section = tiny.state(teach_steps=0), tiny.train_params(teach_steps=0)
        state.model.eval()
        batch = with_people(draw_batch([tiny.faces()], section, 0), people, section, 0)
        values = step_losses(state, batch, section)
        (values["identity_loss"] + values["mse_loss"]).backward()
        return {name: p.grad for name, p in state.model.named_parameters() if p.grad is not None}

    alone, joined = gradients([]), gradients(PEOPLE)
    for part in ("encoder.stem", "encoder.vectors", "decoder.layers", "decoder.retouch"):
        assert any(
            not torch.allclose(alone[name], joined[name]) for name in alone if name.startswith(part)
        ), part


def test_training_with_people_learns_to_tell_them_apart() -> None:
    def contrast(people: list[Person]) -> float:
        state = tiny.state(teach_steps=150, steps=150, learning_rate=1e-2)
        section = tiny.train_params(teach_steps=150, steps=150, learning_rate=1e-2, batch_people=2)
        for _ in train(state, [tiny.faces()], section, people):
            pass
        return spread(state)

    assert contrast(PEOPLE[:2]) > contrast([]) + 0.3


@torch.no_grad()
def spread(state: TrainState) -> float:
    """How much likelier z_id holds a person's pictures for one than for two people's."""
    images = [to_tensor(np.stack(one.images[:2])) for one in PEOPLE[:2]]
    z = state.model.eval().encoder(torch.cat(images).to(state.model.dtype))
    z_id = torch.nn.functional.normalize(state.model.layout.z_id(z), dim=1)
    near = z_id @ z_id.T
    return ((near[0, 1] + near[2, 3]) / 2 - near[:2, 2:].mean()).item()
