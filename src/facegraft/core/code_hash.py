"""One name for what a part of the code does: what older code made is not taken for newer."""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def code_hash(*parts: str) -> str:
    """sha256 over the source of folders and modules of this package, names included.

    Args:
        parts: below the package, e.g. "method" (with all in it) or "core/device.py".

    Raises:
        FileNotFoundError: there is no such part.
    """
    digest = hashlib.sha256()
    for part in sorted(parts):
        path = PACKAGE / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(PACKAGE).as_posix()}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
