"""Files that are whole or absent, and what killed writers leave."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from facegraft.core.atomic import NO_ROOM, replacing
from tests.disk import largest_file

WRITER = """
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from facegraft.core.atomic import replacing

with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half", encoding="utf-8")
    print(temporary.name, flush=True)
    sys.stdin.read()
"""


@contextmanager
def writing(path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process in the middle of writing `path`, and the name of its temporary file."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        try:
            assert writer.stdout is not None
            yield writer, writer.stdout.readline().strip()
        finally:
            writer.kill()


def test_the_next_writer_clears_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "record[1].json"
    others = {".record[1].json", ".record.tmp-other.json", "record[1].tmp-x.json"}
    for name in others:
        (tmp_path / name).touch()
    with writing(path) as (_, left):
        pass
    with writing(path) as (living, held):
        assert {*others, held} == set(os.listdir(tmp_path)), f"{left} is gone"
        with replacing(path) as temporary:
            temporary.write_text("mine", encoding="utf-8")
        assert {*others, held, path.name} == set(os.listdir(tmp_path))
        assert path.read_text(encoding="utf-8") == "mine"
        living.communicate("go on")
        assert {*others, path.name} == set(os.listdir(tmp_path))
        assert path.read_text(encoding="utf-8") == "half"


def test_a_name_of_any_length_and_a_block_that_raises(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 250}.json"
    path.write_text("before", encoding="utf-8")

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_text(encoding="utf-8") == "before"


def test_a_disk_that_takes_no_more_is_named_with_the_file_whoever_writes(tmp_path: Path) -> None:
    def plainly(path: Path) -> None:
        path.write_bytes(bytes(5000))

    def telling_the_name(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    def numpy(path: Path) -> None:
        with path.open("wb") as stream:
            np.save(stream, np.zeros(5000))

    def safetensors(path: Path) -> None:
        save_file({"x": np.zeros(5000)}, path)

    def pictures(path: Path) -> None:
        Image.effect_noise((100, 100), 50).save(path)

    path = tmp_path / "written.png"
    path.write_text("before", encoding="utf-8")
    for write in (plainly, telling_the_name, numpy, safetensors, pictures):
        with (
            largest_file(1000),
            pytest.raises(OSError, match=r".") as told,
            replacing(path) as temporary,
        ):
            write(temporary)
        assert told.value.errno in NO_ROOM, write
        assert told.value.filename == str(path), write
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_text(encoding="utf-8") == "before"


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    for error in (OSError("x"), OSError(errno.ECONNRESET, "x"), ValueError("(os error 2)")):
        with pytest.raises(type(error)) as told, replacing(tmp_path / "x"):
            raise error
        assert told.value is error
