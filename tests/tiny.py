"""A model small enough for tests, and the params that ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from facegraft.core.config import Params, TrainParams
from facegraft.core.params_file import load_params
from facegraft.data.grids import Grid
from facegraft.method.calibration import Calibration, Separation
from facegraft.method.model import ModelConfig
from facegraft.training.state import TrainState, init_state
from tests.synthetic import grid

ROOT = Path(__file__).parents[1]


def params() -> Params:
    """The repository's own params.yaml."""
    return load_params(ROOT / "params.yaml")


def train_params(**changes: object) -> TrainParams:
    """params.train, narrow and short."""
    small = {
        "init": "scratch",
        "channels": 4,
        "decoder_channels": 4,
        "latent_dim": 8,
        "steps": 4,
        "teach_steps": 1,
        "warmup_steps": 1,
        "batch_grids": 1,
        "batch_identities": 3,
        "batch_attributes": 2,
        "batch_pairs": 3,
        "batch_regions": 1,
    }
    return TrainParams.model_validate({**params().train.model_dump(), **small, **changes})


def faces(name: str = "train-000", **options: int) -> Grid:
    """A synthetic grid of 32 px whose codes have named groups."""
    drawn = grid(name, **{"rows": 4, "columns": 3, "size": 32, **options})
    return replace(
        drawn,
        identity_groups={"eyes": (0, 2), "nose": (2, 6)},
        attribute_groups={"pose": (0, 3), "whim": (3, 4)},
    )


def state(**changes: object) -> TrainState:
    """A fresh training state on `faces()`."""
    section = train_params(**changes)
    face_grid = faces()
    return init_state(section, ModelConfig.from_params(section, [face_grid]), face_grid)


@contextmanager
def float64() -> Iterator[None]:
    """States made in here compute in float64, where no processor's rounding shows in a figure."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def calibration(same: float = 0.1) -> Calibration:
    """Losses that tell same from different."""
    separation = Separation(same=same, different=0.9, auc=0.99)
    return Calibration(identity_loss=separation, attribute_loss=separation, pairs=20)
