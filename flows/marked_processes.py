"""The processes that one start of the servers made, found by a mark that all of them inherit.

Process numbers are given out again and names are shared with others; a random mark in the
environment is neither. Everything that a server, the worker, a flow run or DVC starts carries it.

Run as `python -m flows.marked_processes MARK` this is the watchdog: it waits for the end of its
standard input, which is the end of whoever started it, however that ended, and then ends every
process with the mark. (A process group of the system would not do: each service, and each command
of a flow, has a session of its own.)
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from facegraft.core.atomic import replacing

VARIABLE = "FACEGRAFT_SERVED_BY"
FLOW_RUN = "PREFECT__FLOW_RUN_ID"
"""In the environment of a flow run's processes: its id."""

ROUNDS = 10
"""A process that is being ended may just have started another; then that one is ended too."""


def find(mark: str) -> list[psutil.Process]:
    """Every living process with this mark, the caller excepted.

    `psutil.Process` keeps the time at which a process began, so a number that was given out again
    in the meantime is not signalled.
    """
    return [
        one
        for one in psutil.process_iter()
        if one.pid != os.getpid() and environment(one).get(VARIABLE) == mark
    ]


def flow_runs(mark: str) -> list[psutil.Process]:
    """Those with this mark that work on flow runs of the worker."""
    return [one for one in find(mark) if FLOW_RUN in environment(one)]


def environment(process: psutil.Process) -> dict[str, str]:
    """A process' environment; empty if it is gone, a zombie, or another user's."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def end(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Ask them to end; kill what is left after `seconds`."""
    for signalled in (signal.SIGTERM, signal.SIGKILL):
        for one in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(signalled)
        _, processes = psutil.wait_procs(processes, timeout=seconds)


def end_all(mark: str, seconds: float) -> int:
    """End every process with this mark; returns how many there were."""
    ended = 0
    for _ in range(ROUNDS):
        found = find(mark)
        if not found:
            break
        ended += len(found)
        end(found, seconds)
    return ended


@contextmanager
def fresh_mark(record: Path, seconds: float) -> Iterator[str]:
    """A new random mark; when the block ends, every process with it is ended.

    What a killed starter left of its own is ended first. Hold a lock on `record`'s folder.

    Args:
        record: holds the mark as long as processes with it may live.
        seconds: given to each to end by itself.
    """
    with contextlib.suppress(FileNotFoundError):
        end_all(read_mark(record), seconds)
    mark = secrets.token_hex(16)
    with replacing(record) as path:
        path.write_text(json.dumps({"mark": mark}) + "\n", encoding="utf-8")
    try:
        yield mark
    finally:
        end_all(mark, seconds)
        record.unlink(missing_ok=True)


def read_mark(record: Path) -> str:
    """The mark in the file that `fresh_mark` wrote."""
    return str(json.loads(record.read_text(encoding="utf-8"))["mark"])


def start_watchdog(mark: str) -> subprocess.Popen[bytes]:
    """Start a process that ends all with the mark when this one is gone or closes its pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.marked_processes", mark],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,  # only we hold its other end, and the system closes it for us
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def stop_watchdog(watchdog: subprocess.Popen[bytes]) -> None:
    """Let the watchdog end what is left, and itself."""
    assert watchdog.stdin is not None
    watchdog.stdin.close()
    watchdog.wait()


def main() -> None:
    """The watchdog."""
    for number in (signal.SIGINT, signal.SIGTERM):  # it goes when its starter is gone
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_all(sys.argv[1], seconds=10.0)


if __name__ == "__main__":
    main()
