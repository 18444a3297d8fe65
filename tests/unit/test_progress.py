"""Progress: a line or a bar, whose ETA is of this run and this phase."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from itertools import count

import pytest

from facegraft.core import progress
from facegraft.core.progress import Progress, console, lines


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds pass between two looks at it."""
    ticks = count(0.0, 10.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(ticks))


def read_then_resumed(report: Progress, between: Callable[[], object] = lambda: None) -> None:
    """A phase of 210, then one of 3,000 that goes on at 1,800."""
    for done, total in ((0, 210), (100, 210), (210, 210), (1800, 3000), (1900, 3000)):
        report(done, total, "")
        between()


def test_lines_carry_share_and_eta_and_always_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    written: list[str] = []
    report = lines("train", written.append)
    for done in range(11):
        report(done, 10, "x")
        now[0] += 2.0
    assert written[0] == "train 0/10 0% ETA ? x"
    assert written[1] == "train 3/10 30% ETA 00:14 x"
    assert written[-1] == "train 10/10 100% ETA 00:00 x"
    assert len(written) < 7
    now[0] += 1000.0
    report(1, 4, "resumed")
    now[0] += 6.0
    report(2, 4, "resumed")
    assert written[-1] == "train 2/4 50% ETA 00:12 resumed"


def test_the_eta_counts_from_where_a_phase_went_on(clock: None) -> None:
    written: list[str] = []
    read_then_resumed(lines("base", written.append))
    etas = [re.findall(r"(\d+)/\d+ .* ETA (\S+)", line)[0] for line in written]
    # 100 steps in 10 s: the other 110 take 11 s, the other 1,100 take 110.
    assert etas == [
        ("0", "?"),
        ("100", "00:11"),
        ("210", "00:00"),
        ("1800", "?"),
        ("1900", "01:50"),
    ]


def test_so_does_that_of_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with console("base") as report:
        read_then_resumed(report, lambda: time.sleep(0.05))
    drawn = capsys.readouterr().err.split("\r")
    rates = [float(rate) for rate in re.findall(r"1900/3000 .*, +([\d.]+)it/s", "\n".join(drawn))]
    assert rates
    assert max(rates) < 4000, "1,900 steps were not done in these milliseconds, 100 were"
