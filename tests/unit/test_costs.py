"""What a swap costs, counted and timed."""

from __future__ import annotations

import torch
from torch import nn

from facegraft.data.batches import grid_faces
from facegraft.evaluation.costs import costs, counter
from facegraft.method.unwrap import plane_weights
from tests import tiny


def test_parameters_and_operations_are_those_of_the_model() -> None:
    model = tiny.state().ema.eval().requires_grad_(False)
    face = grid_faces(tiny.faces(), [(0, 0)])
    found = costs(model, face, face)
    assert found.parameters_encoder == sum(p.numel() for p in model.encoder.parameters())
    assert found.parameters_decoder == sum(p.numel() for p in model.decoder.parameters())
    first = next(m for m in model.encoder.modules() if isinstance(m, nn.Conv2d))
    assert found.flops > 2 * first.weight.numel()
    assert not {id(p) for p in model.encoder.parameters()} & {
        id(p) for p in model.decoder.parameters()
    }, "the mean face is counted twice"
    assert found.seconds > 0
    again = costs(model, face, face)
    assert (again.flops, again.threads) == (found.flops, torch.get_num_threads())


def test_a_sparse_matrix_counts_by_what_it_holds() -> None:
    weights = plane_weights(torch.device("cpu"), torch.float32)
    with counter() as counted:
        weights @ torch.ones(weights.shape[1], 7)
        torch.ones(3, 5) @ torch.ones(5, 2)
    assert counted.get_total_flops() == 2 * 7 * weights.values().numel() + 2 * 3 * 5 * 2
