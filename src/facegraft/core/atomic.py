"""Files that are either whole or absent."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

LONGEST_HEAD = 64
"""Characters of a file's name that its temporary file repeats: names have at most 255 bytes."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in `path`'s folder; on success it takes `path`'s place at once.

    The folder is made if need be. If the block raises, `path` is untouched and the temporary
    file is gone. What killed writers of this file have left is cleared first: a living writer
    holds a lock on its temporary file, which the system frees when it dies.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name.lstrip('.').split('.')[0][:LONGEST_HEAD]}.tmp-"
    _clear_leftovers(path.parent, prefix)
    handle, temporary = _open_temporary(path, prefix)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def _open_temporary(path: Path, prefix: str) -> tuple[int, Path]:
    """A new file with our lock on it, by its handle and path."""
    while True:
        # The suffix stays last: some writers choose their format, or add one, by it.
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
        with suppress(OSError):  # a file system without locks: there, leftovers stay
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # else cleared between the two, for it had no lock yet
            return handle, Path(name)
        os.close(handle)


def _clear_leftovers(folder: Path, prefix: str) -> None:
    for leftover in folder.glob(f"{escape(prefix)}*"):
        with suppress(OSError), leftover.open("rb") as stream:  # locked: its writer lives
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink(missing_ok=True)
