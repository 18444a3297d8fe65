"""One function over many items in processes of its own; the only place that starts such processes.

The standard library's pool, not joblib's: joblib keeps its workers for the next call, so they
outlive a killed parent by minutes and leave semaphores and a folder in shared memory meanwhile.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from facegraft.core.errors import FacegraftError

Result = TypeVar("Result")


class WorkerDied(FacegraftError):
    """A process of `parallel_map` was killed, mostly by the system for its memory; one line."""


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel_map(
    function: Callable[..., Result],
    items: Sequence[tuple[Any, ...]],
    *,
    task: str,
    threads: int = 0,
    in_process: bool = False,
    start: Callable[[], None] | None = None,
) -> Iterator[Result]:
    """Yield `function(*item)` of every item, as they are done, in any order.

    All processes end with the last result, with the caller, or with this one if it is killed.

    Args:
        function: found by its module, as are the items' classes.
        threads: `runtime.threads`, how many processes at most; 0 means every usable core, 1 this
            process alone.
        task: what the processes do, for the error: "a process died while ...".
        in_process: no pool: call the function here, in order; for too few items to pay for one.
        start: called once in each process, before its first item.

    Raises:
        WorkerDied: a process was killed. What the function raises is raised here.
    """
    if in_process or threads == 1 or not items:  # a pool has one process at least
        yield from (function(*item) for item in items)
        return
    processes = min(threads or usable_cores(), len(items))
    with ProcessPoolExecutor(processes, get_context("spawn"), _start, (start,)) as pool:
        futures = [pool.submit(function, *item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise WorkerDied(
                f"a process died while {task}, perhaps out of memory; run again"
            ) from error
        finally:
            for future in futures:
                future.cancel()


def _start(start: Callable[[], None] | None) -> None:
    _end_with_parent()
    if start is not None:
        start()


def _end_with_parent() -> None:
    """A worker ends when its parent is killed, not never.

    The workers of a pool hold both ends of its queue, so they would wait for ever.
    """
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
