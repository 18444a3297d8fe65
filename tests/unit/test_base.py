"""The shipped weights: checked when loaded, made by a recipe, replaced only by better ones."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from facegraft.adapters import orl
from facegraft.adapters.albums import load_people
from facegraft.adapters.store import SPLITS
from facegraft.core.config import Params
from facegraft.core.progress import silent
from facegraft.core.project import Project
from facegraft.data.batches import grid_faces
from facegraft.method.base_model import BASE, load_base
from facegraft.method.checkpoint import CheckpointError, load_model, save_model
from facegraft.method.latents import ATTRIBUTE, IDENTITY
from facegraft.stages import base as stage
from facegraft.stages.base_training import base_params
from facegraft.stages.rendering import render_dataset
from facegraft.training.state_file import continue_from, halve_heads, save_heads
from tests import synthetic, tiny

LARGEST = 16 * 2**20


def test_the_shipped_weights_load_and_fit_the_default_params() -> None:
    model, params = load_base(), tiny.params()
    assert model.config.size == params.data.size
    assert model.config.identity == dict(IDENTITY)
    assert model.config.attribute == dict(ATTRIBUTE)
    assert sum(path.stat().st_size for path in BASE.glob("*.safetensors")) <= LARGEST
    assert {tensor.dtype for tensor in load_file(BASE / "model.safetensors").values()} <= {
        torch.float16,
        torch.int64,
    }
    grid = tiny.faces(size=128)
    source, target = (grid_faces(grid, [cell]) for cell in ((0, 0), (1, 1)))
    assert torch.isfinite(model.swap(source, target).image).all()


def test_weights_that_are_not_the_cards_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(BASE, folder)
    torch.manual_seed(1)
    save_model(load_model(BASE), folder)  # the same weights in full precision: other bytes
    with pytest.raises(CheckpointError, match=r"not the weights that card\.json names"):
        load_base(folder)
    (folder / "card.json").unlink()
    with pytest.raises(CheckpointError, match=r"card\.json: not found; install"):
        load_base(folder)


def test_training_goes_on_from_a_model_and_its_teachers(tmp_path: Path) -> None:
    before = tiny.state(seed=1)
    save_model(before.ema, tmp_path)
    save_heads(before.heads, tmp_path)
    halve_heads(tmp_path, tmp_path)
    state = tiny.state(seed=2)
    continue_from(state, load_model(tmp_path), tmp_path)
    for mine, theirs in ((state.model, before.ema), (state.ema, before.ema)):
        for name, tensor in theirs.state_dict().items():
            assert torch.equal(mine.state_dict()[name], tensor), name
    for name, tensor in before.heads.state_dict().items():
        torch.testing.assert_close(state.heads.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)


def test_a_model_of_other_params_is_refused_by_name(tmp_path: Path) -> None:
    save_model(tiny.state().ema, tmp_path)
    with pytest.raises(CheckpointError, match="latent_dim 8 instead of 16"):
        continue_from(tiny.state(latent_dim=16), load_model(tmp_path), tmp_path)


def test_a_model_of_another_design_is_refused_by_name(tmp_path: Path) -> None:
    save_model(tiny.state(vector_only=True).ema, tmp_path)
    with pytest.raises(CheckpointError, match="vector_only True instead of False"):
        continue_from(tiny.state(), load_model(tmp_path), tmp_path)


def test_the_recipe_is_the_params_with_the_base_section_laid_over() -> None:
    params = tiny.params()
    recipe = base_params(params)
    assert recipe.data.grids == params.base.grids
    assert recipe.data.grids.test == params.data.grids.test
    assert (recipe.train.init, recipe.train.steps) == (params.base.init, params.base.steps)
    assert recipe.train.weights == params.train.weights


@pytest.fixture
def own(tmp_path: Path) -> Project:
    """What a finished training leaves behind, for a tiny model on drawn faces."""
    project = Project(tmp_path / "own")
    synthetic.dataset(project.data, size=32, rows=4, columns=3)
    state = tiny.state()
    save_model(state.ema, project.model)
    save_heads(state.heads, project.model)
    (project.model / "data_summary.json").write_text("{}\n", encoding="utf-8")
    (project.model / "train.json").write_text('{"steps": 4}\n', encoding="utf-8")
    return project


def rules(metric: str) -> Params:
    params = tiny.params()
    gate = {"metric": metric, "min_values": {}, "max_values": {}}
    evaluate = params.evaluate.model_copy(update={"pairs": 3})
    promote = params.promote.model_copy(update=gate)
    return params.model_copy(update={"promote": promote, "evaluate": evaluate})


def test_weights_that_this_code_cannot_run_are_replaced_without_a_comparison(
    own: Project, tmp_path: Path
) -> None:
    folder, params, told = tmp_path / "weights", rules("model/psnr_changed"), []
    assert stage.ship(own, params, folder, silent).promote
    config = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**config, "coarse_slots": 4}))
    decision = stage.ship(own, params, folder, lambda *step: told.append(step[2]))
    assert decision.promote
    assert any("no comparison with what is shipped now" in line for line in told)
    assert load_model(folder).config == load_model(own.model).config


def test_weights_are_shipped_with_their_card_and_a_tie_replaces_nothing(
    own: Project, tmp_path: Path
) -> None:
    folder, params = tmp_path / "weights", rules("model/psnr_changed")
    assert stage.ship(own, params, folder, silent).promote
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert load_base(folder).config.size == 32
    assert len(card["history"]) == 1
    assert card["figures"]["model/psnr_changed"] > 0
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "| psnr_changed ↑ |" in text
    assert (folder / "pairs.jpg").stat().st_size > 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = stage.ship(own, params, folder, silent)
    assert not again.promote
    assert "must lie above +0" in again.reasons[0]
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_recipe_imports_the_first_people_and_keeps_the_others_for_measuring(
    own: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orl, "LEARNT_FROM", 2)
    stage.import_photographs(own, tiny.params(), silent)
    people = [person for split in SPLITS for person in load_people(own.data, split, 128)]
    assert {person.identity_id for person in people} == {"orl/s1", "orl/s2"}
    assert sum(len(person.images) for person in people) == 20


def test_nothing_is_shipped_where_the_figure_is_missing(own: Project, tmp_path: Path) -> None:
    decision = stage.ship(own, rules("model/no_such_figure"), tmp_path / "weights", silent)
    assert not decision.promote
    assert not (tmp_path / "weights").exists()


def test_better_pairs_alone_ship_nothing_where_photographs_were_not_measured(
    own: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 32 px the judge finds no face in a photograph."""
    monkeypatch.setattr(stage, "PHOTOGRAPH_PAIRS", 2)
    folder, params = tmp_path / "weights", rules("model/psnr_changed")
    good, spoilt = load_model(own.model), load_model(own.model)
    torch.nn.init.constant_(spoilt.decoder.unet.tone.bias, 1.0)  # much too bright
    save_model(spoilt, own.model)
    assert stage.ship(own, params, folder, silent).promote
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    save_model(good, own.model)
    refused = stage.ship(own, params, folder, silent)
    assert not refused.promote
    unmeasured = f"challenger {stage.PHOTOGRAPHS_METRIC} is missing or not a finite number"
    assert refused.reasons == (unmeasured,)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_worse_with_photographs_is_not_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rendered pairs cannot say so: a recipe gained .18 dB on them and lost photographs."""
    monkeypatch.setattr(stage, "PHOTOGRAPH_PAIRS", 4)
    own, params = Project(tmp_path / "own"), tiny.params()
    few = {
        "mixes": 0,
        "grids": {"train": 1, "validation": 1, "test": 1},
        "identities": 3,
        "attributes": 2,
    }
    render_dataset(own.data, params.data.model_validate(params.data.model_dump() | few), silent, 1)
    shipped, without_source = load_base(), load_base()
    torch.nn.init.constant_(without_source.decoder.unet.share.bias, -30.0)
    gate = partial(stage._photographs_gate, own, params)
    assert gate(shipped, shipped, silent).promote
    refused = gate(without_source, shipped, silent)
    assert not refused.promote
    assert "photographs_similarity_source" in refused.reasons[0]
    monkeypatch.setattr(orl, "photograph", lambda *_: None)  # the package is not installed
    assert "missing" in gate(shipped, shipped, silent).reasons[0]
