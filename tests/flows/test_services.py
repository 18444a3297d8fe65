"""Starting and stopping processes: none is left behind, and what failed is named."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from facegraft.core.project import Project
from flows import addresses, marked_processes, processes, services
from flows.addresses import Addresses
from flows.processes import ServiceError
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
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        started = time.monotonic()
        processes.stop_tree(process, 0.5)
        assert time.monotonic() - started < 10
    assert process.returncode == -9
    assert not live_servers.alive(children)


def test_a_process_that_ended_is_let_be() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        processes.stop_tree(process, 0.5)


def test_a_taken_port_is_not_used() -> None:
    with socket.socket() as taken:
        taken.bind((addresses.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert addresses.free_port(port) not in (0, port)
    assert addresses.free_port(port) == port


def test_servers_that_are_gone_do_not_run(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert addresses.running(project) is None
    with addresses.noted(project, Addresses("http://127.0.0.1:9", "http://127.0.0.1:9")):
        assert addresses.running(project) is None
    assert not addresses._note(project).exists()


def test_the_note_of_a_killed_starter_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    monkeypatch.setattr(Addresses, "healthy", lambda self: True)  # another project's servers
    with subprocess.Popen([sys.executable, "-c", ""]) as killed:
        killed.wait()
    with addresses.noted(project, Addresses("http://127.0.0.1:9", "http://127.0.0.1:9")):
        assert addresses.running(project) is not None
        note = json.loads(addresses._note(project).read_text())
        # Another process may have the number of the dead one by now.
        for wrong in ({"pid": killed.pid}, {"started": note["started"] - 1.0}):
            addresses._note(project).write_text(json.dumps({**note, **wrong}))
            assert addresses.running(project) is None


def test_a_server_that_ends_is_named_with_its_last_line(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with processes.service(project, "mlflow", ["no_such_module_here"], {}) as service:
        service.process.wait()
        with pytest.raises(ServiceError, match=r"mlflow ended \(1\): .*no_such_module_here"):
            processes.require_alive([service], project)


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
    port = addresses.free_port(0)
    command = ["http.server", str(port), "--bind", addresses.HOST]
    with processes.service(project, "prefect", command, {}) as listener:
        live_servers.wait_for(lambda: processes.listens(listener, port), 20.0)
        with processes.service(project, "mlflow", command, {}) as late:
            late.process.wait(20)
            assert not processes.listens(late, port)
            with pytest.raises(ServiceError, match="mlflow ended"):
                processes.wait_until(
                    lambda: processes.listens(late, port), [listener, late], project
                )
    assert not processes.listens(listener, port)


@pytest.mark.parametrize("tries", [4, 1])
def test_a_port_that_is_taken_meanwhile_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    (tmp_path / "api").mkdir()
    for page in ("health", "api/health"):
        (tmp_path / page).write_text("ok")

    def file_servers(served: services.Services, started: contextlib.ExitStack) -> None:
        for name, port in zip(("prefect", "mlflow"), served.addresses.ports, strict=True):
            command = ["http.server", str(port), "--bind", addresses.HOST]
            served.servers.append(served.start(name, command, None, started))

    with socket.socket() as taken, contextlib.ExitStack() as stack:
        taken.bind((addresses.HOST, 0))
        taken.listen()
        unlucky = taken.getsockname()[1]
        chosen = iter([addresses.free_port(0), unlucky])  # free when it was looked at
        monkeypatch.setattr(services, "_start_servers", file_servers)
        monkeypatch.setattr(services, "PORT_TRIES", tries)
        monkeypatch.setattr(
            services, "free_port", lambda port: next(chosen, None) or addresses.free_port(port)
        )
        watchdog = marked_processes.start_watchdog("a-test")
        stack.callback(marked_processes.stop_watchdog, watchdog)
        served = services.Services(
            Project(tmp_path), services._free((0, 0)), "a-test", stack, watchdog
        )
        if tries == 1:
            with pytest.raises(ServiceError, match="mlflow ended"):
                services._bring_up(served, (0, 0))
            return
        services._bring_up(served, (0, 0))
        assert served.addresses.healthy()
        assert unlucky not in served.addresses.ports
    assert not served.addresses.healthy()


SLEEPER = "import time; time.sleep(120)"
PARENT = (
    f"import subprocess,sys,time; subprocess.Popen([sys.executable,'-c',{SLEEPER!r}],"
    "start_new_session=True); print(1,flush=True); time.sleep(120)"
)


def marked(mark: str) -> subprocess.Popen[bytes]:
    """A process with that mark which has a child in a session of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env={**os.environ, marked_processes.VARIABLE: mark},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_only_processes_with_the_mark_are_ended(tmp_path: Path) -> None:
    record = tmp_path / "family.json"
    with marked_processes.fresh_mark(record, 1.0) as mark, marked("another") as stranger:
        try:
            with marked(mark) as ours:
                found = marked_processes.find(mark)
                assert len(found) == 2
                ours.kill()  # the child outlives it, in a session of its own
                ours.wait()
                assert marked_processes.end_all(marked_processes.read_mark(record), 1.0) == 1
            assert not live_servers.alive(found)
            assert stranger.poll() is None
        finally:
            marked_processes.end_all("another", 1.0)
    assert not record.exists()


def test_what_a_killed_start_left_is_ended_by_the_next(tmp_path: Path) -> None:
    record = tmp_path / "family.json"
    record.write_text(json.dumps({"mark": "killed"}), encoding="utf-8")
    with marked("killed"):
        found = marked_processes.find("killed")
        with marked_processes.fresh_mark(record, 1.0) as mark:
            assert mark != "killed"
            assert not live_servers.alive(found)


def test_the_watchdog_ends_what_a_killed_starter_left(tmp_path: Path) -> None:
    code = (
        "import os,sys,subprocess,time; from flows import marked_processes;"
        f"subprocess.Popen([sys.executable,'-c',{SLEEPER!r}],"
        "env={**os.environ, marked_processes.VARIABLE: 'orphans'}, start_new_session=True);"
        "marked_processes.start_watchdog('orphans'); print(1,flush=True); time.sleep(120)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        starter.stdout.readline()
        watchdog = psutil.Process(starter.pid).children()
        found = marked_processes.find("orphans")
        assert len(found) == 1
        starter.kill()
    live_servers.wait_for(lambda: not live_servers.alive([*found, *watchdog]), 30.0)


def test_a_worker_that_ends_again_and_again_stops_the_whole(tmp_path: Path) -> None:
    project = Project(tmp_path)
    watchdog = subprocess.Popen([sys.executable, "-c", SLEEPER])
    with contextlib.ExitStack() as stack:
        stack.callback(watchdog.wait)
        stack.callback(watchdog.kill)
        nowhere = Addresses("http://127.0.0.1:9", "http://127.0.0.1:9")
        served = services.Services(project, nowhere, "none", stack, watchdog)
        served.worker = served.start("worker", ["no_such_worker"])
        served.worker.process.wait()
        served.replaced = [time.monotonic()] * services.RESTARTS
        with pytest.raises(ServiceError, match=r"worker ended \(1\): .*no_such_worker"):
            served.check()


def test_a_question_mark_in_the_folder_is_refused_before_a_database_is_made(
    tmp_path: Path,
) -> None:
    root = tmp_path / "why?" / "project"
    root.mkdir(parents=True)
    with (
        pytest.raises(ServiceError, match=r"why\?/project: .*rename it"),
        services.services(Project(root), ports=(0, 0)),
    ):
        pass
    assert not list(tmp_path.rglob("*.db"))


def test_one_login_reaches_the_clients_of_both_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(services.LOGIN, "anna:se:cret")
    environment = services.base_environment(Project(tmp_path))
    assert environment["PREFECT_API_AUTH_STRING"] == "anna:se:cret"
    assert environment["MLFLOW_TRACKING_USERNAME"] == "anna"
    assert environment["MLFLOW_TRACKING_PASSWORD"] == "se:cret"
    monkeypatch.setenv(services.LOGIN, "secret")
    with pytest.raises(ServiceError, match="must be name:password"):
        services.base_environment(Project(tmp_path))
