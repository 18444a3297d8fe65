"""Files that users name, read whole and once, never waited for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from facegraft.core.errors import FacegraftError


class Unreadable(FacegraftError):
    """A named file cannot be read; the reason and the mend, without the file's name."""


def read_whole(path: Path, noun: str, most: int) -> bytes:
    """The bytes of a regular file.

    Args:
        noun: what a message calls the file, e.g. "picture file".
        most: bytes; a larger file is refused.

    Raises:
        Unreadable: there is no such file, it is none that holds bytes (a folder, a pipe, a
            device), it cannot be read, is empty, or larger than `most`.
    """
    try:
        _refuse_irregular(os.stat(path).st_mode, noun)
        # Not waiting: by now it may be a pipe, into which nobody may ever write.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            _refuse_irregular(os.fstat(stream.fileno()).st_mode, noun)
            data = stream.read(most + 1)
    except FileNotFoundError as error:
        raise Unreadable(_missing(path)) from error
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror}); check the rights") from error
    except ValueError as error:  # a zero byte, or a letter that this system's names cannot have
        raise Unreadable(f"no file name ({error}); check the path") from error
    if not data:
        raise Unreadable("an empty file; copy or export it again")
    if len(data) > most:
        raise Unreadable(f"more than {most >> 20} MiB; give a smaller {noun}")
    return data


def _refuse_irregular(mode: int, noun: str) -> None:
    if stat.S_ISDIR(mode):
        raise Unreadable(f"a folder; name a {noun} in it")
    if not stat.S_ISREG(mode):
        raise Unreadable(f"no regular file; put a {noun} there")


def _missing(path: Path) -> str:
    if path.is_symlink():
        return "a link to a file that is not there; mend or remove the link"
    return "not found; check the path"
