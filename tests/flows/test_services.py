"""Starting and stopping processes: none is left behind, and what failed is named."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from facegraft.project import Project
from flows import services
from flows.services import Addresses, ServiceError
from tests import live_servers

STUBBORN = (
    "import signal,subprocess,sys,time;"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "p=subprocess.Popen([sys.executable,'-c','import signal,time;"
    "signal.signal(signal.SIGTERM,signal.SIG_IGN); print(1,flush=True); time.sleep(60)']);"
    "time.sleep(60)"
)


def test_a_stubborn_process_and_its_child_are_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        family = psutil.Process(process.pid).children(recursive=True)
        assert family
        started = time.monotonic()
        services.stop_tree(process, 0.5)
        assert time.monotonic() - started < 10
    assert process.returncode == -9
    assert not live_servers.alive(family)


def test_a_process_that_ended_is_let_be() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        services.stop_tree(process, 0.5)


def test_a_taken_port_is_not_used() -> None:
    with socket.socket() as taken:
        taken.bind((services.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert services._free_port(port) not in (0, port)
    assert services._free_port(port) == port


def test_servers_that_are_gone_do_not_run(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert services.running(project) is None
    with services._noted(project, Addresses("http://127.0.0.1:9", "http://127.0.0.1:9")):
        assert services.running(project) is None
    assert not services._note(project).exists()


def test_the_note_of_a_killed_starter_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    monkeypatch.setattr(Addresses, "healthy", lambda self: True)  # another project's servers
    with subprocess.Popen([sys.executable, "-c", ""]) as killed:
        killed.wait()
    with services._noted(project, Addresses("http://127.0.0.1:9", "http://127.0.0.1:9")):
        assert services.running(project) is not None
        noted = json.loads(services._note(project).read_text())
        services._note(project).write_text(json.dumps({**noted, "pid": killed.pid}))
        assert services.running(project) is None


def test_a_server_that_ends_is_named_with_its_last_line(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with services._process(project, "mlflow", ["no_such_module_here"], {}) as service:
        service.process.wait()
        with pytest.raises(ServiceError, match=r"mlflow ended \(1\): .*no_such_module_here"):
            services.require_alive([service], project)


def test_nothing_calls_home_and_state_stays_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", "/somewhere/else")
    environment = services.base_environment(Project(tmp_path))
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment["DVC_NO_ANALYTICS"] == "1"
    assert Path(environment["PREFECT_HOME"]).is_relative_to(tmp_path)


def test_only_the_process_that_listens_counts(tmp_path: Path) -> None:
    project = Project(tmp_path)
    port = services._free_port(0)
    command = ["http.server", str(port), "--bind", services.HOST]
    with services._process(project, "prefect", command, {}) as listener:
        live_servers.wait_for(lambda: services._listens(listener, port), 20.0)
        with services._process(project, "mlflow", command, {}) as late:
            late.process.wait(20)
            assert not services._listens(late, port)
            with pytest.raises(ServiceError, match="mlflow ended"):
                services._wait_until(
                    lambda: services._listens(late, port), [listener, late], project
                )
    assert not services._listens(listener, port)
