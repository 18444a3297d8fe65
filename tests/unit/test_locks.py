"""Locks between processes: one at a time, waited for or refused in one line."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from facegraft.core.locks import Busy, one_at_a_time
from facegraft.core.progress import silent
from facegraft.core.project import Project
from facegraft.stages import train as stage
from tests import tiny


def test_what_is_not_waited_for_is_refused_in_one_line(tmp_path: Path) -> None:
    lock, told = tmp_path / "new" / "x.lock", []
    with one_at_a_time(lock, told.append, "import"):
        with (
            pytest.raises(Busy, match=r"^another import is at work in this folder .*x\.lock") as no,
            one_at_a_time(lock, told.append, "import", wait=False),
        ):
            pass
        assert "\n" not in str(no.value)
    with one_at_a_time(lock, told.append, wait=False):
        assert not told


def test_of_the_processes_of_a_torchrun_the_first_holds_the_lock_and_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, params = Project(tmp_path), tiny.params()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with ExitStack() as held:
        for rank in ("0", "1"):
            monkeypatch.setenv("RANK", rank)
            held.enter_context(stage._training_lock(project, params, silent))
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(Busy, match="another training"):
            held.enter_context(stage._training_lock(project, params, silent))
