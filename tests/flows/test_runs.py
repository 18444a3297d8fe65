"""Commands that a flow runs: their lines come through, and how they ended is told apart."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.retrain import one_at_a_time, was_killed
from flows.runs import CommandFailed, CommandKilled, stream


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_lines_come_as_they_are_printed(tmp_path: Path) -> None:
    seen: list[tuple[float, str]] = []
    code = "import time,sys; print('a'); time.sleep(1); print('b', file=sys.stderr); print()"
    stream(python(code), tmp_path, lambda line: seen.append((time.monotonic(), line)))
    assert [line for _, line in seen] == ["a", "b"]
    assert seen[1][0] - seen[0][0] > 0.5


def test_a_failure_is_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"^the mend$"):
        stream(python("print('the mend'); raise SystemExit(1)"), tmp_path, lambda _: None)


def test_a_failure_within_dvc_is_facegrafts_own_line(tmp_path: Path) -> None:
    """DVC's last line tells the exit code alone, not what is to be done."""
    told = (
        "facegraft drift: data drift: x; if that is meant: facegraft drift --accept v1 --why TEXT"
    )
    dvc = "ERROR: failed to reproduce 'drift': failed to run: python -m x drift, exited with 1"
    code = f"print({told!r}); print({dvc!r}); raise SystemExit(255)"
    with pytest.raises(CommandFailed) as caught:
        stream(python(code), tmp_path, lambda _: None)
    assert str(caught.value) == told


def test_a_killed_command_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CommandKilled, match="killed"):
        stream(python("import os; os.kill(os.getpid(), 9)"), tmp_path, lambda _: None)


@pytest.mark.parametrize(
    ("ended", "error"), [(1, CommandFailed), (-9, CommandKilled), (137, CommandKilled)]
)
def test_how_a_stage_of_dvc_ended_is_in_its_last_line(
    tmp_path: Path, ended: int, error: type[Exception]
) -> None:
    line = f"ERROR: failed to reproduce 's': failed to run: python -m x s, exited with {ended}"
    with pytest.raises(error, match=f"exited with {ended}"):
        stream(python(f"print({line!r}); raise SystemExit(255)"), tmp_path, lambda _: None)


def test_an_interrupted_command_leaves_nothing_running(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    children: list[int] = []

    def stop(line: str) -> None:
        children.append(int(line))
        raise Stop

    code = (
        "import subprocess,sys,time;"
        "p=subprocess.Popen([sys.executable,'-c','import time; time.sleep(60)']);"
        "print(p.pid,flush=True); time.sleep(60)"
    )
    with pytest.raises(Stop):
        stream(python(code), tmp_path, stop)
    psutil.wait_procs([p for p in map(_process, children) if p], timeout=5)
    assert not [p for p in map(_process, children) if p]


def _process(pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None


def test_one_training_waits_for_the_other(tmp_path: Path) -> None:
    told: list[str] = []
    order: list[str] = []
    lock = tmp_path / "repro.lock"

    def second() -> None:
        with one_at_a_time(lock, told.append):
            order.append("second")

    with one_at_a_time(lock, told.append):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    assert "waiting" in told[0]


def test_a_command_that_outlives_its_flow_keeps_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "repro.lock"
    with one_at_a_time(lock, print) as descriptor:
        child = subprocess.Popen(python("import time; time.sleep(1.5)"), pass_fds=[descriptor])
    started = time.monotonic()
    with one_at_a_time(lock, lambda _: None):
        assert time.monotonic() - started > 0.5
    child.wait()
    assert os.path.exists(lock)


def test_only_a_killed_command_is_tried_again() -> None:
    import asyncio

    class State:
        def __init__(self, error: Exception) -> None:
            self.error = error

        async def aresult(self, *, raise_on_failure: bool) -> Any:
            return self.error

    def again(error: Exception) -> bool:
        return asyncio.run(was_killed(None, None, State(error)))  # type: ignore[arg-type]

    assert again(CommandKilled("out of memory"))
    assert not again(CommandFailed("the data gate is red"))
    assert not again(OSError())
