"""The promote and rollback stages on a real SQLite MLflow: whatever is in doubt is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from facegraft.adapters import registry, tracking
from facegraft.core.config import Params
from facegraft.core.progress import silent
from facegraft.core.project import Project
from facegraft.core.seal import seal
from facegraft.evaluation.promotion import Decision
from facegraft.method.checkpoint import CheckpointError, load_model, save_model
from facegraft.method.model import Model, ModelConfig
from facegraft.stages import promote as stage
from facegraft.stages.evaluate import BY_PAIR
from facegraft.stages.rollback import rollback
from tests import synthetic, tiny
from tests.live_servers import wait_for

METRIC = "model/psnr_changed"
PAIRS = "pairs-1"


@pytest.fixture
def params() -> Params:
    real = tiny.params()
    rules = {"metric": METRIC, "min_difference": 0.25, "min_values": {}, "max_values": {}}
    scratch = real.train.model_copy(update={"init": "scratch"})
    promoting = real.promote.model_copy(update=rules)
    return real.model_copy(update={"promote": promoting, "train": scratch})


@pytest.fixture
def project(tmp_path: Path, mlflow_template: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project = Project(tmp_path / "here")
    shutil.copytree(mlflow_template, project.mlruns)
    synthetic.dataset(project.data, size=32)
    return project


def trained(project: Project, seed: int, value: object, pairs: str = PAIRS) -> None:
    """What train and evaluate leave behind: an untrained model, figures made up."""
    torch.manual_seed(seed)
    model = Model(ModelConfig.from_params(tiny.train_params(), [tiny.faces()]))
    save_model(model.eval(), project.model)
    with tracking.open_run(project, run_name=f"train-{seed}") as run:
        write(project.model / "train.json", {"run_id": run.id, "steps": 1})
    measured(project, {METRIC: value, "pairs_hash": pairs})


def measured(project: Project, figures: dict[str, object]) -> None:
    sha256 = registry.fingerprint(project.model)
    by_pair = {BY_PAIR: {METRIC: [figures.get(METRIC)] * 3}}
    write(project.evaluation / "benchmark.json", seal(by_pair | figures, sha256))
    write(project.evaluation / "calibration.json", tiny.calibration().sealed(sha256))


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def promote(project: Project, params: Params) -> Decision:
    return stage.promote(project, params, silent)


def champion(project: Project) -> str | None:
    found = registry.champion(project)
    return None if found is None else found.version


def recorded(project: Project) -> dict[str, object]:
    return json.loads((project.promotion / "decision.json").read_text(encoding="utf-8"))


def test_the_first_model_becomes_champion_and_the_run_says_so(
    project: Project, params: Params
) -> None:
    trained(project, 1, 20.0)
    assert promote(project, params).promote
    assert champion(project) == "1"
    decision = recorded(project)
    assert decision["promoted"] is True
    assert (decision["champion_before"], decision["champion_now"]) == (None, "1")
    run = tracking.client(project).get_run(registry.get(project, "1").run_id)
    assert run.data.tags["gate"] == "promoted"
    assert decision["run_id"] == run.info.run_id


def test_a_better_model_takes_over_and_can_be_taken_back(project: Project, params: Params) -> None:
    trained(project, 1, 20.0)
    promote(project, params)
    trained(project, 2, 20.5)
    assert promote(project, params).promote
    assert champion(project) == "2"

    outcome = rollback(project, params, silent)
    assert (outcome.left, outcome.champion) == ("2", "1")
    assert champion(project) == "1"

    again = promote(project, params)
    assert not again.promote
    assert "rolled back" in again.reasons[0]
    assert champion(project) == "1"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "missing or not a finite"),
        (float("nan"), "missing or not a finite"),
        (float("inf"), "missing or not a finite"),
        ("21.0", "missing or not a finite"),
        (20.0, "must lie above"),
        (20.25, "must lie above"),
        (19.0, "must lie above"),
    ],
    ids=["null", "nan", "inf", "text", "tie", "within-the-margin", "worse"],
)
def test_doubt_does_not_promote(
    project: Project, params: Params, value: object, reason: str
) -> None:
    trained(project, 1, 20.0)
    promote(project, params)
    trained(project, 2, value)
    decision = promote(project, params)
    assert not decision.promote
    assert reason in decision.reasons[0]
    assert champion(project) == "1"
    assert recorded(project)["promoted"] is False
    assert registry.get(project, "challenger").version == "2"


def test_a_metric_that_is_not_there_does_not_promote(project: Project, params: Params) -> None:
    trained(project, 1, 20.0)
    measured(project, {"pairs_hash": PAIRS})
    assert not promote(project, params).promote
    assert champion(project) is None


def test_the_champion_again_changes_nothing(project: Project, params: Params) -> None:
    trained(project, 1, 20.0)
    promote(project, params)
    made = recorded(project)
    decision = promote(project, params)
    assert not decision.promote
    assert "champion already" in decision.reasons[0]
    assert champion(project) == "1"
    assert recorded(project) == made
    run = tracking.client(project).get_run(registry.get(project, "1").run_id)
    assert run.data.tags["gate"] == "promoted"


def test_a_decision_about_another_model_does_not_stand(project: Project, params: Params) -> None:
    trained(project, 1, 20.0)
    promote(project, params)
    trained(project, 2, 19.0)
    promote(project, params)
    trained(project, 1, 20.0)
    promote(project, params)
    assert recorded(project)["challenger"] == "1"
    assert "champion already" in recorded(project)["reasons"][0]


def test_figures_of_another_model_are_refused(project: Project, params: Params) -> None:
    trained(project, 1, 20.0)
    stale = (project.evaluation / "benchmark.json").read_text(encoding="utf-8")
    trained(project, 2, 0.0)
    (project.evaluation / "benchmark.json").write_text(stale, encoding="utf-8")
    with pytest.raises(stage.PromotionError, match=r"another model.*run evaluate"):
        promote(project, params)
    assert champion(project) is None


@pytest.mark.parametrize(
    ("remeasured", "promoted"), [(20.0, True), (21.0, False), (float("nan"), False)]
)
def test_a_champion_measured_on_other_pairs_is_measured_again(
    project: Project,
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
    remeasured: float,
    promoted: bool,
) -> None:
    trained(project, 1, 99.0, pairs="pairs-0")
    promote(project, params)
    trained(project, 2, 21.0)
    by_pair = {METRIC: [remeasured if remeasured == remeasured else None] * 3}
    figures = {METRIC: remeasured, "pairs_hash": PAIRS, BY_PAIR: by_pair}
    monkeypatch.setattr(stage, "measure", lambda *_: figures)
    assert promote(project, params).promote is promoted
    assert champion(project) == ("2" if promoted else "1")
    assert registry.get(project, "1").benchmark["pairs_hash"] == PAIRS


def test_an_exception_on_the_way_leaves_the_champion_and_no_decision(
    project: Project, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(project, 1, 20.0, pairs="pairs-0")
    promote(project, params)
    trained(project, 2, 30.0)

    def broken(*_: object) -> None:
        raise CheckpointError("broken")

    monkeypatch.setattr(stage, "measure", broken)
    with pytest.raises(CheckpointError):
        promote(project, params)
    assert champion(project) == "1"
    assert not (project.promotion / "decision.json").exists()


@pytest.mark.parametrize("kind", ["other picture", "target unchanged"])
def test_a_model_that_comes_back_wrong_is_not_promoted(
    project: Project, params: Params, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    trained(project, 1, 20.0)

    def wrong(source: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.zeros_like(target) if kind == "other picture" else target

    monkeypatch.setattr(registry, "load", lambda *_: wrong)
    if kind == "target unchanged":
        same = type("Same", (), {"predict": lambda self, pair: pair["target"]})
        monkeypatch.setattr(stage, "PyfuncModel", lambda model: same())
    decision = promote(project, params)
    assert not decision.promote
    assert champion(project) is None
    assert decision.reasons[0].startswith("version 1")


def test_storage_damaged_after_registration_does_not_promote(
    project: Project, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(project, 1, 20.0)
    real = registry.register

    def register(*arguments: object, **named: object) -> registry.Registered:
        registered = real(*arguments, **named)
        (stored,) = project.mlruns.rglob("data/model/model.safetensors")
        stored.write_bytes(b"damaged")
        return registered

    monkeypatch.setattr(registry, "register", register)
    with pytest.raises(registry.RegistryError, match="not those that were registered"):
        promote(project, params)
    assert champion(project) is None


def test_a_champion_for_pictures_of_another_size_is_not_compared(
    project: Project, params: Params
) -> None:
    trained(project, 1, 20.0, pairs="pairs-0")
    promote(project, params)
    synthetic.dataset(project.data, size=64)
    torch.manual_seed(2)
    model = Model(ModelConfig.from_params(tiny.train_params(), [tiny.faces(size=64)]))
    save_model(model.eval(), project.model)
    measured(project, {METRIC: 30.0, "pairs_hash": PAIRS})
    decision = promote(project, params)
    assert not decision.promote
    assert "another size" in decision.reasons[0]
    assert champion(project) == "1"


def test_a_champion_that_this_code_cannot_run_is_not_compared(
    project: Project, params: Params, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trained(project, 1, 20.0, pairs="pairs-0")
    promote(project, params)
    known, folder = registry.fetch(project, "1")
    older = tmp_path / "older"
    shutil.copytree(folder, older)
    config = json.loads((older / "model.json").read_text())
    write(older / "model.json", {**config, "coarse_slots": 4})
    monkeypatch.setattr(registry, "fetch", lambda *_: (known, older))
    trained(project, 2, 30.0)
    decision = promote(project, params)
    assert not decision.promote
    assert "cannot run it" in decision.reasons[0]
    assert champion(project) == "1"


def test_a_run_that_mlflow_lost_does_not_lose_the_model(project: Project, params: Params) -> None:
    trained(project, 1, 20.0)
    write(project.model / "train.json", {"run_id": "0" * 32, "steps": 1})
    assert promote(project, params).promote
    assert tracking.find_run(project, registry.get(project, "champion").run_id) is not None


def test_rollback_without_a_champion_names_the_mend(project: Project, params: Params) -> None:
    with pytest.raises(registry.RegistryError, match="no champion"):
        rollback(project, params, silent)


def base_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny weights in the place of the shipped ones, which take pictures of another size."""
    save_model(tiny.state(seed=9).ema, folder)
    monkeypatch.setattr(stage, "BASE", folder)
    monkeypatch.setattr(stage, "load_base", lambda: load_model(folder))


@pytest.mark.parametrize("floor", [-100.0, 100.0])
def test_the_base_weights_are_the_first_champion_if_the_gate_lets_them(
    project: Project,
    params: Params,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    floor: float,
) -> None:
    base_weights(tmp_path / "base", monkeypatch)
    bounds = {"model/psnr_changed_gain": floor}
    evaluate = params.evaluate.model_copy(update={"pairs": 3, "calibration_pairs": 20})
    promoting = params.promote.model_copy(update={"min_values": bounds})
    train = params.train.model_copy(update={"init": "base"})
    section = params.model_copy(update={"promote": promoting, "evaluate": evaluate, "train": train})
    trained(project, 1, 1.0)
    decision = promote(project, section)
    if floor < 0:
        held = registry.get(project, champion(project) or "")
        assert held.sha256 == registry.fingerprint(tmp_path / "base")
        assert tracking.client(project).get_run(held.run_id).info.run_name == "base"
        # What was trained is now judged against it, on the same pairs, and is not better.
        assert "must lie above" in " ".join(decision.reasons)
    else:
        assert champion(project) is None


def test_base_weights_that_swap_otherwise_when_loaded_back_are_no_champion(
    project: Project, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base_weights(tmp_path / "base", monkeypatch)
    monkeypatch.setattr(stage, "_smoke", lambda *_: ("does not swap as the trained model does",))
    evaluate = params.evaluate.model_copy(update={"pairs": 3, "calibration_pairs": 20})
    train = params.train.model_copy(update={"init": "base"})
    trained(project, 1, 99.0)
    promote(project, params.model_copy(update={"evaluate": evaluate, "train": train}))
    assert champion(project) is None


def test_a_calibration_edited_by_hand_or_of_another_model_is_refused(
    project: Project, params: Params
) -> None:
    of_another = tiny.calibration().sealed("0" * 64)
    trained(project, 1, 20.0)
    refuses_what_was_changed(project, params, "calibration.json", ("0.1", "0.8"), of_another)


def test_figures_edited_by_hand_or_of_another_model_are_refused(
    project: Project, params: Params
) -> None:
    of_another = seal({METRIC: 20.0, "pairs_hash": PAIRS}, "0" * 64)
    trained(project, 1, 20.0)
    refuses_what_was_changed(project, params, "benchmark.json", ("20.0", "99.0"), of_another)


def refuses_what_was_changed(
    project: Project, params: Params, name: str, edit: tuple[str, str], of_another: object
) -> None:
    path = project.evaluation / name
    own = path.read_text(encoding="utf-8")
    for text in (own.replace(*edit), json.dumps(of_another), json.dumps({"pairs": 20})):
        assert text != own
        path.write_text(text, encoding="utf-8")
        with pytest.raises(stage.PromotionError, match=rf"{name} .*; run evaluate$"):
            promote(project, params)
    assert champion(project) is None
    path.write_text(own, encoding="utf-8")
    assert promote(project, params).promote


def test_a_champion_whose_figures_were_changed_is_measured_again(
    project: Project, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(project, 1, 20.0)
    promote(project, params)
    edited = json.dumps({METRIC: 99.0, "pairs_hash": PAIRS})
    tracking.client(project).set_model_version_tag(registry.NAME, "1", "benchmark", edited)
    again = {METRIC: 20.0, "pairs_hash": PAIRS, BY_PAIR: {METRIC: [20.0] * 3}}
    monkeypatch.setattr(stage, "measure", lambda *_: again)
    trained(project, 2, 21.0)
    assert promote(project, params).promote


HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another_process(lock: Path) -> Iterator[subprocess.Popen[str]]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", HOLDER, str(lock)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_promotion_and_rollback_wait_until_the_other_ends_or_is_killed(
    project: Project, params: Params
) -> None:
    def waits(run: Callable[..., object]) -> object:
        """Its outcome; it begins while another process works and goes on when that is killed."""
        told: list[str] = []
        before = champion(project)
        lock = project.mlruns / "registry.lock"
        with ThreadPoolExecutor(1) as pool, held_by_another_process(lock) as other:
            done = pool.submit(run, project, params, lambda *said: told.append(said[2]))
            wait_for(lambda: any("waiting" in line for line in told) or done.done(), 60.0)
            assert "another promotion or rollback is at work" in told[-1]
            assert champion(project) == before
            other.kill()
            return done.result(120)

    for seed in (1, 2):
        trained(project, seed, 20.0 + seed)
        assert waits(stage.promote).promote
    assert waits(rollback).champion == "1"


def test_two_promotions_at_once_make_one_version_and_no_way_back_to_itself(
    project: Project, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(project, 1, 20.0)
    real, meet = registry._store, threading.Barrier(2)

    def store(*arguments: object) -> str:
        """Both have looked for the model's version and found none, if both can come here."""
        with suppress(threading.BrokenBarrierError):
            meet.wait(2.0)
        return real(*arguments)

    monkeypatch.setattr(registry, "_store", store)
    with ThreadPoolExecutor(2) as pool:
        decisions = [pool.submit(promote, project, params) for _ in range(2)]
        assert sorted(one.result(120).promote for one in decisions) == [False, True]
    assert len(registry._versions(project)) == 1
    with pytest.raises(registry.RegistryError, match="first champion"):
        rollback(project, params, silent)
