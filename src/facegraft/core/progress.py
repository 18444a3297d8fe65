"""How a stage reports how far it is: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Progress = Callable[[int, int, str], None]
"""Called with (done, total, text); `done` counts from 0 to `total`."""

SECONDS_BETWEEN_LINES = 5.0


def silent(done: int, total: int, text: str) -> None:
    """Report nothing."""


@contextmanager
def console(title: str) -> Iterator[Progress]:
    """Progress on standard error: a bar with an ETA on a terminal, else one line per 5 s."""
    if sys.stderr.isatty():
        with _bar(title) as report:
            yield report
    else:
        yield lines(title, lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201


def lines(title: str, write: Callable[[str], None]) -> Progress:
    """Progress as text lines with an ETA, at most one per 5 s and always the last."""
    started = time.monotonic()
    last = started - SECONDS_BETWEEN_LINES
    first = 0
    before = Before()

    def report(done: int, total: int, text: str) -> None:
        nonlocal started, last, first
        now = time.monotonic()
        if before.begins(done, total):
            started, first = now, done
        if now - last < SECONDS_BETWEEN_LINES and done < total:
            return
        last = now
        eta = (now - started) / (done - first) * (total - done) if done > first else None
        remaining = "?" if eta is None else tqdm.format_interval(eta)
        write(f"{title} {done}/{total} {100 * done // max(total, 1)}% ETA {remaining} {text}")

    return report


@contextmanager
def _bar(title: str) -> Iterator[Progress]:
    before = Before()
    with tqdm(total=0, desc=title, dynamic_ncols=True) as bar:

        def report(done: int, total: int, text: str) -> None:
            if before.begins(done, total):
                bar.reset(total)
                bar.initial = done
            bar.n = done
            bar.set_postfix_str(text, refresh=True)

        yield report


class Before:
    """The report before this one, by which a phase that begins is known, perhaps resumed midway.

    The ETA counts from there: what was done earlier took none of this run's time.
    """

    def __init__(self) -> None:
        self.done, self.total = 0, -1

    def begins(self, done: int, total: int) -> bool:
        """Whether a phase begins: another total, or fewer done."""
        begins = total != self.total or done < self.done
        self.done, self.total = done, total
        return begins
