"""Training from a model of one's own, with the real stage on a real project."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file

from facegraft.core.params_file import load_params
from facegraft.core.progress import silent
from facegraft.core.project import Project
from facegraft.method.checkpoint import CheckpointError
from facegraft.stages.train import train

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_training_starts_from_a_model_folder_and_refuses_one_of_other_params(
    copy_project: Project,
) -> None:
    shutil.copytree(copy_project.model, copy_project.root / "mine")
    shutil.rmtree(copy_project.checkpoints)
    params = load_params(copy_project.params)
    section = params.train.model_copy(update={"init": "mine", "steps": 1, "learning_rate": 1e-9})
    train(copy_project, params.model_copy(update={"train": section}), silent)
    before, after = (
        load_file(folder / "model.safetensors")
        for folder in (copy_project.root / "mine", copy_project.model)
    )
    weights = [k for k in before if "running" not in k and "batches" not in k]
    assert all(torch.allclose(before[k], after[k], atol=1e-4) for k in weights)
    other = section.model_copy(update={"latent_dim": 16})
    with pytest.raises(CheckpointError, match="latent_dim 8 instead of 16"):
        train(copy_project, params.model_copy(update={"train": other}), silent)
