"""Several processes train one model, each running the networks on its share of every batch.

Every process (rank) draws the same batch and computes the same losses from the same tensors; only
what goes through the networks is split by rows. What comes out is joined again before any loss is
computed, and batch norm takes its statistics over the rows of all. So the losses are those of one
process, up to the order of float sums. Alone, every function here does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from facegraft.core.errors import FacegraftError

T = TypeVar("T")


class TooManyProcesses(FacegraftError):
    """More processes than a batch has images; one line with the mend."""


def world_size() -> int:
    """Processes that train together; 1 without torchrun."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process among them, from 0; rank 0 alone logs and writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """This process among those that torchrun started on this machine."""
    return int(os.environ.get("LOCAL_RANK", "0")) if dist.is_torchelastic_launched() else 0


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Train together with the other processes of a torchrun; without one, alone."""
    if not dist.is_torchelastic_launched() or dist.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def broadcast_from_rank0(value: bool) -> bool:
    """Rank 0's value, in every process; a collective: all must call it equally often."""
    if world_size() == 1:
        return value
    values: list[object] = [value]
    dist.broadcast_object_list(values, src=0)
    return bool(values[0])


def shared(run: Callable[..., T], *arguments: Any) -> T:
    """`run(*arguments)`, each process on its share of the rows; every process gets all rows.

    Args:
        run: maps rows to rows, each by itself but for batch norm.
        arguments: tensors (B, ...) of one B, the same in every process, and what is no tensor.

    Returns:
        What `run` returns: tensors (B, ...), also inside tuples, dicts and dataclasses.

    Raises:
        TooManyProcesses: there are fewer rows than processes.
    """
    if world_size() == 1:
        return run(*arguments)
    rows = next(len(one) for one in arguments if isinstance(one, Tensor))
    if rows < world_size():
        raise TooManyProcesses(f"{world_size()} processes share {rows} images; start fewer")
    start, stop = (rows * k // world_size() for k in (rank(), rank() + 1))
    mine = [_mapped(one, lambda t: _Share.apply(t, start, stop)) for one in arguments]
    every: T = _mapped(run(*mine), lambda t: _Join.apply(t, rows, start))
    return every


def normalise_together(model: nn.Module) -> None:
    """Let the batch norms of a model see the rows of all processes; parameters stay the same."""
    if world_size() == 1:
        return
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                setattr(module, name, BatchNormOfAll.like(child))


def combine_gradients(split: nn.Module, whole: nn.Module) -> None:
    """The gradients of the whole batch, the same in every process.

    Args:
        split: used inside `shared` alone: each process holds its rows' share of the gradient.
        whole: used outside it: every process holds all of it, but perhaps rounded otherwise.
    """
    if world_size() == 1:
        return
    for module, parts in ((split, 1), (whole, world_size())):
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        if not gradients:
            continue  # nothing of it learns in this step
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        pieces = (flat / parts).split([gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))


class BatchNormOfAll(_BatchNorm):
    """Batch norm over the rows of all processes. (torch's SyncBatchNorm knows GPUs alone.)"""

    @classmethod
    def like(cls, other: _BatchNorm) -> BatchNormOfAll:
        """With the very parameters and statistics of another."""
        mine = cls(other.num_features, other.eps, other.momentum, affine=other.affine)
        mine.weight, mine.bias = other.weight, other.bias
        mine._buffers = other._buffers
        return mine.train(other.training)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) of this process's rows; statistics are taken in float32 or finer."""
        if not self.training:
            return super().forward(x)
        axes = [0, *range(2, x.ndim)]
        channels = [1, -1] + [1] * (x.ndim - 2)
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        count = values.new_tensor([values.numel() / self.num_features])
        sums = _Sum.apply(torch.cat([values.sum(axes), count]))
        mean, rows = sums[:-1] / sums[-1], sums[-1].detach()
        centred = values - mean.view(channels)
        variance = _Sum.apply(centred.square().sum(axes)) / rows
        self._remember(mean.detach(), variance.detach() * rows / (rows - 1))
        normal = centred * (variance + self.eps).rsqrt().view(channels)
        if self.affine:
            normal = normal * self.weight.view(channels) + self.bias.view(channels)
        return normal.to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """The running statistics, as every batch norm of the method keeps them."""
        batches, momentum = self.num_batches_tracked, self.momentum
        known, spread = self.running_mean, self.running_var
        assert batches is not None
        assert momentum is not None
        assert known is not None
        assert spread is not None
        batches.add_(1)
        known.lerp_(mean, momentum)
        spread.lerp_(variance, momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of axes."""


class _Sum(torch.autograd.Function):
    """Sum over the processes; what each does with the sum counts in the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _summed(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


class _Share(torch.autograd.Function):
    """This process's rows of what all hold; the gradients of all rows come back to all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, start: int, stop: int) -> Tensor:
        ctx.rows, ctx.start = len(x), start
        return x[start:stop].clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _of_all(gradient, ctx.rows, ctx.start), None, None


class _Join(torch.autograd.Function):
    """The rows of all; back comes the gradient of this process's, for all compute it alike."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: int, start: int) -> Tensor:
        ctx.start, ctx.stop = start, start + len(x)
        return _of_all(x, rows, start)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[ctx.start : ctx.stop].contiguous(), None, None


def _summed(x: Tensor) -> Tensor:
    total = x.detach().clone()
    dist.all_reduce(total)
    return total


def _of_all(part: Tensor, rows: int, start: int) -> Tensor:
    """Each process adds its rows to zeros: shares need not be of one size."""
    every = part.new_zeros(rows, *part.shape[1:])
    every[start : start + len(part)] = part.detach()
    dist.all_reduce(every)
    return every


def _mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """The value with each of its tensors changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple | list):
        return type(value)(_mapped(one, change) for one in value)
    if isinstance(value, dict):
        return {key: _mapped(one, change) for key, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        held = {field.name: getattr(value, field.name) for field in fields(value)}
        return replace(value, **_mapped(held, change))
    return value
