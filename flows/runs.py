"""What every flow needs: its project, its params, and progress that reaches the dashboard."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from prefect import get_run_logger

from facegraft.core.config import Params, load_params
from facegraft.core.progress import Progress, lines
from facegraft.core.project import Project

DVC_FAILED = 255

STOP_SECONDS = 30.0
"""Given to a stage to put its work in order when its flow run is cancelled."""


class CommandFailed(RuntimeError):
    """A command ended with an error; the message is facegraft's own line, else the last one."""


class CommandKilled(RuntimeError):
    """A command was killed from outside (e.g. for memory); it may be tried again."""


def open_project() -> tuple[Project, Params]:
    """The project in the working folder, which a deployment sets before it runs."""
    project = Project(Path.cwd())
    return project, load_params(project.params)


def progress(title: str) -> Progress:
    """Progress as lines in the run's log: in the dashboard, and on the console."""
    return lines(title, get_run_logger().info)


def stream(
    command: Sequence[str], cwd: Path, write: Callable[[str], None], keep_open: Sequence[int] = ()
) -> None:
    """Run a command and hand on every line that it prints, as it comes.

    Args:
        keep_open: file descriptors that the command inherits, e.g. of a lock that must last as
            long as the command does, even if this process is killed.

    Raises:
        CommandFailed: it ended with an error, which facegraft's own line explains where DVC, that
            ran it, tells its exit code alone. CommandKilled: a signal ended it.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    last = told = ""
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        pass_fds=keep_open,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip():
                    last = line.rstrip()
                    write(last)
                    told = last if last.startswith("facegraft ") else told
            code = _code(process.wait(), last)
        finally:
            _stop_group(process)
    if code < 0 or code > 128:
        raise CommandKilled(f"{' '.join(command)} was killed (exit {code}): {last}")
    if code:
        raise CommandFailed(told or last or f"{' '.join(command)} failed (exit {code})")


def _code(code: int, last: str) -> int:
    """How the command ended; DVC ends with 255 whatever ended its stage, and says so last."""
    told = re.search(r"exited with (-?\d+)$", last)
    return int(told.group(1)) if code == DVC_FAILED and told else code


def _stop_group(process: subprocess.Popen[str]) -> None:
    """End the command and its children, if it still runs: asked first, then killed."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
