"""How many processes a stage may start, and that they end with it."""

from __future__ import annotations

import os
import threading
from multiprocessing import parent_process


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers(threads: int) -> int:
    """Processes of one thread each that a stage may start.

    Args:
        threads: `runtime.threads`; 0 means every usable core.
    """
    return threads or usable_cores()


def end_with_parent() -> None:
    """For a pool's `initializer`: a worker ends when its parent is killed, not never.

    The workers of a pool hold both ends of its queue, so they would wait for ever.
    """
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
