"""Locks between processes of one folder, which the system frees when their holder dies."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from facegraft.core.errors import FacegraftError


class Busy(FacegraftError):
    """Another process holds the lock and it is not waited for; one line."""


@contextmanager
def one_at_a_time(
    path: Path, tell: Callable[[str], object], what: str = "training", *, wait: bool = True
) -> Iterator[int]:
    """Wait for the lock, hold it, and yield its descriptor.

    The lock belongs to whoever inherited the descriptor too: a `dvc repro` that outlives its
    killed flow is waited for, not run into.

    Args:
        path: the lock's file; it stays, empty.
        tell: is given one line before waiting begins.
        what: what the lock stands for, in that line.
        wait: False: do not wait.

    Raises:
        Busy: another holds the lock and `wait` is False.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held = f"another {what} is at work in this folder"
            if not wait:
                raise Busy(f"{held} ({path}); wait for it to end, or stop it") from None
            tell(f"{held}; waiting for it to end")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()
