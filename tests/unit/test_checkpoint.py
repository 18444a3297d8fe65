"""Model folders: whole, safe, and clear when they are not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facegraft.data.batches import grid_faces
from facegraft.method.checkpoint import CheckpointError, load_model, read_json, save_model
from facegraft.method.model import Model, ModelConfig, UnknownSize
from facegraft.training.state_file import continue_from
from tests import tiny


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    model = tiny.state().ema
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    source, target = (grid_faces(tiny.faces(), [cell]) for cell in ((0, 0), (1, 1)))
    assert loaded.config == model.config
    assert torch.equal(loaded.swap(source, target).image, model.swap(source, target).image)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_weights_are_safetensors_not_pickle(tmp_path: Path) -> None:
    save_model(tiny.state().ema, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    head = (tmp_path / "model.safetensors").read_bytes()[:9]
    assert head[8:9] == b"{"  # eight bytes of length, then JSON


def test_missing_and_damaged_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.json: not found; train first"):
        load_model(tmp_path)
    save_model(tiny.state().ema, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(CheckpointError, match="unusable model"):
        load_model(tmp_path)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    save_model(tiny.state().ema, tmp_path / "one")
    save_model(tiny.state(latent_dim=16).ema, tmp_path / "other")
    (tmp_path / "other" / "model.json").replace(tmp_path / "one" / "model.json")
    with pytest.raises(CheckpointError, match="unusable model"):
        load_model(tmp_path / "one")


def test_a_model_saved_with_another_layout_keeps_it(tmp_path: Path) -> None:
    config = tiny.state(vector_only=True).ema.config
    attribute = {**config.attribute, "hair": (13,), "beard": (14,)}
    older = Model(config.model_copy(update={"attribute": attribute})).eval()
    save_model(older, tmp_path)
    assert load_model(tmp_path).layout.names[14] == "beard"
    with pytest.raises(CheckpointError, match=r"made with attribute .*beard.* instead of"):
        continue_from(tiny.state(vector_only=True), load_model(tmp_path), tmp_path)


def test_a_size_that_no_model_takes_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnknownSize, match="train-000 has pictures of 48 px; a model takes 32, 64"):
        ModelConfig.from_params(tiny.train_params(), [tiny.faces(size=48)])
    save_model(tiny.state().ema, tmp_path)
    path = tmp_path / "model.json"
    path.write_text(path.read_text().replace('"size": 32', '"size": 48'))
    with pytest.raises(CheckpointError, match="Input should be 32, 64, 128 or 256") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_json_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(CheckpointError, match="not found; run the stage"):
        read_json(path)
    path.write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        read_json(path)
    path.write_text("[1]")
    with pytest.raises(CheckpointError, match="no JSON object"):
        read_json(path)
