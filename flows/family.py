"""The processes that one start of the servers made, found by a mark that all of them inherit.

Process numbers are given out again and names are shared with others; a random mark in the
environment is neither. Everything that a server, the worker, a flow run or DVC starts carries it.

Run as `python -m flows.family MARK` this is the warden: it waits for the end of its standard
input, which is the end of whoever started it, however that ended, and then ends the family.
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


def family(mark: str) -> list[psutil.Process]:
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
    """Those of the family that work on flow runs of the worker."""
    return [one for one in family(mark) if FLOW_RUN in environment(one)]


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


def end_family(mark: str, seconds: float) -> int:
    """End every process with this mark; returns how many there were."""
    ended = 0
    for _ in range(ROUNDS):
        found = family(mark)
        if not found:
            break
        ended += len(found)
        end(found, seconds)
    return ended


@contextmanager
def founded(record: Path, seconds: float) -> Iterator[str]:
    """The mark of a new family; when the block ends, so does the family.

    What a killed starter left of its own is ended first. Hold a lock on `record`'s folder.

    Args:
        record: holds the mark as long as members may live.
        seconds: given to each to end by itself.
    """
    with contextlib.suppress(FileNotFoundError):
        end_family(read_mark(record), seconds)
    mark = secrets.token_hex(16)
    with replacing(record) as path:
        path.write_text(json.dumps({"mark": mark}) + "\n", encoding="utf-8")
    try:
        yield mark
    finally:
        end_family(mark, seconds)
        record.unlink(missing_ok=True)


def read_mark(record: Path) -> str:
    """The mark of the family that `record` tells of."""
    return str(json.loads(record.read_text(encoding="utf-8"))["mark"])


def post_warden(mark: str) -> subprocess.Popen[bytes]:
    """Start a process that ends the family when this one is gone, or closes the pipe to it."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.family", mark],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,  # only we hold its other end, and the system closes it for us
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def dismiss(warden: subprocess.Popen[bytes]) -> None:
    """Let the warden end what is left, and itself."""
    assert warden.stdin is not None
    warden.stdin.close()
    warden.wait()


def main() -> None:
    """The warden."""
    for number in (signal.SIGINT, signal.SIGTERM):  # it goes when its starter is gone
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_family(sys.argv[1], seconds=10.0)


if __name__ == "__main__":
    main()
