"""Which device and precision are chosen, and that a step never mixes devices.

No GPU is needed: the choice is a function of what a machine offers, and torch's device "meta",
which computes shapes alone, refuses an operation on tensors of two devices as a GPU would.
"""

from __future__ import annotations

import math

import pytest
import torch

from facegraft.batches import draw_batch
from facegraft.device import DeviceError, Machine, choose_device, choose_precision, device_for
from facegraft.model import ModelConfig
from facegraft.training import TrainState, follow, init_state, step_losses, train
from tests import tiny

NONE = Machine(gpus=0, bfloat16=False)
OLD = Machine(gpus=1, bfloat16=False)
TWO = Machine(gpus=2, bfloat16=True)
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
ELSEWHERE = torch.device("meta")


@pytest.mark.parametrize(
    ("wanted", "machine", "place", "device"),
    [
        ("auto", NONE, 0, CPU),
        ("auto", NONE, 1, CPU),
        ("cpu", TWO, 0, CPU),
        ("auto", TWO, 0, GPU),
        ("cuda", TWO, 1, torch.device("cuda", 1)),
    ],
)
def test_the_device(wanted: str, machine: Machine, place: int, device: torch.device) -> None:
    assert choose_device(wanted, machine, place) == device


def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(DeviceError, match=r"train\.device is cuda, .* set train\.device: auto"):
        choose_device("cuda", NONE)
    for wanted in ("auto", "cuda"):
        with pytest.raises(DeviceError, match="process 2 of this machine finds 2 GPUs"):
            choose_device(wanted, TWO, place=2)


@pytest.mark.parametrize(
    ("wanted", "device", "machine", "precision"),
    [
        ("auto", CPU, NONE, torch.float32),
        ("auto", CPU, TWO, torch.float32),
        ("auto", GPU, OLD, torch.float32),
        ("auto", GPU, TWO, torch.bfloat16),
        ("float32", GPU, TWO, torch.float32),
        ("bfloat16", CPU, NONE, torch.bfloat16),
    ],
)
def test_the_precision(
    wanted: str, device: torch.device, machine: Machine, precision: torch.dtype
) -> None:
    assert choose_precision(wanted, device, machine) == precision


def test_a_precision_that_is_not_there_is_named() -> None:
    with pytest.raises(DeviceError, match=r"train\.precision is bfloat16, which this GPU lacks"):
        choose_precision("bfloat16", GPU, OLD)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_this_machine_is_asked() -> None:
    assert Machine.here() == NONE
    assert device_for(tiny.train_params()) == CPU
    with pytest.raises(DeviceError):
        device_for(tiny.train_params(device="cuda"))


def test_bfloat16_trains_to_nearly_the_same_losses() -> None:
    def losses(precision: str) -> dict[str, float]:
        section = tiny.train_params(precision=precision, teach_steps=0, steps=2)
        return list(train(tiny.state(teach_steps=0), [tiny.faces()], section))[-1].losses

    fine, coarse = losses("float32"), losses("bfloat16")
    assert fine != coarse
    for name, value in fine.items():
        assert math.isclose(coarse[name], value, rel_tol=0.1, abs_tol=0.01), name


@pytest.mark.parametrize("vector_only", [False, True], ids=["spatial", "vector_only"])
def test_a_step_stays_on_its_device(vector_only: bool) -> None:
    section = tiny.train_params(teach_steps=0, vector_only=vector_only)
    config = ModelConfig.from_params(section, [tiny.faces()])
    state = init_state(section, config, tiny.faces(), ELSEWHERE)
    values = step_losses(state, draw_batch([tiny.faces()], section, 0).to(ELSEWHERE), section)
    torch.stack(list(values.values())).sum().backward()
    state.optimizer.step()
    follow(state.ema, state.model, 0.5)
    assert {value.device for value in values.values()} == {ELSEWHERE}
    assert all_gradients(state) == {ELSEWHERE}


def all_gradients(state: TrainState) -> set[torch.device]:
    trained = [*state.model.parameters(), *state.teachers.parameters()]
    return {p.grad.device for p in trained if p.grad is not None}
