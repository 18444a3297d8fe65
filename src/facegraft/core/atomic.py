"""Files that are either whole or absent."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""Errors of a disk that takes nothing more: the next file would meet them as well."""

RUST = re.compile(r"\(os error (\d+)\)")
"""The system's error number in the exceptions of libraries in Rust, e.g. safetensors."""

LONGEST_HEAD = 64
"""Characters of a file's name that its temporary file repeats: names have at most 255 bytes."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in `path`'s folder; on success it takes `path`'s place at once.

    The folder is made if need be. If the block raises, `path` is untouched and the temporary
    file is gone. Where the disk takes no more, whoever wrote, the error is an OSError that names
    `path`. What killed writers of this file have left is cleared first: a living writer
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
    except Exception as error:
        number = _no_room(error, temporary)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def _no_room(error: Exception, temporary: Path) -> int | None:
    """The number of the system's error, where the disk takes no more of the temporary file."""
    if not isinstance(error, OSError):
        match = RUST.search(str(error))
        number = int(match.group(1)) if match else None
    elif error.errno is None and "requested and" in str(error):
        number = errno.ENOSPC  # numpy: "4096 requested and 512 written"
    else:
        number = error.errno if error.filename in (None, str(temporary)) else None
    return number if number in NO_ROOM else None


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
