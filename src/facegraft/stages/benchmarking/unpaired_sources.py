"""Photographs and drawings onto rendered characters: no true swap is known, the judge is asked."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from facegraft.adapters import orl
from facegraft.adapters.judge import similarity
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.data.faces import Faces
from facegraft.data.grids import Grid
from facegraft.evaluation.benchmark import Pair, pair_images
from facegraft.imaging.images import ImageError, contact_sheet, to_uint8
from facegraft.method.model import Model
from facegraft.stages.inputs import FaceReaders, read_input

PHOTOGRAPH_PAIRS, AVATAR_PAIRS = 200, 50
SHEET_PAIRS = 24

GROUND = (150, 165, 180)
"""Behind a drawn face: on nothing the detector finds half of them."""


@dataclass(frozen=True)
class Unpaired:
    """What became of one kind of source.

    Attributes:
        columns: key -> float64 (pairs,), NaN where the judge saw no face.
        sheet: source, target and swap of the first pairs.
    """

    columns: dict[str, np.ndarray]
    sheet: Image.Image


def photographs(
    project: Project,
    model: Model,
    readers: FaceReaders,
    grids: Sequence[Grid],
    pairs: Sequence[Pair],
    seed: int,
    report: Progress,
) -> Unpaired | None:
    """People of the ORL database that nothing was fitted to; None where it is not installed."""
    rng = np.random.default_rng((seed, 6))

    def draw() -> Path | None:
        person = int(rng.integers(orl.LEARNT_FROM + 1, orl.PEOPLE + 1))
        return orl.photograph(person, int(rng.integers(1, orl.PICTURES + 1)))

    if orl.photograph(1, 1) is None:
        return None

    return _measured(
        project, model, readers, grids, pairs[:PHOTOGRAPH_PAIRS], draw, "photographs", report
    )


def avatars(
    project: Project,
    model: Model,
    readers: FaceReaders,
    grids: Sequence[Grid],
    pairs: Sequence[Pair],
    seed: int,
    report: Progress,
) -> Unpaired | None:
    """Drawn heads (avataaars); None where python-avatars and resvg-py are not installed."""
    if not all(map(importlib.util.find_spec, ("python_avatars", "resvg_py"))):
        return None
    with tempfile.TemporaryDirectory() as scratch:
        files = _drawn_avatars(Path(scratch), seed)
        return _measured(
            project,
            model,
            readers,
            grids,
            pairs[:AVATAR_PAIRS],
            lambda: next(files),
            "avatars",
            report,
        )


def _drawn_avatars(folder: Path, seed: int) -> Iterator[Path]:
    """Random heads on a plain ground, 512 px."""
    import io
    import random

    import python_avatars
    import resvg_py

    random.seed(seed)  # that package draws from the global generator
    number = 0
    while True:
        svg = python_avatars.Avatar.random().render()
        drawn = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=512))))
        ground = Image.new("RGBA", drawn.size, (*GROUND, 255))
        ground.alpha_composite(drawn.convert("RGBA"))
        path = folder / f"avatar-{number:03d}.png"
        ground.convert("RGB").save(path)
        number += 1
        yield path


@torch.no_grad()
def _measured(
    project: Project,
    model: Model,
    readers: FaceReaders,
    grids: Sequence[Grid],
    pairs: Sequence[Pair],
    draw: Callable[[], Path | None],
    name: str,
    report: Progress,
) -> Unpaired:
    columns: dict[str, list[float]] = {}
    rows: list[list[np.ndarray]] = []
    for number, pair in enumerate(pairs):
        source, found = _source(project, model, readers, draw)
        target = pair_images(grids, pair).target.to(model.device)
        swap = to_uint8(model.swap(source.to(model.device), target).image[0])
        pictures = [to_uint8(source.images[0]), to_uint8(target.images[0]), swap]
        if len(rows) < SHEET_PAIRS:
            rows.append(pictures)
        for key, value in {**_judged(readers, *pictures), "found": found}.items():
            columns.setdefault(f"model/{name}_{key}", []).append(value)
        report(number + 1, len(pairs), f"benchmark: {name}")
    sheet = contact_sheet(rows, columns=("source", "target", "swap"), cell=128)
    return Unpaired({key: np.array(values) for key, values in columns.items()}, sheet)


def _source(
    project: Project, model: Model, readers: FaceReaders, draw: Callable[[], Path | None]
) -> tuple[Faces, float]:
    """The next source whose face is found, and the share of those tried that were."""
    tried = 0
    while True:
        tried += 1
        try:
            face = read_input(project, model.config, readers, str(draw())).face
        except ImageError:
            if tried > 20:
                raise
            continue
        return face, 1.0 / tried


def _judged(
    readers: FaceReaders, source: np.ndarray, target: np.ndarray, swap: np.ndarray
) -> dict[str, float]:
    """Similarities of the swap, 0 and "not closer" where the judge finds no face in it."""
    known = [readers.judge.embed(one) for one in (source, target)]
    seen = readers.judge.embed(swap)
    if any(one is None for one in known):
        return dict.fromkeys(("similarity_source", "similarity_target", "closer_to_source"), np.nan)
    if seen is None:
        return {"similarity_source": 0.0, "similarity_target": 0.0, "closer_to_source": 0.0}
    to_source, to_target = (float(similarity(seen, one)) for one in known if one is not None)
    return {
        "similarity_source": to_source,
        "similarity_target": to_target,
        "closer_to_source": float(to_source > to_target),
    }
