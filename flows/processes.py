"""A server or the worker as a child process: started with a log, watched, stopped."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from facegraft.core.project import Project

READY_SECONDS = 300.0
STOP_SECONDS = 20.0
"""Given to a process to end by itself before it is killed."""


class ServiceError(RuntimeError):
    """A server did not start, or ended; one line that names its log."""


@dataclass(frozen=True)
class Service:
    """A process of ours; its output is in .prefect/logs/<name>.log."""

    name: str
    process: subprocess.Popen[bytes]


@contextmanager
def service(
    project: Project, name: str, command: list[str], environment: Mapping[str, str]
) -> Iterator[Service]:
    """Run `python -m command` with its output in a log, in a session of its own."""
    path = log_file(project, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=project.root,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C reaches us alone, and we stop them in order
        )
    try:
        yield Service(name, process)
    finally:
        stop_tree(process, STOP_SECONDS)


def stop_tree(process: subprocess.Popen[bytes], seconds: float) -> None:
    """End a process and all that descend from it: asked first, killed after `seconds`."""
    if process.poll() is not None:
        return
    descendants = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(descendants, timeout=seconds)
    for survivor in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            survivor.kill()
    psutil.wait_procs(alive, timeout=seconds)


def wait_until(ready: Callable[[], bool], started: list[Service], project: Project) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        require_alive(started, project)
        if time.monotonic() > deadline:
            raise ServiceError(
                f"no answer after {READY_SECONDS:.0f} s; see {log_file(project, '*')}"
            )
        time.sleep(0.5)


def require_alive(started: list[Service], project: Project) -> None:
    """Raise `ServiceError` if one of them ended."""
    for service in started:
        code = service.process.poll()
        if code is not None:
            log = log_file(project, service.name)
            last = last_line(log.read_text(encoding="utf-8", errors="replace"))
            raise ServiceError(f"{service.name} ended ({code}): {last}; see {log}")


def listens(service: Service, port: int) -> bool:
    """Whether the service, or a process that it started, listens on the port."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(service.process.pid)
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for process in (parent, *parent.children(recursive=True))
            for connection in process.net_connections(kind="tcp")
        )
    return False


def lost_its_port(service: Service, project: Project) -> bool:
    """Whether the service ended because another program has its port, by what it logged."""
    if service.process.poll() is None:
        return False
    text = log_file(project, service.name).read_text(encoding="utf-8", errors="replace")
    return os.strerror(errno.EADDRINUSE).lower() in text.lower()


def log_file(project: Project, name: str) -> Path:
    return project.root / ".prefect" / "logs" / f"{name}.log"


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
