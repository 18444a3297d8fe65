"""Where this project's two servers answer, and how others find them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from facegraft.core.atomic import replacing
from facegraft.core.project import Project

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Addresses:
    """Where the two servers answer, without a slash at the end."""

    prefect: str
    mlflow: str

    @property
    def environment(self) -> dict[str, str]:
        """What a client of both needs."""
        return {"PREFECT_API_URL": f"{self.prefect}/api", "MLFLOW_TRACKING_URI": self.mlflow}

    @property
    def ports(self) -> tuple[int, int]:
        """Of Prefect and of MLflow."""
        return _port(self.prefect), _port(self.mlflow)

    def healthy(self) -> bool:
        """Both answer now."""
        return _answers(f"{self.prefect}/api/health") and _answers(f"{self.mlflow}/health")


def running(project: Project) -> Addresses | None:
    """This project's servers, if who started them lives and both answer.

    A killed starter leaves its note behind, its number may be another process' now, and another
    project's servers may hold its ports.
    """
    try:
        note = json.loads(_note(project).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if note.get("started") != _started(note["pid"]):
        return None
    addresses = Addresses(prefect=note["prefect"], mlflow=note["mlflow"])
    return addresses if addresses.healthy() else None


@contextmanager
def noted(project: Project, addresses: Addresses) -> Iterator[None]:
    """Others in this project find the servers by this file."""
    pid = os.getpid()
    note = {**asdict(addresses), "pid": pid, "started": _started(pid)}
    with replacing(_note(project)) as path:
        path.write_text(json.dumps(note) + "\n", encoding="utf-8")
    try:
        yield
    finally:
        _note(project).unlink(missing_ok=True)


def _started(pid: int) -> float | None:
    """When the process with this number began, in seconds since 1970; None if there is none."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def _note(project: Project) -> Path:
    return project.root / ".prefect" / "services.json"


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2.0) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def free_port(wanted: int) -> int:
    """The wanted port, or any other where it is taken.

    Raises:
        OSError: none is free.
    """
    for number in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, number))
                return int(probe.getsockname()[1])
    raise OSError("no port is free on loopback")
