"""A device that is not the CPU, for machines without a GPU: real numbers that refuse to mix.

A tensor that lies elsewhere computes on the CPU but says "meta" of itself. As on a GPU, an
operation on tensors of both places is an error, only numbers of no axes excepted, and the numbers
come to NumPy by way of `cpu()` alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

ELSEWHERE = torch.device("meta")


class Mixed(Exception):
    """An operation saw tensors of two devices."""


class Elsewhere(Tensor):
    """Wraps a tensor of the CPU."""

    held: Tensor
    is_meta = False  # a meta tensor has no numbers, and nothing is copied into it

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        made: Elsewhere = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride() if held.layout == torch.strided else None,
            dtype=held.dtype, device=ELSEWHERE,
        )  # fmt: skip
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


MOVES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
"""Operations that see two devices, as they may."""

INDEXED = (
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put.default,
    torch.ops.aten.index_put_.default,
    torch.ops.aten._index_put_impl_.default,
)
"""Operations whose second argument, indices, may lie on the CPU."""


def dispatched(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation on what is held, and put what it makes where it belongs."""
    away = _tensors((args, kwargs), Elsewhere)
    met = _tensors((args[0], args[2:]) if func in INDEXED else (args, kwargs), Tensor)
    mixed = any(one.ndim and not isinstance(one, Elsewhere) for one in met)
    if away and mixed and func not in MOVES:
        raise Mixed(f"{func}: tensors of two devices")
    asked = kwargs.get("device")
    if asked is not None and torch.device(asked) == ELSEWHERE:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    result = func(*tree_map(_held, args), **tree_map(_held, kwargs))
    stays = bool(away) if asked is None else torch.device(asked) == ELSEWHERE
    if not stays:
        return result
    own = {id(one.held): one for one in away}  # what an operation in place gives back

    def placed(one: Any) -> Any:
        return own.get(id(one), Elsewhere(one)) if isinstance(one, Tensor) else one

    return tree_map(placed, result)


def _tensors(values: Any, kind: type[Tensor]) -> list[Any]:
    return [one for one in tree_flatten(values)[0] if isinstance(one, kind)]


def _held(one: Any) -> Any:
    return one.held if isinstance(one, Elsewhere) else one


class _Dispatched(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


class _FromPython(TorchFunctionMode):
    """What Python's numbers are made into would be a meta tensor indeed, which holds none."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.tensor:
            return func(*args, **{**kwargs, "device": None}).to(kwargs.get("device") or "cpu")
        if func is Tensor.new_tensor:
            like, values = args
            return torch.tensor(values, dtype=like.dtype).to(like.device)
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            whole = args[1] if isinstance(args[1], tuple) else (args[1],)
            index = tuple(torch.tensor(one) if isinstance(one, list) else one for one in whole)
            args = (args[0], index, *args[2:])
        return func(*args, **kwargs)


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """The device; what is made on it in here lies there."""
    with _Dispatched(), _FromPython():
        yield ELSEWHERE
