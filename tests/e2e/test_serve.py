"""`make serve` leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

from facegraft.project import Project
from flows.services import running
from tests.live_servers import alive, wait_for

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
            family = psutil.Process(process.pid).children(recursive=True)
            assert len(family) >= 3
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.terminate()  # or a failure would wait for ever
    assert not alive(family)
    assert not addresses.healthy()
    assert running(copy_project) is None
