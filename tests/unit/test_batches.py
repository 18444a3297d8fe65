"""What a training step sees: blocks, true swaps, imported people; a function of seed and step."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from facegraft.data.batches import (
    CHANGED_LEVEL,
    BatchError,
    Block,
    NoReadings,
    Pairs,
    as_model,
    degraded,
    draw_block,
    draw_swap_batch,
    grid_faces,
    person_faces,
    prefetched,
)
from facegraft.data.faces import Faces
from facegraft.data.grids import Grid, Mix, Person
from facegraft.imaging.images import planes_to_tensor
from tests import tiny
from tests.album_pictures import PEOPLE

MIXED = replace(tiny.faces(rows=6), mixes=(Mix(4, 0, 1, "eyes"), Mix(5, 2, 3, "whiskers")))


def assert_equal(one: Faces, other: Faces) -> None:
    for held in fields(Faces):
        assert torch.equal(getattr(one, held.name), getattr(other, held.name)), held.name


def cell(grid: Grid, key: str) -> tuple[int, int]:
    ((row, column),) = np.argwhere(grid.keys == key).tolist()
    return row, column


def pictured(person: Person, key: str) -> Faces:
    return person_faces(person, [person.keys.index(key)])


def two_grids() -> list[Grid]:
    return [tiny.faces(), tiny.faces("train-001")]


def test_a_block_is_people_by_attribute_sets_of_as_many_grids() -> None:
    grids = two_grids()
    block = draw_block(grids, [], tiny.train_params(batch_grids=2), step=3)
    assert len(block.faces) == len(block.keys) == 2 * 3 * 2
    assert len(block.identity.unique()) == 2 * 3
    assert len(block.attributes.unique()) == 2 * 2
    for place, key in enumerate(block.keys):
        grid = next(one for one in grids if key.startswith(one.name))
        row, column = cell(grid, key)
        assert_equal(block.faces[place : place + 1], grid_faces(grid, [(row, column)]))
        assert np.array_equal(block.identity_code[place], grid.identity_code[row])
        assert np.array_equal(block.attribute_code[place], grid.attribute_code[column])
        same = [one == key.rpartition("/")[0] for one in (k.rpartition("/")[0] for k in block.keys)]
        assert (block.identity == block.identity[place]).tolist() == same


def test_what_grids_do_not_hold_is_refused_by_name() -> None:
    with pytest.raises(BatchError, match="grid train-000 is 4 x 3, smaller than"):
        draw_block([tiny.faces()], [], tiny.train_params(batch_identities=5), 0)
    with pytest.raises(BatchError, match=r"1 training grids, fewer than train\.batch_grids 2"):
        draw_block([tiny.faces()], [], tiny.train_params(batch_grids=2), 0)


def test_what_was_not_read_is_refused_by_name() -> None:
    unread = replace(tiny.faces(), readings=None)
    for draw in (draw_block, draw_swap_batch):
        with pytest.raises(NoReadings, match="grid train-000 was not read"):
            draw([unread], [], tiny.train_params(), 0)
        with pytest.raises(NoReadings, match="own/bob was not read"):
            draw([tiny.faces()], [replace(PEOPLE[1], readings=None)], tiny.train_params(), 0)


def test_the_true_swap_is_the_source_person_under_the_targets_attributes() -> None:
    grid = tiny.faces()
    images = np.repeat(grid.images[:1], 4, axis=0)  # people who differ by a patch each
    for row in range(4):
        images[row, ..., 8:12, 6 * row : 6 * row + 4] += np.uint8(90)
    grid = replace(grid, images=images)
    pairs = draw_swap_batch([grid], [], tiny.train_params(batch_pairs=8), step=3)
    assert pairs.parts == (None,) * 8
    for k in range(8):
        (i, _), (j, b) = (cell(grid, key) for key in pairs.keys[2 * k : 2 * k + 2])
        assert i != j
        assert_equal(pairs.target[k : k + 1], grid_faces(grid, [(j, b)]))
        assert_equal(pairs.true_swap[k : k + 1], grid_faces(grid, [(i, b)]))
    differs = (pairs.true_swap.images - pairs.target.images).abs() > CHANGED_LEVEL
    expected = torch.nn.functional.max_pool2d(
        differs.any(dim=1, keepdim=True).float(), 3, stride=1, padding=1
    )
    assert torch.equal(pairs.changed, expected)
    assert 0 < pairs.changed.mean() < 1


def test_a_region_swap_takes_one_region_and_the_mixed_row_is_its_truth() -> None:
    section = tiny.train_params(batch_pairs=40, batch_regions=30)
    pairs = draw_swap_batch([MIXED], [], section, step=0)
    # "whiskers" is no sub-dimension: that row is never asked for.
    assert pairs.parts == ("eyes",) * 30 + (None,) * 10
    seen = set()
    for k, part in enumerate(pairs.parts):
        (source, _), (target, b) = (cell(MIXED, key) for key in pairs.keys[2 * k : 2 * k + 2])
        truths = [grid_faces(MIXED, [(row, b)]).images for row in range(6)]
        (truth,) = [r for r in range(6) if torch.equal(truths[r][0], pairs.true_swap.images[k])]
        if part:
            seen.add((source, target, truth))
        else:
            assert truth == source != target
            assert {source, target} <= {0, 1, 2, 3}  # mixed rows are nobody
    assert seen == {(1, 0, 4), (4, 0, 4), (0, 4, 0)}


def test_without_mixes_every_pair_is_a_whole_swap() -> None:
    pairs = draw_swap_batch([tiny.faces()], [], tiny.train_params(batch_regions=2), step=1)
    assert set(pairs.parts) == {None}


def test_everyone_joins_a_block_with_two_pictures_and_is_an_identity_of_their_own() -> None:
    section = tiny.train_params(batch_people=3)
    block = draw_block([tiny.faces()], PEOPLE, section, 0)
    rendered = len(block.identity_code)
    assert rendered == len(block.attribute_code) == len(block.attributes) == 6
    assert len(block.faces) == len(block.identity) == len(block.keys) == 6 + 6
    names = []
    for k in range(rendered, rendered + 6, 2):
        first, second = block.keys[k], block.keys[k + 1]
        person = next(one for one in PEOPLE if first in one.keys)
        names.append(person.identity_id)
        for place, key in ((k, first), (k + 1, second)):
            assert_equal(block.faces[place : place + 1], pictured(person, key))
        assert (first == second) == (len(person.images) == 1)
        assert torch.equal((block.identity == block.identity[k]).nonzero().flatten(),
                           torch.tensor([k, k + 1]))  # fmt: skip
    assert sorted(names) == [one.identity_id for one in PEOPLE]


def test_a_person_is_swapped_onto_another_picture_of_theirs_which_is_the_truth() -> None:
    pairs = draw_swap_batch([tiny.faces()], PEOPLE, tiny.train_params(batch_people=3), 0)
    assert pairs.parts[3:] == (None,) * 3
    names = []
    for k in range(3, 6):
        first, second = pairs.keys[2 * k : 2 * k + 2]
        person = next(one for one in PEOPLE if first in one.keys)
        names.append(person.identity_id)
        assert (first == second) == (len(person.images) == 1)
        assert_equal(pairs.target[k : k + 1], pictured(person, second))
        assert_equal(pairs.true_swap[k : k + 1], pictured(person, second))
        assert torch.equal(pairs.source.landmarks[k], pictured(person, first).landmarks[0])
    assert sorted(names) == [one.identity_id for one in PEOPLE]
    assert pairs.changed[:3].any()
    assert not pairs.changed[3:].any()


def test_no_more_people_than_are_asked_for_or_known() -> None:
    def counts(people: list[Person], asked: int) -> tuple[int, int]:
        section = tiny.train_params(batch_people=asked)
        block = draw_block([tiny.faces()], people, section, 0)
        pairs = draw_swap_batch([tiny.faces()], people, section, 0)
        return len(block.faces) - 6, len(pairs.parts) - 3

    assert counts(PEOPLE, 0) == counts([], 2) == (0, 0)
    assert counts(PEOPLE, 2) == (4, 2)
    assert counts(PEOPLE, 9) == (6, 3)


def test_only_sources_are_worn_and_within_range() -> None:
    grid, section = tiny.faces(), tiny.train_params(batch_pairs=24, batch_regions=0)
    pairs = draw_swap_batch([grid], [], section, step=0)
    drawn = torch.cat([grid_faces(grid, [cell(grid, key)]).images for key in pairs.keys[::2]])
    same = (pairs.source.images == drawn).flatten(1).all(dim=1)
    assert 0 < same.sum() < 24
    assert pairs.source.images.abs().max() <= 1
    grey = (pairs.source.images.std(dim=1) < 1e-6).flatten(1).all(dim=1)
    assert 0 < grey.sum() < 24


def test_wear_is_drawn_from_its_generator_alone() -> None:
    images = planes_to_tensor(tiny.faces().images[:, 0])
    one, again, other = (degraded(images, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("draw", [draw_block, draw_swap_batch])
def test_a_batch_depends_on_seed_and_step_alone(draw) -> None:  # type: ignore[no-untyped-def]
    def drawn(step: int, **changes: int) -> Block | Pairs:
        return draw(two_grids(), PEOPLE, tiny.train_params(batch_grids=2, **changes), step)

    def pictures(batch: Block | Pairs) -> torch.Tensor:
        return (batch.faces if isinstance(batch, Block) else batch.source).images

    one, again = drawn(5), drawn(5)
    assert one.keys == again.keys
    assert torch.equal(pictures(one), pictures(again))
    assert drawn(6).keys != one.keys
    assert drawn(5, seed=8).keys != one.keys


def test_people_leave_the_rendered_as_they_are() -> None:
    section = tiny.train_params()
    alone, joined = (draw_block([tiny.faces()], people, section, 0) for people in ([], PEOPLE))
    assert joined.keys[:6] == alone.keys
    swaps, more = (draw_swap_batch([tiny.faces()], people, section, 0) for people in ([], PEOPLE))
    assert more.keys[:6] == swaps.keys


def test_what_is_drawn_ahead_is_what_would_have_been_drawn() -> None:
    section, grids = tiny.train_params(), [tiny.faces()]

    def draw(step: int) -> Pairs:
        return draw_swap_batch(grids, [], section, step)

    ahead = list(prefetched(draw, 5, 2))
    assert [batch.keys for batch in ahead] == [draw(step).keys for step in (2, 3, 4)]
    assert not list(prefetched(draw, 5, 5))


def test_what_a_draw_raises_comes_through() -> None:
    def draw(step: int) -> Pairs:
        raise BatchError(f"step {step}")

    with pytest.raises(BatchError, match="step 2"):
        list(prefetched(draw, 5, 2))


def test_a_batch_becomes_a_models_floats_and_keeps_all_else() -> None:
    block = draw_block([tiny.faces()], [], tiny.train_params(), 0)
    exact = as_model(block, torch.device("cpu"), torch.float64)
    assert exact.faces.landmarks.dtype == exact.identity_code.dtype == torch.float64
    assert torch.equal(exact.faces.images.float(), block.faces.images)
    assert torch.equal(exact.identity, block.identity)
    assert exact.keys == block.keys
