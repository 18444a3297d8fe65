"""A job list under kill -9: every job one outcome, none twice, no run Running, no process left.

    python -m benchmarks.kills [--jobs 200] [--kills 20] [--seed 0]

A tiny project (32 px, a model of some steps) with real servers. Seeded, each kill falls when a
drawn number of jobs is done, on a drawn victim. Ends with 1 if anything is lost. 200 jobs with 20
kills took 52 minutes on two cores beside a training.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

import httpx
import psutil

from facegraft.core.project import Project
from facegraft.method.sidecar import RECORD, SwapRecord
from flows import marked_processes
from flows.addresses import running
from flows.services import mark_file
from tests.live_servers import Live, tune_longer, wait_for
from tests.tiny_pipeline import new_project, run_road

LIST = "killed.csv"
AT_WORK = ("PENDING", "RUNNING", "CANCELLING")
QUIET = {"FACEGRAFT_CRON_SWAP_QUEUE": "", "FACEGRAFT_CRON_RETRAIN": ""}
START_SECONDS = 60.0
"""Looked for so long at once; a start may take longer."""
IDLE_SECONDS = 600.0
"""Without a new outcome for so long, the list is stuck."""


@dataclass
class Trial:
    """One project, its servers (started again when they ended) and what was seen of the list."""

    project: Project
    http: httpx.Client
    serve: subprocess.Popen[bytes] | None = None
    live: Live | None = None
    marks: set[str] = field(default_factory=set)
    written: dict[Path, int] = field(default_factory=dict)
    pairs: set[tuple[str, str]] = field(default_factory=set)
    twice: set[tuple[str, str]] = field(default_factory=set)
    starts: int = 0

    def outcomes(self) -> int:
        """How many jobs have one; notes those that were written a second time."""
        for path in self.project.swaps.rglob(RECORD):
            written = path.stat().st_mtime_ns
            if self.written.get(path) == written:
                continue
            record = SwapRecord.read(path)
            pair = (record.source.given, record.target.given)
            if pair in self.pairs:
                self.twice.add(pair)
            self.written[path] = written
            self.pairs.add(pair)
        return len(self.pairs)

    def up(self) -> Live:
        """The servers; started if they are not up.

        Raises:
            TimeoutError: they are not ready yet.
        """
        if self.serve is None or self.serve.poll() is not None:
            self.serve, self.live = self._start(), None
        if self.live is None:
            addresses = wait_for(lambda: running(self.project), START_SECONDS)
            self.marks.add(self.mark())
            self.live = Live(self.project, addresses, self.http)
        return self.live

    def up_at_last(self) -> Live | None:
        """The servers; None as long as they are not ready."""
        with suppress(TimeoutError):
            return self.up()
        return None

    def _start(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        with (self.project.root / "serve.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "flows.services"],
                cwd=self.project.root,
                env={**os.environ, **QUIET},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def mark(self) -> str:
        return marked_processes.read_mark(mark_file(self.project))

    def keep_at_work(self) -> None:
        """Servers up and a queue run under way."""
        # A server that was killed just now, or is busy, answers nothing, or no list.
        with suppress(httpx.HTTPError, TimeoutError, TypeError, KeyError):
            live = self.up()
            if not any(
                run["state_type"] in (*AT_WORK, "SCHEDULED") for run in live.runs("swap-queue")
            ):
                live.trigger("swap-queue", {"jobs": LIST})


def runner(trial: Trial) -> list[psutil.Process]:
    """The one process that swaps: the youngest of a flow run's."""
    return sorted(marked_processes.flow_runs(trial.mark()), key=psutil.Process.create_time)[-1:]


def flow(trial: Trial) -> list[psutil.Process]:
    return marked_processes.flow_runs(trial.mark())


def called(*words: str) -> Callable[[Trial], list[psutil.Process]]:
    def find(trial: Trial) -> list[psutil.Process]:
        found = marked_processes.find(trial.mark())
        return [one for one in found if set(words) <= set(cmdline(one))][:1]

    return find


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def starter(trial: Trial) -> list[psutil.Process]:
    assert trial.serve is not None
    return [psutil.Process(trial.serve.pid)]


VICTIMS: dict[str, Callable[[Trial], list[psutil.Process]]] = {
    "runner": runner,
    "flow": flow,
    "worker": called("prefect", "worker"),
    "worker and flow": lambda trial: VICTIMS["worker"](trial) + flow(trial),
    "Prefect server": called("flows.prefect_server"),
    "MLflow server": called("mlflow", "server"),
    "make serve": starter,
    "whole tree": lambda trial: starter(trial) + starter(trial)[0].children(recursive=True),
}


def kill(trial: Trial, name: str) -> int:
    """SIGKILL the victim; returns how many processes that were."""
    try:
        victims = VICTIMS[name](trial)
    except (FileNotFoundError, psutil.NoSuchProcess):  # it is just going down by itself
        return 0
    for one in victims:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGKILL)
    return len(victims)


def run(trial: Trial, jobs: int, kills: int, draw: random.Random) -> None:
    """The list to its end, with kills on the way."""
    due = sorted(draw.sample(range(1, jobs), kills))
    names = [list(VICTIMS)[number % len(VICTIMS)] for number in range(kills)]
    draw.shuffle(names)
    moved, last = time.monotonic(), 0
    while (done := trial.outcomes()) < jobs:
        if done > last:
            moved, last = time.monotonic(), done
        if time.monotonic() - moved > IDLE_SECONDS:
            raise SystemExit(f"stuck at {done} of {jobs}; look into {trial.project.root}")
        trial.keep_at_work()
        if due and done >= due[0]:
            time.sleep(draw.random())
            count = kill(trial, names[0])
            if count:
                print(f"{done:4d} done: killed {names[0]} ({count} processes)", flush=True)
                due.pop(0), names.pop(0)
        time.sleep(0.2)


def at_work(live: Live) -> list[str]:
    """Flow and task runs that are said to be at work, a line each."""
    state = {"state": {"type": {"any_": list(AT_WORK)}}}
    flows = live.post("/flow_runs/filter", {"flow_runs": state}).json()
    tasks = live.post("/task_runs/filter", {"task_runs": state}).json()
    return [f"{one['id']} {one['name']}: {one['state_name']}" for one in (*flows, *tasks)]


@contextmanager
def trial(folder: Path, jobs: int) -> Iterator[Trial]:
    project = new_project(folder)
    run_road(project)
    tune_longer(project)
    keys = [f"test-000/i{i:02d}/a{a:02d}" for i in range(4) for a in range(4)]
    pairs = list(permutations(keys, 2))[:jobs]
    assert len(pairs) == jobs, f"no more than {len(pairs)} jobs"
    rows = [f"{source},{target}\n" for source, target in pairs]
    (project.root / LIST).write_text("source,target\n" + "".join(rows), encoding="utf-8")
    with httpx.Client(trust_env=False, timeout=30.0) as http:
        made = Trial(project, http)
        try:
            yield made
        finally:
            if made.serve is not None:
                made.serve.send_signal(signal.SIGINT)
                made.serve.wait(300)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=200, help="at most 240")
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="facegraft-kills-") as folder:
        with trial(Path(folder) / "project", given.jobs) as made:
            run(made, given.jobs, given.kills, random.Random(given.seed))
            live = wait_for(made.up_at_last, IDLE_SECONDS)
            with suppress(TimeoutError):
                wait_for(lambda: not at_work(live), 120.0)
            busy = at_work(live)
            outcomes = made.outcomes()
        left = [one for mark in made.marks for one in marked_processes.find(mark)]
    print(
        f"{given.kills} kills, {made.starts} starts of make serve, {time.monotonic() - began:.0f} s"
    )
    print(f"{outcomes} outcomes of {given.jobs} jobs, {len(made.twice)} done twice")
    print(f"{len(busy)} runs at work, {len(left)} processes left", *busy, *left, sep="\n")
    return int(bool(outcomes != given.jobs or made.twice or busy or left))


if __name__ == "__main__":
    raise SystemExit(main())
