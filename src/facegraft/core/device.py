"""Where the arithmetic is done, and how finely: CPU or GPU, float32 or bfloat16."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

import torch

from facegraft.core.config import RuntimeParams
from facegraft.core.errors import FacegraftError
from facegraft.core.ranks import local_rank


class DeviceError(FacegraftError):
    """The machine lacks what params.yaml asks for; one line with the mend."""


@dataclass(frozen=True)
class Machine:
    """What this machine offers.

    Attributes:
        gpus: CUDA devices that can be used.
        bfloat16: they compute in it.
    """

    gpus: int
    bfloat16: bool

    @classmethod
    def here(cls) -> Machine:
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return cls(gpus, gpus > 0 and torch.cuda.is_bf16_supported(including_emulation=False))


def set_up(runtime: RuntimeParams) -> torch.device:
    """Give this process torch's threads as `runtime` asks, and say where it computes.

    With `threads: 0` torch keeps its own number: every usable core, or OMP_NUM_THREADS where that
    is set, as torchrun sets it for processes that share a machine.

    Raises:
        DeviceError: a GPU is asked for and there is none, or fewer than processes.
    """
    device = choose_device(runtime.device, Machine.here(), local_rank())
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    return device


def choose_device(wanted: str, machine: Machine, place: int = 0) -> torch.device:
    """Where process number `place` of this machine computes.

    Args:
        wanted: "cpu", "cuda", or "auto": a GPU where there is one.

    Raises:
        DeviceError: see `set_up`.
    """
    if wanted == "cpu" or (wanted == "auto" and not machine.gpus):
        return torch.device("cpu")
    if not machine.gpus:
        raise DeviceError(
            "runtime.device is cuda, but this torch finds no CUDA device; set runtime.device: auto,"
            " or install a CUDA build of torch and its driver"
        )
    if place >= machine.gpus:
        raise DeviceError(
            f"process {place} of this machine finds {machine.gpus} GPUs; start no more processes "
            "than GPUs (torchrun --nproc-per-node), or set runtime.device: cpu"
        )
    return torch.device("cuda", place)


def choose_precision(wanted: str, device: torch.device, machine: Machine) -> torch.dtype:
    """What the networks compute in while training; weights and sums stay float32.

    Args:
        wanted: "float32", "bfloat16", or "auto": bfloat16 on a GPU that has it.

    Raises:
        DeviceError: bfloat16 is asked for on a GPU that has none.
    """
    offered = device.type != "cuda" or machine.bfloat16
    if wanted == "bfloat16" and not offered:
        raise DeviceError("runtime.precision is bfloat16, which this GPU lacks; set it to auto")
    if wanted == "auto":
        return torch.bfloat16 if device.type == "cuda" and offered else torch.float32
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


@contextmanager
def no_autocast() -> Iterator[None]:
    """Switch `autocast_for` off in this block, or in what this decorates: coordinates need float32.

    Under autocast a matrix product comes out in bfloat16. Its 8 significant bits are steps of 1/256
    where a coordinate in [-1, 1] nears 1: a quarter of a pixel at 128 px. `torch.linalg.det` does
    not take it at all.
    """
    with ExitStack() as stack:
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def autocast_for(runtime: RuntimeParams, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a training step computes its losses."""
    precision = choose_precision(runtime.precision, device, Machine.here())
    if precision == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, precision)
