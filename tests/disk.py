"""Disks that take nothing: by a limit of this process, or real ones in a namespace of their own."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
MOUNT = 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@"'


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can be written beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def on_a_disk_of_its_own(
    script: str, disk: Path, *arguments: object, size: str = "300m"
) -> subprocess.CompletedProcess[str]:
    """Run a Python script, root on an empty disk at `disk`, which is its first argument.

    The test is skipped where the system gives no namespaces, e.g. inside some containers.
    """
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user and mount namespaces here")
    disk.mkdir()
    python = [sys.executable, "-c", script, str(disk), *map(str, arguments)]
    mounted = ["bash", "-c", MOUNT, "bash", size]
    command = [*NAMESPACE, *mounted, str(disk), *python]
    return subprocess.run(command, capture_output=True, text=True, check=False)
