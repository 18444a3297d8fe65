"""Commands on a real disk that is full, and on one that is read-only: one line each."""

from __future__ import annotations

import shutil
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from facegraft.adapters import registry, tracking
from facegraft.core.project import Project
from tests.disk import on_a_disk_of_its_own

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SCRIPT = """
import shutil, subprocess, sys
from pathlib import Path
from facegraft.cli import main

disk, whole, mode = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
project = disk / "project"
shutil.copytree(whole, project, symlinks=True)
if mode == "read-only":
    kept = project / "mlruns"
    subprocess.run(["mount", "--bind", kept, kept], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", kept], check=True)

def fill():
    with (disk / "fill").open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass

for command in sys.argv[4:]:
    if mode == "full":
        fill()
    sys.stderr.write("== command\\n")
    code = main(["--project", str(project), *command.split()])
    sys.stderr.write(f"== ended with {code}\\n")
"""

SWAP = "swap test-000/i00/a00 test-000/i01/a01"
QUEUE = "swap-queue {disk}/project/jobs.csv"
DATABASE = "MLflow at mlruns/mlflow.db: (sqlite3.OperationalError)"
SAID = {
    "full": {
        "rollback": f"{DATABASE} database or disk is full; make room on the disk",
        "promote": f"{DATABASE} database or disk is full; make room on the disk",
        "train": f"{DATABASE} database or disk is full; make room on the disk",
        SWAP: "{disk}/project/build/swaps/single/*/swap*.png: No space left on device; free some"
        " space and run again",
        QUEUE: None,  # the table that it prints says it
    },
    "read-only": {
        "train": f"{DATABASE} attempt to write a readonly database; make the file and its folder"
        " writable",
        "rollback": "{disk}/project/mlruns/registry.lock: Read-only file system; make it writable"
        " and run again",
    },
}
"""Mode -> command -> its one line, with `*` for what may stand there."""


@pytest.mark.parametrize("mode", SAID)
def test_a_disk_that_takes_nothing_is_one_line(
    copy_project: Project, tmp_path: Path, mode: str
) -> None:
    registry.fetch(copy_project)
    tracking.client(copy_project).set_model_version_tag(
        registry.NAME, "1", "previous_champion", "1"
    )
    for name in ("src", "flows", ".git"):  # not needed here, and large
        shutil.rmtree(copy_project.root / name)
    disk = tmp_path / "disk"
    commands = [command.format(disk=disk) for command in SAID[mode]]
    ended = on_a_disk_of_its_own(SCRIPT, disk, copy_project.root, mode, *commands)
    assert ended.returncode == 0, ended.stderr
    for said, (command, line) in zip(
        ended.stderr.split("== command\n")[1:], SAID[mode].items(), strict=True
    ):
        *told, code = [one for one in said.splitlines() if " ETA " not in one]
        assert code == "== ended with 1", said
        if line is None:
            assert not told, said
        else:
            (only,) = told
            expected = f"facegraft {command.split()[0]}: {line.format(disk=disk)}"
            assert fnmatchcase(only, expected.replace("[", "[[]")), said
    if mode == "full":
        assert "build/swaps/jobs-" in ended.stdout
        assert "0 done, 1 could not be tried, 0 done before, 1 pending" in ended.stdout
