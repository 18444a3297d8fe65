"""Many items in many processes: every result once, and no process outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facegraft.core import parallel
from facegraft.core.parallel import WorkerDied, parallel_map

SCRIPT = """
import os, time
from facegraft.core.parallel import parallel_map

for pid in parallel_map(os.getpid, [()], task="telling its id"):
    print(pid, flush=True)
    time.sleep(60)
"""


def lives(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_a_worker_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert lives(worker)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 20
    while lives(worker) and time.monotonic() < until:
        time.sleep(0.02)
    try:
        assert not lives(worker)
    finally:
        if lives(worker):
            os.kill(worker, signal.SIGKILL)


def test_every_item_has_its_result_wherever_it_is_made() -> None:
    items = [(k, 2) for k in range(6)]
    expected = {k**2 for k in range(6)}
    assert list(parallel_map(pow, items, task="x", in_process=True)) == [k**2 for k in range(6)]
    assert set(parallel_map(pow, items, task="x")) == expected
    assert list(parallel_map(pow, [], task="x")) == []
    pids = set(parallel_map(os.getpid, [()] * 4, task="x"))
    assert os.getpid() not in pids
    assert len(pids) <= parallel.usable_cores()


def test_a_killed_worker_is_one_line_and_an_error_is_itself() -> None:
    with pytest.raises(WorkerDied) as caught:
        list(parallel_map(os._exit, [(3,)] * 3, task="measuring pictures"))
    text = "a process died while measuring pictures, perhaps out of memory; run again"
    assert str(caught.value) == text
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(divmod, [(1, 0)], task="x"))


def test_a_caller_that_stops_leaves_no_process() -> None:
    results = parallel_map(os.getpid, [()] * 8, task="x")
    pid = next(results)
    results.close()
    assert not lives(pid)
