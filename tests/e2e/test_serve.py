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


def test_ctrl_c_stops_every_process(copy_project: Project) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "flows.services"],
        cwd=copy_project.root,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        addresses = wait_for(lambda: running(copy_project), 180.0)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 3
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not alive(family)
    assert not addresses.healthy()
    assert running(copy_project) is None
