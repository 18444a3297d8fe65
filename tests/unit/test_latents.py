"""M1-M4: 18 latents, the split, the 1/0 weights, the fusion."""

from __future__ import annotations

import pytest
import torch

from facegraft.data.grids import PARTS
from facegraft.method.latents import (
    ATTRIBUTE,
    IDENTITY,
    NUM_LATENTS,
    TARGET_CONTENT_GROUPS,
    Layout,
    fuse,
    select,
    source_weights,
    unit_energy,
)
from facegraft.method.model import Model, ModelConfig
from tests import tiny


def test_the_layout_names_every_latent_once_and_every_part_that_can_be_swapped_alone() -> None:
    groups = [*IDENTITY.values(), *ATTRIBUTE.values()]
    assert sorted(index for group in groups for index in group) == list(range(NUM_LATENTS))
    assert [IDENTITY[part] for part in PARTS] == [(5,), (6,), (7,), (8,), (9,)]
    assert set(TARGET_CONTENT_GROUPS) < set(ATTRIBUTE)


def layout(vector_only: bool = False) -> Layout:
    section = tiny.train_params(vector_only=vector_only)
    return Model(ModelConfig.from_params(section, [tiny.faces()])).layout


def numbered(one: Layout, batch: int = 1) -> torch.Tensor:
    """Latents whose every element is its dimension's index."""
    sizes = torch.tensor(one.sizes)
    return torch.arange(18.0).repeat_interleave(sizes).expand(batch, -1)


def test_there_are_eighteen_dimensions_and_each_belongs_to_one_side() -> None:
    one = layout()
    both = sorted((*one.identity_dimensions, *one.attribute_dimensions))
    assert both == list(range(18))
    assert one.identity_dimensions == (5, 6, 7, 8, 9)
    assert one.names[6] == "eyes"
    assert one.names[10] == "expression/1"


def test_vector_only_is_eighteen_vectors_of_one_length() -> None:
    plain, drawing = layout(vector_only=True), layout()
    assert plain.sizes == (8,) * 18
    assert plain == drawing.bare
    assert [k for k, size in enumerate(drawing.sizes) if size > 8] == [4, 5, 6, 7, 8, 9, 16, 17]


def test_what_a_dimension_holds_comes_after_its_vector_and_comes_out_by_name() -> None:
    held = ({"shape": (2, 3), "seen": (4,)}, *({},) * 16, {"pixels": (3, 2, 2)})
    one = Layout({"eyes": (0,)}, {"rest": tuple(range(1, 18))}, vector=5, content_shapes=held)
    assert one.sizes == (5 + 6 + 4, *(5,) * 16, 5 + 12)
    z = torch.arange(2.0 * one.length).view(2, -1)
    assert one.content(z, 0, "shape")[0].tolist() == [[5, 6, 7], [8, 9, 10]]
    assert one.content(z, 0, "seen")[0].tolist() == [11, 12, 13, 14]
    pixels = one.content(z, 17, "pixels")
    assert pixels.shape == (2, 3, 2, 2)
    assert torch.equal(pixels.flatten(), z[:, -12:].flatten())
    assert torch.equal(one.vectors(z)[1, 0], z[1, :5] * 5**0.5)
    with pytest.raises(KeyError, match="latent 0 holds no pixels"):
        one.content(z, 0, "pixels")


def test_selection_multiplies_each_dimension_by_its_weight() -> None:
    one = layout()
    weights = torch.zeros(18)
    weights[[0, 6]] = torch.tensor([0.5, 1.0])
    chosen = one.split(select(one, numbered(one), weights))
    assert [part.unique().tolist() for part in chosen][5:8] == [[0.0], [6.0], [0.0]]
    assert chosen[0].unique().tolist() == [0.0]


def test_fusion_takes_identity_from_the_source_and_all_else_from_the_target() -> None:
    one = layout()
    fused = fuse(one, numbered(one), numbered(one) + 100, source_weights(one))
    values = [part.unique().item() for part in one.split(fused)]
    assert values == [k if k in (5, 6, 7, 8, 9) else k + 100 for k in range(18)]


def test_only_the_named_sub_dimensions_are_transplanted() -> None:
    one = layout()
    fused = fuse(one, numbered(one), numbered(one) + 100, source_weights(one, {"eyes", "nose"}))
    values = [part.unique().item() for part in one.split(fused)]
    assert values == [k if k in (6, 8) else k + 100 for k in range(18)]


def test_each_pair_of_a_batch_has_weights_of_its_own() -> None:
    one = layout()
    weights = torch.stack([source_weights(one), source_weights(one, {"eyes"})])
    fused = fuse(one, numbered(one, 2), numbered(one, 2) + 100, weights)
    taken = [[part[row].unique().item() < 100 for part in one.split(fused)] for row in (0, 1)]
    assert [[k for k, on in enumerate(row) if on] for row in taken] == [[5, 6, 7, 8, 9], [6]]


def test_an_unknown_sub_dimension_is_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"unknown identity sub-dimension tail; choose from .*eyes"
    ):
        source_weights(layout(), {"tail"})


def test_a_dimension_in_two_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="exactly one group"):
        Layout(identity={"eyes": (0, 1)}, attribute={"rest": tuple(range(1, 18))}, vector=2)


def test_z_id_and_z_att_split_what_is_packed() -> None:
    one = layout()
    z = numbered(one)
    assert sorted(one.z_id(z).unique().tolist()) == [5, 6, 7, 8, 9]
    assert one.z_id(z).shape[1] + one.z_att(z).shape[1] == one.length


def test_unit_energy_scales_numbers_of_a_mean_square_to_an_energy() -> None:
    numbers = torch.full((50,), 0.3) * unit_energy(0.09, 50, energy=0.25)
    assert numbers.square().sum().item() == pytest.approx(0.25)
