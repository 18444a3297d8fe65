"""`make demo`: the whole road as Prefect flows, from data to judged, tuned, recorded swaps."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facegraft.project import Project
from flows.services import (
    Addresses,
    ServiceError,
    base_environment,
    running,
    services,
    show,
    stop_on_signal,
    wait_for_the_end,
)

JOBS = "jobs.csv"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--keep",
        action=argparse.BooleanOptionalAction,
        default=sys.stdin.isatty() and sys.stdout.isatty(),
        help="leave the servers up until Ctrl-C, to look around (default: on a terminal)",
    )
    keep = options.parse_args().keep
    signal.signal(signal.SIGTERM, stop_on_signal)
    try:
        return demo(Project(Path.cwd()), keep=keep)
    except ServiceError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; run it again and it goes on from here", file=sys.stderr)
        return 130


def demo(project: Project, *, keep: bool) -> int:
    """Run the road on this project's servers; started here if they do not run yet."""
    started = time.monotonic()
    os.environ.update(base_environment(project))
    _heading("1/3 servers")
    with _servers(project) as (addresses, ours):
        os.environ.update(addresses.environment)
        failed = _road(project, addresses)
        minutes, seconds = divmod(round(time.monotonic() - started), 60)
        print(f"\n{minutes} min {seconds} s", flush=True)
        if ours and keep:
            print("The servers stay up; Ctrl-C stops them.", flush=True)
            wait_for_the_end()
        elif ours:
            print("The servers stop with the demo; `make serve` brings them back.", flush=True)
    return 1 if failed else 0


def _road(project: Project, addresses: Addresses) -> bool:
    # Prefect reads where its server is when it is imported.
    from facegraft.adapters.tracking import experiment_url
    from flows.report import write_report
    from flows.retrain import retrain
    from flows.swap_queue import swap_queue

    _heading("2/3 retrain: data, validation, training, evaluation, promotion")
    trained = retrain("demo", return_state=True)
    if not trained.is_completed():
        print(f"demo: retrain stopped: {trained.message}", file=sys.stderr)
        return True
    _heading("3/3 swap-queue: the pairs of jobs.csv, each fine-tuned until it passes")
    state = swap_queue(JOBS, limit=None, return_state=True)
    swaps = project.swaps / Path(JOBS).stem
    experiment = experiment_url(project)
    links = {"MLflow experiment": experiment, "Prefect dashboard": f"{addresses.prefect}/dashboard"}
    page = write_report(project, swaps, links, title="facegraft: the demo's report")
    _heading("where to look")
    print(f"report              {page}")
    print(f"data gate           {project.validation / 'index.html'}")
    print(f"MLflow experiment   {experiment}")
    print(f"Prefect dashboard   {addresses.prefect}/dashboard")
    _verdicts(swaps)
    if not state.is_completed():
        print(f"swap-queue: {state.message}")
    return not state.is_completed()


def _verdicts(swaps: Path) -> None:
    from facegraft.sidecar import SwapRecord

    for sidecar in sorted(swaps.glob("*.json")):
        if not sidecar.name.endswith(".error.json"):
            record = SwapRecord.read(sidecar)
            print(
                f"{record.verdict}  {record.source.given} on {record.target.given}:"
                f" {record.reason}; {swaps / record.image}"
            )


@contextmanager
def _servers(project: Project) -> Iterator[tuple[Addresses, bool]]:
    """The servers and whether they were started here."""
    already = running(project)
    if already is not None:
        print("using the servers that run already")
        show(already)
        yield already, False
        return
    with services(project, worker=False) as addresses:
        show(addresses)
        yield addresses, True


def _heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
