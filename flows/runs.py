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

from facegraft.core.config import Params
from facegraft.core.params_file import load_params
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
            ran it, prints its exit code alone. CommandKilled: a signal ended it.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    last_line = own_line = ""
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
                    last_line = line.rstrip()
                    write(last_line)
                    own_line = last_line if last_line.startswith("facegraft ") else own_line
            exit_code = _exit_code(process.wait(), last_line)
        finally:
            _stop_group(process)
    if exit_code < 0 or exit_code > 128:
        raise CommandKilled(f"{' '.join(command)} was killed (exit {exit_code}): {last_line}")
    if exit_code:
        failed = f"{' '.join(command)} failed (exit {exit_code})"
        raise CommandFailed(own_line or last_line or failed)


def _exit_code(exit_code: int, last_line: str) -> int:
    """The command's, or of DVC, which ends with 255 whatever ended its stage, the stage's."""
    of_stage = re.search(r"exited with (-?\d+)$", last_line)
    return int(of_stage.group(1)) if exit_code == DVC_FAILED and of_stage else exit_code


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
