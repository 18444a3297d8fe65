"""M1-M4: 18 latents, the split, the 1/0 weights, the fusion."""

from __future__ import annotations

import pytest
import torch

from facegraft.latents import Layout, fuse, select, source_weights
from facegraft.model import ModelConfig
from tests import tiny


def layout(vector_only: bool = False) -> Layout:
    section = tiny.train_params(vector_only=vector_only)
    return ModelConfig.from_params(section, [tiny.faces()]).layout()


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
    one = layout(vector_only=True)
    assert one.shapes == ((8,),) * 18
    assert layout().spatial_dimensions == (0, 1, 17)


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


def test_an_unknown_sub_dimension_is_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"unknown identity sub-dimension tail; choose from .*eyes"
    ):
        source_weights(layout(), {"tail"})


def test_a_dimension_in_two_groups_is_refused() -> None:
    one = layout()
    with pytest.raises(ValueError, match="exactly one group"):
        Layout(
            identity={"eyes": (0, 1)}, attribute={"rest": tuple(range(1, 18))}, shapes=one.shapes
        )


def test_z_id_and_z_att_split_what_is_packed() -> None:
    one = layout()
    z = numbered(one)
    assert sorted(one.z_id(z).unique().tolist()) == [5, 6, 7, 8, 9]
    assert one.z_id(z).shape[1] + one.z_att(z).shape[1] == one.length
