"""How much of a photographed person's expression comes along when they are swapped onto others.

Run: python -m benchmarks.photographs [--project DIR] [--model DIR] [--people N]. Swaps all pictures
of imported people (README, "Your own pictures") onto held-out characters, without fine-tuning, and
reads the swaps. Prints, for each motion, the slope of the swap's opening on the source's own
coefficient within a person and a character, over the slope of the source's own opening: 0 keeps the
character's expression, 1 takes the source's. Writes a sheet to build/photographs.jpg. What the
independent judge says of photographs, `facegraft benchmark` tells.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from facegraft.adapters.albums import load_people
from facegraft.adapters.landmarks import Landmarker
from facegraft.adapters.store import SPLITS
from facegraft.core.progress import Progress, console
from facegraft.core.project import Project
from facegraft.data.batches import person_faces
from facegraft.data.faces import Faces
from facegraft.data.grids import Grid, Person
from facegraft.evaluation.benchmark import Pair, draw_heldout_pairs, pair_images
from facegraft.evaluation.sheets import people_sheet
from facegraft.method.base_model import load_base
from facegraft.method.checkpoint import load_model
from facegraft.method.landmarks import openings
from facegraft.method.model import Model
from facegraft.stages.landmarks import people_with_readings, read_crop, read_split

SEED = 11
CHARACTERS = 6
SHOWN = 24

FEWEST = 4
"""Pictures of a person from which a slope is drawn."""

MOTIONS = {
    "smile": ((44, 45), "mouth_width"),
    "jaw": ((25,), "mouth_opening"),
    "blink": ((9, 10), "eye_opening"),
}
"""Motion -> the coefficients of it, and the opening that it moves."""


@dataclass(frozen=True)
class Swapped:
    """One person's pictures and what became of them.

    Attributes:
        expression: (pictures, 52). own: opening -> (pictures,). swapped: opening ->
            (characters, pictures), NaN where no face was found in the swap.
    """

    expression: np.ndarray
    own: dict[str, np.ndarray]
    swapped: dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path(), help="folder that holds data/")
    parser.add_argument("--model", type=Path, help="folder of a model; else the base weights")
    parser.add_argument("--people", type=int, default=16, help="the last so many people")
    options = parser.parse_args()
    project = Project(options.project)
    model = load_model(options.model) if options.model else load_base()
    split_people = (load_people(project.data, split, model.config.size) for split in SPLITS)
    people = [person for person in chain(*split_people) if len(person.images) >= FEWEST]
    if not people:
        parser.error(f"{project.data}: no album with {FEWEST} pictures of a person; see README")
    people.sort(key=lambda person: (len(person.identity_id), person.identity_id))
    with console("photographs") as report:
        grids = read_split(project, "test", report)
        read = people_with_readings(people[-options.people :], project.landmarks, report)
        pairs = draw_heldout_pairs(grids, max(CHARACTERS, SHOWN), SEED)
        found = everybody(model, grids, pairs[:CHARACTERS], read, report)
    for name, (places, opening) in MOTIONS.items():
        print(f"{name:6} comes along by {leak(found, list(places), opening):5.2f}")
    path = project.build / "photographs.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    people_sheet(model, read[-SHOWN:], grids, pairs).save(path, quality=85)
    print(path)


@torch.no_grad()
def everybody(
    model: Model,
    grids: Sequence[Grid],
    pairs: Sequence[Pair],
    people: Sequence[Person],
    report: Progress,
) -> list[Swapped]:
    """Every picture of everybody onto the targets of all pairs."""
    reader = Landmarker()
    targets = [pair_images(grids, pair).target for pair in pairs]
    found = []
    for done, person in enumerate(people):
        sources = person_faces(person, range(len(person.images)))
        rows = [swapped_openings(model, reader, sources, target) for target in targets]
        own = {name: values.numpy() for name, values in openings(sources.landmarks).items()}
        swapped = {name: np.stack([row[name] for row in rows]) for name in own}
        found.append(Swapped(sources.expression.numpy(), own, swapped))
        report(done + 1, len(people), "people swapped")
    return found


def swapped_openings(
    model: Model, reader: Landmarker, sources: Faces, target: Faces
) -> dict[str, np.ndarray]:
    """The openings of each source's swap onto one target: name -> (sources,)."""
    rows = []
    for k in range(len(sources)):
        read = read_crop(reader, model.swap(sources[k : k + 1], target).image)
        known = openings(target.landmarks if read is None else read.landmarks)
        rows.append({n: np.nan if read is None else float(v) for n, v in known.items()})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def leak(found: Sequence[Swapped], places: Sequence[int], opening: str) -> float:
    """Slope of the swaps' opening on the sources' coefficient, over the sources' own slope."""
    swaps, own = np.zeros(2), np.zeros(2)
    for one in found:
        said = one.expression[:, places].mean(axis=1)
        own += moments(said, one.own[opening])
        for row in one.swapped[opening]:
            swaps += moments(said, row)
    return float((swaps[0] / swaps[1]) / (own[0] / own[1]))


def moments(said: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Covariance and variance within one person, unnormalised; of what was found."""
    known = np.isfinite(shown)
    if known.sum() < 2:
        return np.zeros(2)
    x, y = said[known] - said[known].mean(), shown[known] - shown[known].mean()
    return np.array([x @ y, x @ x])


if __name__ == "__main__":
    main()
