"""`make serve`: the Prefect server, the MLflow server and a worker, on loopback, until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from facegraft.adapters.own_origin import NAMES
from facegraft.adapters.tracking import TrackingError, artifacts_destination, database_file
from facegraft.core.project import Project
from flows import marked_processes
from flows.addresses import HOST, Addresses, free_port, noted, running
from flows.processes import (
    STOP_SECONDS,
    Service,
    ServiceError,
    last_line,
    listens,
    log_file,
    lost_its_port,
    require_alive,
    service,
    wait_until,
)

PREFECT_PORT = 4200
MLFLOW_PORT = 5000
WORK_POOL = "facegraft"

WORKER_LIMIT = 2
"""Flow runs at once: a training, and a swap beside it."""

WORKER = (
    *("prefect", "worker", "start", "--pool", WORK_POOL, "--type", "process"),
    *("--limit", str(WORKER_LIMIT)),
)

PORT_TRIES = 4
"""A port that is free when it is chosen may be taken in the seconds until its server listens."""

RESTARTS = 5
RESTART_SECONDS = 600.0
"""A worker that ends more often than that in so many seconds is not started again."""

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

LOGIN = "PREFECT_SERVER_API_AUTH_STRING"
"""Prefect's setting `name:password`; where it is set, both servers ask for it."""


@dataclass
class Services:
    """What `services` started, while its block lasts."""

    project: Project
    addresses: Addresses
    mark: str
    stack: ExitStack
    watchdog: subprocess.Popen[bytes]
    servers: list[Service] = field(default_factory=list)
    worker: Service | None = None
    replaced: list[float] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Of every process here, and of a client that is to end with the servers."""
        return {
            **os.environ,
            **base_environment(self.project),
            **self.addresses.environment,
            marked_processes.VARIABLE: self.mark,
        }

    def start(
        self,
        name: str,
        command: list[str],
        settings: Mapping[str, str] | None = None,
        stack: ExitStack | None = None,
    ) -> Service:
        """Run `python -m command`; it is stopped when the stack's block ends, by default ours."""
        environment = {**self.environment, **(settings or {})}
        one = service(self.project, name, command, environment)
        return (stack or self.stack).enter_context(one)

    def check(self) -> None:
        """Replace a worker that ended.

        Raises:
            ServiceError: a server ended, or the worker ends again and again.
        """
        if self.watchdog.poll() is not None:
            self.watchdog = marked_processes.start_watchdog(self.mark)
        require_alive(self.servers, self.project)
        if self.worker is not None and self.worker.process.poll() is not None:
            self._replace_worker(self.worker)

    def watch(self) -> None:
        """`check`, every second, until Ctrl-C."""
        while True:
            self.check()
            time.sleep(1.0)

    def _replace_worker(self, ended: Service) -> None:
        """End the flow runs that it left, call them crashed, and start another worker."""
        now = time.monotonic()
        self.replaced = [then for then in self.replaced if now - then < RESTART_SECONDS]
        if len(self.replaced) == RESTARTS:
            require_alive([ended], self.project)
        self.replaced.append(now)
        marked_processes.end(marked_processes.flow_runs(self.mark), STOP_SECONDS)
        _client(self, "flows.dead_runs", "--of-workers")
        self.worker = self.start("worker", list(WORKER))


@contextmanager
def services(
    project: Project,
    *,
    worker: bool = True,
    ports: tuple[int, int] = (PREFECT_PORT, MLFLOW_PORT),
    tell: Callable[[str], None] = print,
) -> Iterator[Services]:
    """Start the servers, register the deployments, and stop everything when the block ends.

    What a killed `make serve` of this project left behind is ended first, and its runs are called
    crashed. When this process is killed itself, all that it started ends too.

    Args:
        worker: start a worker too, so that deployments run.
        ports: of Prefect and MLflow; another where one is taken (0: any).

    Raises:
        ServiceError: one did not come up, or this project's servers run already.
    """
    try:
        database_file(project)
    except TrackingError as error:  # before Prefect's, beside it, is made
        raise ServiceError(str(error)) from error
    with ExitStack() as stack:
        stack.enter_context(_serve_lock(project))
        record = mark_file(project)
        mark = stack.enter_context(marked_processes.fresh_mark(record, STOP_SECONDS))
        watchdog = marked_processes.start_watchdog(mark)
        served = Services(project, _free(ports), mark, stack, watchdog)
        stack.callback(lambda: marked_processes.stop_watchdog(served.watchdog))
        tell("starting the Prefect server and the MLflow server (20 to 40 s the first time)")
        _bring_up(served, ports)
        tell("registering the deployments")
        _client(served, "flows.deployments")
        if worker:
            served.worker = served.start("worker", list(WORKER))
        stack.enter_context(noted(project, served.addresses))
        yield served


def mark_file(project: Project) -> Path:
    """Where `marked_processes.fresh_mark` keeps this project's mark.

    The name stays: by it the next start finds what an older version left.
    """
    return project.root / ".prefect" / "family.json"


def base_environment(project: Project) -> dict[str, str]:
    """Environment of every process: telemetry off, state inside the project folder, the login."""
    return {
        **QUIET,
        **PATIENT_SQLITE,
        **_login(),
        "PREFECT_HOME": str(project.root.resolve() / ".prefect"),
        "PREFECT_CLI_PROMPT": "false",
        "PYTHONUNBUFFERED": "1",
        # Waiting threads that spin slow everything down where cores are shared.
        "OMP_WAIT_POLICY": "passive",
        # DVC's stages call `python`: the one that runs this.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def _login() -> dict[str, str]:
    """The servers' login, as the clients of both want it."""
    login = os.environ.get(LOGIN)
    if not login:
        return {}
    name, colon, password = login.partition(":")
    if not (name and colon and password):
        raise ServiceError(f"{LOGIN} must be name:password")
    return {
        "PREFECT_API_AUTH_STRING": login,
        "MLFLOW_TRACKING_USERNAME": name,
        "MLFLOW_TRACKING_PASSWORD": password,
    }


@contextmanager
def _serve_lock(project: Project) -> Iterator[None]:
    """Hold this project's lock, which the system frees when its holder dies."""
    path = project.root / ".prefect" / "serve.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        there = running(project)
        where = f": {there.prefect} and {there.mlflow}" if there else ", but not ready or stopping"
        raise ServiceError(f"already running{where}") from None
    try:
        yield
    finally:
        lock.release()


def _bring_up(served: Services, ports: tuple[int, int]) -> None:
    """Start both servers, on other ports if a program takes one before they listen there.

    Raises:
        ServiceError: one did not come up.
    """
    for left in reversed(range(PORT_TRIES)):
        for old in log_file(served.project, "x").parent.glob("*.log"):  # a service adds to its log
            old.unlink()
        served.servers.clear()
        with ExitStack() as started:
            _start_servers(served, started)
            try:
                wait_until(lambda: _ready(served), served.servers, served.project)
            except ServiceError:
                if left and any(lost_its_port(one, served.project) for one in served.servers):
                    served.addresses = _free(ports)
                    continue
                raise
            served.stack.push(started.pop_all())
            return


def _free(ports: tuple[int, int]) -> Addresses:
    """With these ports, or others where they are taken."""
    return Addresses(*(f"http://{HOST}:{free_port(port)}" for port in ports))


def _ready(served: Services) -> bool:
    """Whether our servers answer; another program may answer at an address just as well."""
    addresses = served.addresses
    return addresses.healthy() and all(map(listens, served.servers, addresses.ports))


def _start_servers(served: Services, started: ExitStack) -> None:
    """Both servers, until `started` ends; `adapters/own_origin.py` stands before each of them."""
    project, addresses = served.project, served.addresses
    prefect_port, mlflow_port = map(str, addresses.ports)
    prefect_hosts, mlflow_hosts = (
        [f"{name}:{port}" for name in NAMES] for port in (prefect_port, mlflow_port)
    )
    prefect_settings = {"PREFECT_SERVER_CORS_ALLOWED_ORIGINS": _origins(prefect_hosts)}
    command = ["flows.prefect_server", prefect_port]
    served.servers.append(served.start("prefect", command, prefect_settings, started))
    project.mlruns.mkdir(parents=True, exist_ok=True)
    command = [
        *("mlflow", "server", "--host", HOST, "--port", mlflow_port, "--workers", "2"),
        *("--app-name", "facegraft"),
        *("--allowed-hosts", ",".join(mlflow_hosts)),
        *("--cors-allowed-origins", _origins(mlflow_hosts)),
        *("--backend-store-uri", f"sqlite:///{database_file(project)}"),
        *("--artifacts-destination", artifacts_destination(project)),
    ]
    mlflow_settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    served.servers.append(served.start("mlflow", command, mlflow_settings, started))


def _origins(hosts: list[str]) -> str:
    return ",".join(f"http://{host}" for host in hosts)


def _client(served: Services, *command: str) -> None:
    """Run one of our Prefect clients to its end; Prefect reads its settings at import."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=served.project.root,
        env=served.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServiceError(f"{command[0]} failed: {last_line(done.stderr)}")


def stop_on_signals() -> None:
    """SIGTERM ends the program in order, and so does Ctrl-C where a shell had it ignored."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


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
        with services(project) as served:
            show(served.addresses)
            print("Ctrl-C stops all of it", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                served.watch()
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
