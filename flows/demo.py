"""`make demo`: the whole road as Prefect flows, from data to judged, tuned, recorded swaps."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from facegraft.core.project import Project
from flows.services import (
    Addresses,
    ServiceError,
    Services,
    base_environment,
    running,
    services,
    show,
    stop_on_signals,
)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--keep",
        action=argparse.BooleanOptionalAction,
        default=sys.stdin.isatty() and sys.stdout.isatty(),
        help="leave the servers up until Ctrl-C, to look around (default: on a terminal)",
    )
    keep = options.parse_args().keep
    stop_on_signals()
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
    print("== 1/3 servers", flush=True)
    with _servers(project) as (addresses, ours):
        show(addresses)
        environment = {**base_environment(project), **addresses.environment}
        code = _run_road(project, ours.environment if ours else environment)
        minutes, seconds = divmod(round(time.monotonic() - started), 60)
        print(f"\n{minutes} min {seconds} s", flush=True)
        if ours and keep:
            print("The servers stay up; Ctrl-C stops them.", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                ours.watch()
        elif ours:
            print("The servers stop with the demo; `make serve` brings them back.", flush=True)
    return code


def _run_road(project: Project, environment: Mapping[str, str]) -> int:
    """In a process of its own, whose last log lines reach the server before that stops."""
    with subprocess.Popen(
        [sys.executable, "-m", "flows.pipeline"],
        cwd=project.root,
        env={**os.environ, **environment},
    ) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise


@contextmanager
def _servers(project: Project) -> Iterator[tuple[Addresses, Services | None]]:
    """Where the servers are, and what was started here."""
    already = running(project)
    if already is not None:
        print("using the servers that run already", flush=True)
        yield already, None
        return
    with services(project, worker=False) as served:
        yield served.addresses, served


if __name__ == "__main__":
    raise SystemExit(main())
