"""What becomes of imported people who are swapped onto rendered characters: figures and a sheet.

Run: python -m benchmarks.photographs [--project DIR] [--model DIR]. Takes one picture of each
person of the project's albums and swaps it onto a held-out character each, without fine-tuning.
Prints what the independent judge says of the swaps, beside another picture of the same person and
the untouched character, and writes build/photographs.jpg. After `facegraft import` (README, "Your
own pictures").
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from facegraft.adapters.albums import load_people
from facegraft.adapters.judge import EMBEDDING, Judge, similarity
from facegraft.adapters.store import SPLITS, load_grids
from facegraft.base_model import load_base
from facegraft.benchmark import Pair, draw_pairs, pair_images
from facegraft.checkpoint import load_model
from facegraft.dataset import Grid, Person
from facegraft.images import to_tensor, to_uint8
from facegraft.model import Model, paste_back
from facegraft.project import Project
from facegraft.sheets import people_sheet
from facegraft.stages.progress import Progress, console

SEED = 11
SHOWN = 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path(), help="folder that holds data/")
    parser.add_argument("--model", type=Path, help="folder of a model; else the base weights")
    options = parser.parse_args()
    project = Project(options.project)
    model = load_model(options.model) if options.model else load_base()
    grids = load_grids(project.data, "test")
    split_people = (load_people(project.data, split, model.config.size) for split in SPLITS)
    people = [person for person in chain(*split_people) if len(person.images) > 1]
    if not people:
        parser.error(f"{project.data}: no album with two pictures of a person; facegraft import")
    pairs = draw_pairs(grids, len(people), SEED)
    with console("photographs") as report:
        figures = compared(model, grids, people, pairs, report)
    for name, (seen, values) in figures.items():
        print(f"{name:58}{values.mean():7.3f}   of {seen} pairs")
    path = project.build / "photographs.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    people_sheet(model, people[:SHOWN], grids, pairs).save(path, quality=85)
    print(path)


@torch.no_grad()
def compared(
    model: Model,
    grids: Sequence[Grid],
    people: Sequence[Person],
    pairs: Sequence[Pair],
    report: Progress,
) -> dict[str, tuple[int, np.ndarray]]:
    """What is compared -> how many pairs have both faces found, and their figures."""
    judge = Judge()
    rows = []
    for place, (person, pair) in enumerate(zip(people, pairs, strict=True)):
        source = to_tensor(np.ascontiguousarray(person.images[0]))[None]
        target = pair_images(grids, pair).target
        swap = paste_back(model.swap(source, target), target)
        again = to_tensor(np.ascontiguousarray(person.images[1]))[None]
        rows.append([embedded(judge, picture) for picture in (source, again, target, swap)])
        report(place + 1, len(people), "swapped")
    source, again, target, swap = np.array(rows).transpose(1, 0, 2)
    figures = {
        "swap found by the judge": (~np.isnan(swap[:, 0])).astype(float),
        "swap to source": similarity(swap, source),
        "swap to target": similarity(swap, target),
        "target to source": similarity(target, source),
        "another picture of the source to source": similarity(again, source),
        "swap closer to source than the target was": np.where(
            np.isnan(similarity(swap, source)),
            np.nan,
            similarity(swap, source) > similarity(target, source),
        ),
    }
    known = {name: values[~np.isnan(values)] for name, values in figures.items()}
    return {name: (len(values), values) for name, values in known.items()}


def embedded(judge: Judge, picture: torch.Tensor) -> np.ndarray:
    """The judge's embedding of (1, 3, S, S); NaN where it finds no face."""
    found = judge.embed(to_uint8(picture)[0])
    return np.full(EMBEDDING, np.nan) if found is None else found


if __name__ == "__main__":
    main()
