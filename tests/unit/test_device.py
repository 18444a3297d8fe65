"""Which device and precision are chosen, and that a step never mixes devices.

No GPU is needed: the choice is a function of what a machine offers, and what lies `elsewhere`
refuses an operation on tensors of two devices as a GPU would.
"""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch

from facegraft.core.config import RuntimeParams
from facegraft.core.device import DeviceError, Machine, choose_device, choose_precision, set_up
from facegraft.data.batches import grid_faces
from facegraft.data.faces import Faces
from facegraft.method.calibration import Thresholds
from facegraft.method.decoder import Decoded
from facegraft.method.model import ModelConfig
from facegraft.method.swap import swap
from facegraft.training.loop import train
from facegraft.training.state import TrainState, init_state
from tests import tiny
from tests.album_pictures import PEOPLE
from tests.elsewhere import Mixed, elsewhere

NONE = Machine(gpus=0, bfloat16=False)
OLD = Machine(gpus=1, bfloat16=False)
TWO = Machine(gpus=2, bfloat16=True)
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
NEVER = Thresholds(identity_loss=1e-9, attribute_loss=1e-9)


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
    with pytest.raises(DeviceError, match=r"runtime\.device is cuda, .* set runtime\.device: auto"):
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
    with pytest.raises(DeviceError, match=r"runtime\.precision is bfloat16, which this GPU lacks"):
        choose_precision("bfloat16", GPU, OLD)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_this_machine_is_asked() -> None:
    assert Machine.here() == NONE
    assert set_up(RuntimeParams()) == CPU
    with pytest.raises(DeviceError):
        set_up(RuntimeParams(device="cuda"))


def test_threads_are_torchs_and_0_leaves_it_its_own() -> None:
    before = torch.get_num_threads()
    try:
        set_up(RuntimeParams(threads=before + 1))
        assert torch.get_num_threads() == before + 1
        set_up(RuntimeParams())
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_bfloat16_trains_to_nearly_the_same_losses() -> None:
    """In both phases; places are computed as finely as ever."""

    def losses(precision: Literal["float32", "bfloat16"]) -> dict[str, float]:
        section, runtime = tiny.train_params(steps=3), RuntimeParams(precision=precision)
        steps = list(train(tiny.state(), [tiny.faces()], section, runtime=runtime))
        return steps[0].losses | steps[-1].losses

    fine, coarse = losses("float32"), losses("bfloat16")
    assert fine != coarse
    for name, value in fine.items():
        assert math.isclose(coarse[name], value, rel_tol=0.1, abs_tol=0.01), name


@pytest.mark.parametrize("vector_only", [False, True], ids=["drawing", "vector_only"])
def test_training_stays_on_its_device_and_computes_there_what_it_does_here(
    vector_only: bool,
) -> None:
    def trained(device: torch.device) -> tuple[TrainState, list[dict[str, float]]]:
        section, grid = tiny.train_params(vector_only=vector_only, steps=3), tiny.faces()
        state = init_state(section, ModelConfig.from_params(section, [grid]), grid, device)
        return state, [m.losses for m in train(state, [grid], section, PEOPLE)]

    with elsewhere() as device:
        state, losses = trained(device)
        held = [*state.model.state_dict().values(), *state.ema.state_dict().values()]
        assert {one.device for one in [*held, *state.heads.parameters()]} == {device}
    for mine, expected in zip(losses, trained(CPU)[1], strict=True):
        assert mine == pytest.approx(expected, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("vector_only", [False, True], ids=["drawing", "vector_only"])
def test_a_swap_is_tuned_on_its_models_device_and_comes_back(vector_only: bool) -> None:
    source, target = (grid_faces(tiny.faces(), [cell]) for cell in ((0, 0), (1, 1)))
    section = tiny.params().swap.model_copy(update={"budget_steps": 1})
    model = tiny.state(vector_only=vector_only).ema

    def swapped() -> Decoded:
        def read(image: torch.Tensor) -> Faces:
            there = target.to(image.device)
            return Faces(image, there.landmarks, there.expression)

        return swap(model, source, target, NEVER, section, read).first

    expected = swapped().image
    with elsewhere() as device:
        model.to(device)
        found = swapped().image
    assert found.device == CPU
    torch.testing.assert_close(found, expected)


def test_what_lies_elsewhere_does_not_mix() -> None:
    with elsewhere() as device:
        away = torch.ones(2).to(device)
        assert (away + 1).device == torch.zeros(2, device=device).device == device
        with pytest.raises(Mixed):
            away + torch.ones(2)
        with pytest.raises(RuntimeError, match="numpy"):
            away.numpy()
        assert away.cpu().numpy().tolist() == [1.0, 1.0]
