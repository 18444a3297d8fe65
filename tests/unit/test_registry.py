"""The registry on a real SQLite MLflow, with real (tiny, untrained) models."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from facegraft.adapters import registry, tracking
from facegraft.adapters.stored_version import files_fingerprint
from facegraft.core.project import Project
from facegraft.method.checkpoint import load_model, save_model
from facegraft.method.latents import NUM_LATENTS
from facegraft.method.model import Model, ModelConfig
from tests import tiny

SIZE = 32


@pytest.fixture
def project(tmp_path: Path, mlflow_template: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(mlflow_template, tmp_path / "here" / "mlruns")
    return Project(tmp_path / "here")


def model_folder(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    config = ModelConfig(
        size=SIZE,
        channels=8,
        decoder_channels=8,
        latent_dim=8,
        identity={"eyes": (0,)},
        attribute={
            "expression": (1,),
            "points": (2,),
            "texture": (3,),
            "rest": tuple(range(4, NUM_LATENTS)),
        },
        vector_only=False,
        canonical=((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.4, 0.8), (0.6, 0.8)),
    )
    save_model(Model(config), folder)
    return folder


def register(project: Project, seed: int, **benchmark: float) -> registry.Registered:
    folder = model_folder(project.root / f"model-{seed}", seed)
    with tracking.open_run(project, run_name=f"train-{seed}") as run:
        return registry.register(
            project,
            folder,
            run,
            size=SIZE,
            benchmark=benchmark,
            calibration=tiny.calibration(),
            tags={"git_sha": "abc"},
        )


def test_a_registered_model_is_challenger_and_not_champion(project: Project) -> None:
    registered = register(project, 1, psnr=20.5)
    assert registered.version == "1"
    assert registered.benchmark == {"psnr": 20.5}
    assert registered.calibration == tiny.calibration().sealed(registered.sha256)
    assert registry.get(project, "challenger") == registered
    assert registry.champion(project) is None


def test_without_a_champion_the_mend_is_named(project: Project) -> None:
    with pytest.raises(registry.RegistryError, match=r"no champion .*facegraft promote"):
        registry.fetch(project)


def test_an_unknown_version_is_refused(project: Project) -> None:
    register(project, 1)
    with pytest.raises(registry.RegistryError, match=r"no facegraft version '7'.*one of 1"):
        registry.get(project, "7")


def test_the_same_files_are_the_same_version(project: Project) -> None:
    register(project, 1, psnr=20.0)
    again = register(project, 1, psnr=21.0)
    assert again.version == "1"
    assert again.benchmark == {"psnr": 21.0}
    assert register(project, 2).version == "2"


def test_what_is_fetched_is_what_was_registered(project: Project) -> None:
    register(project, 1)
    _, folder = registry.fetch(project, "challenger")
    assert folder.is_relative_to(project.build / "registry" / "1")
    assert registry.fingerprint(folder) == registry.fingerprint(project.root / "model-1")
    kept = load_model(folder).state_dict()
    for name, tensor in load_model(project.root / "model-1").state_dict().items():
        assert torch.equal(kept[name], tensor)


def test_a_damaged_copy_is_fetched_anew(project: Project) -> None:
    register(project, 1)
    _, folder = registry.fetch(project, "1")
    (folder / "model.safetensors").write_bytes(b"damaged")
    _, again = registry.fetch(project, "1")
    assert registry.fingerprint(again) == registry.fingerprint(project.root / "model-1")


def test_damaged_storage_is_refused(project: Project) -> None:
    register(project, 1)
    (stored,) = project.mlruns.rglob("data/model/model.safetensors")
    stored.write_bytes(b"damaged")
    with pytest.raises(registry.RegistryError, match="not those that were registered"):
        registry.fetch(project, "1")
    assert not (project.build / "registry" / "1").exists()


def test_mlflow_loads_it_with_pickle_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    register(project, 1)
    _, folder = registry.fetch(project, "1")
    stored = folder.parents[1]
    assert not [p for p in stored.rglob("*") if p.suffix in {".pkl", ".pickle", ".pt", ".pth"}]
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, 256, (2, 2, SIZE, SIZE, 3), dtype=np.uint8)
    swapped = registry.load(project, "1")(source, target)
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert swapped.shape == (2, SIZE, SIZE, 3)
    assert swapped.dtype == np.uint8


def test_promotion_and_the_way_back(project: Project) -> None:
    first, second, third = (register(project, seed) for seed in (1, 2, 3))
    for version in (first, second, third):
        registry.promote(project, version.version)
    assert registry.get(project, "champion").version == third.version
    with pytest.raises(registry.RegistryError, match="challenger"):
        registry.get(project, "challenger")

    left, now = registry.rollback(project)
    assert (left.version, now.version) == (third.version, second.version)
    assert registry.get(project, third.version).rolled_back
    assert registry.get(project, "champion").version == second.version

    assert registry.rollback(project)[1].version == first.version
    with pytest.raises(registry.RegistryError, match="first champion"):
        registry.rollback(project)


def test_promoting_the_champion_again_keeps_the_way_back(project: Project) -> None:
    first, second = register(project, 1), register(project, 2)
    registry.promote(project, first.version)
    registry.promote(project, second.version)
    registry.promote(project, second.version)
    assert registry.rollback(project)[1].version == first.version


def test_registering_the_champion_again_makes_no_challenger(project: Project) -> None:
    registry.promote(project, register(project, 1).version)
    register(project, 1)
    with pytest.raises(registry.RegistryError, match="challenger"):
        registry.get(project, "challenger")


def test_there_is_no_way_back_to_damaged_files(project: Project) -> None:
    for seed in (1, 2):
        registry.promote(project, register(project, seed).version)
    for stored in project.mlruns.rglob("data/model/model.safetensors"):
        stored.write_bytes(b"damaged")
    with pytest.raises(registry.RegistryError, match="not those that were registered"):
        registry.rollback(project)
    assert registry.get(project, "champion").version == "2"


def test_a_folder_without_a_model_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(registry.RegistryError, match="run train first"):
        registry.fingerprint(tmp_path)


def stored_version(project: Project, version: str) -> Path:
    """The folder in which MLflow keeps it; a copy that was fetched before is forgotten."""
    shutil.rmtree(project.build / "registry", ignore_errors=True)
    source = tracking.client(project).get_model_version_download_uri(registry.NAME, version)
    return tracking.artifact_folder(project) / source.partition(":/")[2]


def test_versions_of_one_run_keep_their_own_files(project: Project) -> None:
    with tracking.open_run(project, run_name="train") as run:
        for seed in (1, 2):
            folder = model_folder(project.root / f"model-{seed}", seed)
            run.log_artifact(folder, "model")  # as training does
            registry.register(
                project,
                folder,
                run,
                size=SIZE,
                benchmark={},
                calibration=tiny.calibration(),
                tags={},
            )
            registry.promote(project, str(seed))
    for version in ("1", "2"):
        found, folder = registry.fetch(project, version)
        assert registry.fingerprint(folder) == found.sha256
    assert registry.rollback(project)[1].version == "1"


def test_every_file_of_a_stored_version_is_in_its_hash(project: Project) -> None:
    register(project, 1)
    stored = stored_version(project, "1")
    files = sorted(path for path in stored.rglob("*") if path.is_file())
    assert {"MLmodel", "requirements.txt", "model.json"} <= {path.name for path in files}
    for path in [*files, stored / "data" / "more.py"]:
        before = path.read_bytes() if path.exists() else None
        path.write_bytes((before or b"") + b"\n")
        with pytest.raises(registry.RegistryError, match="not those that were registered"):
            registry.fetch(project, "1")
        path.unlink() if before is None else path.write_bytes(before)
    (stored / "requirements.txt").unlink()
    with pytest.raises(registry.RegistryError, match="not those that were registered"):
        registry.fetch(project, "1")


def test_a_copy_that_was_changed_in_any_file_is_fetched_anew(project: Project) -> None:
    register(project, 1)
    _, folder = registry.fetch(project, "1")
    described = folder.parents[1] / "MLmodel"
    whole = described.read_bytes()
    described.write_bytes(whole.replace(b"facegraft.adapters.pyfunc", b"elsewhere"))
    registry.fetch(project, "1")
    assert described.read_bytes() == whole


def test_two_fetches_at_once_download_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(project, 1)
    real, meet, downloads = registry._download, threading.Barrier(2), []

    def download(*arguments: object) -> None:
        """Both have looked for a copy and found none, if both can come here."""
        downloads.append(arguments)
        with suppress(threading.BrokenBarrierError):
            meet.wait(1.0)
        real(*arguments)

    monkeypatch.setattr(registry, "_download", download)
    with ThreadPoolExecutor(2) as pool:
        folders = [pool.submit(registry.fetch, project, "1") for _ in range(2)]
        assert len({one.result(60)[1] for one in folders}) == 1
    assert len(downloads) == 1


def test_another_loader_is_not_imported_even_where_the_hash_was_changed_too(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(project, 1)
    stored = stored_version(project, "1")
    own = yaml.safe_load((stored / "MLmodel").read_text())
    (tmp_path / "intruder.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    flavor = own["flavors"]["python_function"]
    described = [
        {"python_function": {**flavor, "loader_module": "intruder"}},
        {"python_function": {**flavor, "code": "code"}},
        {"python_function": {**flavor, "data": "../elsewhere"}},
        {"python_function": {**flavor, "model_code_path": "intruder.py"}},
        {"python_function": flavor, "sklearn": {"pickled_model": "model.pkl"}},
        {},
        None,
    ]
    for flavors in described:
        text = yaml.safe_dump({**own, "flavors": flavors})
        (stored / "MLmodel").write_text(text, encoding="utf-8")
        tracking.client(project).set_model_version_tag(
            registry.NAME, "1", "files_sha256", files_fingerprint(stored)
        )
        with pytest.raises(registry.RegistryError, match=r"another loader|no MLmodel file"):
            registry.load(project, "1")
    assert "intruder" not in sys.modules


def test_a_calibration_that_was_changed_in_the_registry_is_refused(project: Project) -> None:
    registered, other = register(project, 1), register(project, 2)
    eased = {**registered.calibration, "identity_loss": {"same": 9.0, "different": 10, "auc": 1}}
    changed = [json.dumps(one) for one in (eased, other.calibration, {}, [1], "a text", None)]
    for text in (*changed, changed[0][:-9], "edited", ""):
        tracking.client(project).set_model_version_tag(registry.NAME, "1", "calibration", text)
        with pytest.raises(
            registry.RegistryError, match=r"^version 1: the calib.*evaluate"
        ) as told:
            registry.fetch(project, "1")
        assert "\n" not in str(told.value)
    register(project, 1)
    again = registry.fetch(project, "1")[0]
    assert again == registered
    assert registry.calibration_of(again) == tiny.calibration()


def test_figures_that_were_changed_in_the_registry_are_not_known(project: Project) -> None:
    def stored() -> str:
        found = tracking.client(project).get_model_version(registry.NAME, "1")
        return found.tags["benchmark"]

    register(project, 1, psnr=20.5)
    register(project, 2, psnr=30.5)
    whole = stored()
    for text in (whole.replace("20.5", "90.5"), "[20.5]", whole[:-3], "edited"):
        tracking.client(project).set_model_version_tag(registry.NAME, "1", "benchmark", text)
        assert registry.get(project, "1").benchmark == {}
    registry.remeasured(project, "1", {"psnr": 20.5})
    assert stored() == whole
    assert registry.get(project, "1").benchmark == {"psnr": 20.5}


def test_a_version_without_a_hash_of_all_files_is_registered_anew(project: Project) -> None:
    register(project, 1)
    tracking.client(project).delete_model_version_tag(registry.NAME, "1", "files_sha256")
    with pytest.raises(registry.RegistryError, match="earlier facegraft"):
        registry.fetch(project, "1")
    assert register(project, 1).version == "2"
    registry.fetch(project, "2")
