"""What training changes: model, its moving average, parameter heads, optimiser and step."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from facegraft.core import ranks
from facegraft.core.config import TrainParams
from facegraft.data.grids import Grid
from facegraft.method.model import Model, ModelConfig
from facegraft.training.parameter_heads import ParameterHeads

WIDTH = 256
"""Inputs of a linear layer up to which it learns at the full rate."""


@dataclass
class TrainState:
    """Everything that training changes; `state_file` stores and restores it bit for bit."""

    model: Model
    ema: Model
    heads: ParameterHeads
    optimizer: torch.optim.Optimizer
    step: int


def init_state(
    params: TrainParams,
    config: ModelConfig,
    grid: Grid,
    device: torch.device | None = None,
) -> TrainState:
    """A fresh state, a pure function of params.seed; `grid` tells the codes' groups.

    It is drawn on the CPU, so that it is the same on any device.
    """
    torch.manual_seed(params.seed)
    model = Model(config)
    heads = ParameterHeads(model.layout.bare, grid.identity_groups, grid.attribute_groups)
    for part in (model, heads):
        part.to(device or "cpu")
    ranks.normalise_together(model)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, heads),
        lr=params.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=params.weight_decay,
        foreach=True,
    )
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    return TrainState(model=model, ema=ema, heads=heads, optimizer=optimizer, step=0)


def parameter_groups(*modules: nn.Module) -> list[dict[str, Any]]:
    """Parameters by the scale of their learning rate.

    Adam moves every weight alike, so a wide linear layer's output moves with its width: such a
    layer learns at WIDTH / its inputs of the rate (maximal update, Yang & Hu 2021).
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for module in modules:
        for part in module.modules():
            inputs = part.in_features if isinstance(part, nn.Linear) else 1
            for parameter in part.parameters(recurse=False):
                scale = min(1.0, WIDTH / inputs) if parameter.ndim > 1 else 1.0
                groups.setdefault(scale, []).append(parameter)
    return [{"params": members, "scale": scale} for scale, members in sorted(groups.items())]


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights and statistics a step towards the trained ones."""
    for averaged, current in zip(
        ema.state_dict().values(), model.state_dict().values(), strict=True
    ):
        if averaged.is_floating_point():
            averaged.lerp_(current, 1.0 - decay)
        else:
            averaged.copy_(current)
