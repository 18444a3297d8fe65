"""`make serve`: the Prefect server, the MLflow server and a worker, on loopback, until Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from facegraft.adapters.tracking import artifact_folder
from facegraft.atomic import replacing
from facegraft.project import Project

HOST = "127.0.0.1"
PREFECT_PORT = 4200
MLFLOW_PORT = 5000
WORK_POOL = "facegraft"

WORKER_LIMIT = 2
"""Flow runs at once: a training, and a swap beside it."""

READY_SECONDS = 180.0
STOP_SECONDS = 20.0
"""Given to a process to end by itself before it is killed."""

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
}
"""Nothing calls home."""

PATIENT_SQLITE = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
}
"""Without these, Prefect on SQLite answers 503 under load and loses flow runs."""


class ServiceError(RuntimeError):
    """A server did not start, or ended; one line that names its log."""


@dataclass(frozen=True)
class Addresses:
    """Where the two servers answer, without a slash at the end."""

    prefect: str
    mlflow: str

    @property
    def environment(self) -> dict[str, str]:
        """What a client of both needs."""
        return {"PREFECT_API_URL": f"{self.prefect}/api", "MLFLOW_TRACKING_URI": self.mlflow}

    def healthy(self) -> bool:
        """Both answer now."""
        return _answers(f"{self.prefect}/api/health") and _answers(f"{self.mlflow}/health")


def running(project: Project) -> Addresses | None:
    """This project's servers, if who started them lives and both answer.

    A killed starter leaves its note behind, and another project's servers may hold its ports.
    """
    try:
        noted = json.loads(_note(project).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not psutil.pid_exists(noted["pid"]):
        return None
    addresses = Addresses(prefect=noted["prefect"], mlflow=noted["mlflow"])
    return addresses if addresses.healthy() else None


@dataclass(frozen=True)
class Service:
    """A process of ours; its output is in .prefect/logs/<name>.log."""

    name: str
    process: subprocess.Popen[bytes]


@contextmanager
def services(
    project: Project,
    *,
    worker: bool = True,
    ports: tuple[int, int] = (PREFECT_PORT, MLFLOW_PORT),
    tell: Callable[[str], None] = print,
) -> Iterator[Addresses]:
    """Start the servers, register the deployments, and stop everything when the block ends.

    Args:
        worker: start a worker too, so that deployments run.
        ports: of Prefect and MLflow; another where one is taken (0: any).

    Raises:
        ServiceError: one did not come up, or this project's servers run already.
    """
    already = running(project)
    if already is not None:
        raise ServiceError(f"already running: {already.prefect} and {already.mlflow}")
    addresses = Addresses(
        prefect=f"http://{HOST}:{_free_port(ports[0])}",
        mlflow=f"http://{HOST}:{_free_port(ports[1])}",
    )
    environment = {**os.environ, **base_environment(project), **addresses.environment}
    with ExitStack() as stack:
        tell("starting the Prefect server and the MLflow server (20 to 40 s the first time)")
        servers = [
            stack.enter_context(_process(project, name, command, environment))
            for name, command in _server_commands(project, addresses).items()
        ]
        numbers = [_port(addresses.prefect), _port(addresses.mlflow)]
        _wait_until(
            # Another program may have taken a port meanwhile, and answer there just as well.
            lambda: addresses.healthy() and all(map(_listens, servers, numbers)),
            servers,
            project,
        )
        tell("registering the deployments")
        _register_deployments(project, environment)
        if worker:
            command = [
                *("prefect", "worker", "start", "--pool", WORK_POOL, "--type", "process"),
                *("--limit", str(WORKER_LIMIT)),
            ]
            stack.enter_context(_process(project, "worker", command, environment))
        stack.enter_context(_noted(project, addresses))
        yield addresses


def base_environment(project: Project) -> dict[str, str]:
    """Environment of every process: telemetry off, state inside the project folder."""
    return {
        **QUIET,
        **PATIENT_SQLITE,
        "PREFECT_HOME": str(project.root.resolve() / ".prefect"),
        "PREFECT_CLI_PROMPT": "false",
        "PYTHONUNBUFFERED": "1",
        # Waiting threads that spin slow everything down where cores are shared.
        "OMP_WAIT_POLICY": "passive",
        # DVC's stages call `python`: the one that runs this.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


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


def _server_commands(project: Project, addresses: Addresses) -> Mapping[str, list[str]]:
    project.mlruns.mkdir(parents=True, exist_ok=True)
    prefect_port, mlflow_port = str(_port(addresses.prefect)), str(_port(addresses.mlflow))
    database = f"sqlite:///{project.mlruns.resolve() / 'mlflow.db'}"
    return {
        "prefect": ["prefect", "server", "start", "--host", HOST, "--port", prefect_port],
        "mlflow": [
            *("mlflow", "server", "--host", HOST, "--port", mlflow_port, "--workers", "2"),
            *("--backend-store-uri", database),
            *("--artifacts-destination", str(artifact_folder(project).resolve())),
        ],
    }


@contextmanager
def _process(
    project: Project, name: str, command: list[str], environment: Mapping[str, str]
) -> Iterator[Service]:
    """Run `python -m command` with its output in a log, in a session of its own."""
    extra = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"} if name == "mlflow" else {}
    path = _log(project, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=project.root,
            env={**environment, **extra},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C reaches us alone, and we stop them in order
        )
    try:
        yield Service(name, process)
    finally:
        stop_tree(process, STOP_SECONDS)


def _register_deployments(project: Project, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.deployments"],
        cwd=project.root,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServiceError(f"the deployments cannot be registered: {_last_line(done.stderr)}")


def _wait_until(ready: Callable[[], bool], started: list[Service], project: Project) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        require_alive(started, project)
        if time.monotonic() > deadline:
            raise ServiceError(f"no answer after {READY_SECONDS:.0f} s; see {_log(project, '*')}")
        time.sleep(0.5)


def require_alive(started: list[Service], project: Project) -> None:
    """Raise `ServiceError` if one of them ended."""
    for service in started:
        code = service.process.poll()
        if code is not None:
            log = _log(project, service.name)
            last = _last_line(log.read_text(encoding="utf-8", errors="replace"))
            raise ServiceError(f"{service.name} ended ({code}): {last}; see {log}")


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2.0) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _listens(service: Service, port: int) -> bool:
    """Whether the service, or a process that it started, listens on the port."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(service.process.pid)
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for process in (parent, *parent.children(recursive=True))
            for connection in process.net_connections(kind="tcp")
        )
    return False


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return int(probe.getsockname()[1])
    raise ServiceError("no port is free on loopback")


@contextmanager
def _noted(project: Project, addresses: Addresses) -> Iterator[None]:
    """Others in this project find the servers by this file."""
    with replacing(_note(project)) as path:
        path.write_text(
            json.dumps({**asdict(addresses), "pid": os.getpid()}) + "\n", encoding="utf-8"
        )
    try:
        yield
    finally:
        _note(project).unlink(missing_ok=True)


def _note(project: Project) -> Path:
    return project.root / ".prefect" / "services.json"


def _log(project: Project, name: str) -> Path:
    return project.root / ".prefect" / "logs" / f"{name}.log"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def stop_on_signals() -> None:
    """SIGTERM ends the program in order, and so does Ctrl-C where a shell had it ignored."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def wait_for_the_end() -> None:
    """Until Ctrl-C or SIGTERM."""
    stop_on_signals()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def show(addresses: Addresses) -> None:
    """Where to look."""
    runs = f"{addresses.mlflow}/#/experiments?workflowType=machine_learning"
    print(f"Prefect dashboard   {addresses.prefect}/dashboard")
    print(f"  deployments       {addresses.prefect}/deployments")
    print(f"MLflow experiments  {runs}")


def main() -> int:
    project = Project(Path.cwd())
    stop_on_signals()
    try:
        with services(project) as addresses:
            show(addresses)
            print("Ctrl-C stops all of it", flush=True)
            wait_for_the_end()
            print("stopping", flush=True)
    except ServiceError as error:
        print(f"serve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped before it was ready", file=sys.stderr)
        return 130
    print("stopped")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
