"""`make serve` leaves nothing behind, whether it is stopped or killed, or parts of it are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest

from facegraft.core.project import Project
from facegraft.method.sidecar import RECORD
from flows.addresses import Addresses, running
from tests.live_servers import Live, alive, tune_longer, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def as_in_a_background_job() -> None:
    """Shells start background jobs with Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_ctrl_c_stops_every_process(copy_project: Project) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "flows.services"],
        cwd=copy_project.root,
        stdout=subprocess.DEVNULL,
        preexec_fn=as_in_a_background_job,
    ) as process:
        try:
            addresses = wait_for(lambda: running(copy_project), 180.0)
            children = psutil.Process(process.pid).children(recursive=True)
            assert len(children) >= 3
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.terminate()  # or a failure would wait for ever
    assert not alive(children)
    assert not addresses.healthy()
    assert running(copy_project) is None


class Serve:
    """`make serve` as a process of its own."""

    def __init__(self, live: Live, process: subprocess.Popen[str]) -> None:
        self.live = live
        self.process = process

    def all(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def called(self, *words: str) -> psutil.Process:
        """The child of `make serve` with these words in its command line."""
        for one in psutil.Process(self.process.pid).children():
            if set(words) <= set(one.cmdline()):
                return one
        raise LookupError(words)

    def queue_at_work(self, name: str) -> str:
        """The id of a run of the swap queue that has finished its first pair."""
        root = self.live.project.root
        pairs = [f"test-000/i{i:02d}/a00,test-000/i{j:02d}/a01" for i in range(2) for j in range(2)]
        (root / f"{name}.csv").write_text("source,target\n" + "\n".join(pairs) + "\n")
        run = self.live.trigger("swap-queue", {"jobs": f"{name}.csv"}).json()["id"]
        wait_for(lambda: list((root / "build/swaps").glob(f"{name}-*/*/{RECORD}")), 180.0)
        return run

    def kill(self, *processes: psutil.Process) -> None:
        for one in processes:
            one.send_signal(signal.SIGKILL)


@contextmanager
def serve(project: Project) -> Iterator[Serve]:
    with (
        subprocess.Popen(
            [sys.executable, "-m", "flows.services"],
            cwd=project.root,
            env={**os.environ, "FACEGRAFT_CRON_SWAP_QUEUE": "", "FACEGRAFT_CRON_RETRAIN": ""},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        httpx.Client(trust_env=False, timeout=30.0) as http,
    ):
        try:
            addresses = wait_for(lambda: running(project) or process.poll(), 400.0)
            assert isinstance(addresses, Addresses), "it ended before it was ready"
            yield Serve(Live(project, addresses, http), process)
        finally:
            process.terminate()


def test_kills_leave_nothing_running(copy_project: Project) -> None:
    tune_longer(copy_project)

    # Worker and flow run at once: the run is Crashed, its slot free, and there is a new worker.
    with serve(copy_project) as served:
        run = served.queue_at_work("one")
        worker = served.called("worker")
        served.kill(worker, *worker.children(recursive=True))
        assert served.live.finish(run, 600.0)["state_type"] == "CRASHED"
        again = served.live.trigger("swap-queue", {"jobs": "one.csv"}).json()["id"]
        assert served.live.finish(again, 600.0)["state_type"] == "COMPLETED"

        # `make serve` itself, with a run at work: all that it started ends.
        run = served.queue_at_work("two")
        left = served.all()
        served.process.kill()
        wait_for(lambda: not alive(left), 90.0)

    # The next start calls the run crashed, and frees its slot. Killed with its watchdog, it leaves
    # both servers behind.
    with serve(copy_project) as served:
        assert served.live.run(run)["state_type"] == "CRASHED"
        assert "RUNNING" not in served.live.task_states(run)
        left = served.all()
        served.kill(served.called("flows.marked_processes"))
        served.process.kill()
    assert alive(left)

    # The start after that ends them, and a server that ends stops the whole.
    with serve(copy_project) as served:
        assert not alive(left)
        left = served.all()
        served.kill(served.called("flows.prefect_server"))
        assert served.process.wait(90) == 1
        assert served.process.stderr is not None
        assert "prefect ended (-9)" in served.process.stderr.read()
    assert not alive(left)
    assert running(copy_project) is None
