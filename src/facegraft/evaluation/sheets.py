"""Contact sheets of held-out swaps: what a person looks at before any number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facegraft.data.batches import person_faces
from facegraft.data.faces import Faces
from facegraft.data.grids import Grid, Person
from facegraft.evaluation.benchmark import Pair, pair_images
from facegraft.evaluation.heldout import stack
from facegraft.imaging.images import contact_sheet, to_uint8
from facegraft.method.model import Model

SHEET_COLUMNS = ("source", "target", "swap", "true swap")
PEOPLE_COLUMNS = ("person", "character", "person onto\ncharacter", "character onto\nperson")


@torch.no_grad()
def swap_sheet(model: Model, grids: Sequence[Grid], pairs: Sequence[Pair]) -> Image.Image:
    """A row a pair: source, target, the swap, the true swap.

    A row of which one sub-dimension is taken bears its name.
    """
    images = stack([pair_images(grids, pair) for pair in pairs]).to(model.device)
    swaps = [
        model.swap(images.source[k : k + 1], images.target[k : k + 1], pair.transplant).image
        for k, pair in enumerate(pairs)
    ]
    columns = (
        images.source.images,
        images.target.images,
        torch.cat(swaps),
        images.true_swap.images,
    )
    captions = [pair.region or "" for pair in pairs]
    named = captions if any(captions) else ()
    return contact_sheet(_rows(*columns), columns=SHEET_COLUMNS, captions=named, cell=128)


@torch.no_grad()
def people_sheet(
    model: Model, people: Sequence[Person], grids: Sequence[Grid], pairs: Sequence[Pair]
) -> Image.Image:
    """A row a person: an imported picture onto a pair's target, and the target onto it."""
    shown = list(zip(people, pairs, strict=False))
    person = Faces.joined([person_faces(one, [0]) for one, _ in shown]).to(model.device)
    character = Faces.joined([pair_images(grids, pair).target for _, pair in shown])
    character = character.to(model.device)
    columns = (
        person.images,
        character.images,
        model.swap(person, character).image,
        model.swap(character, person).image,
    )
    captions = [one.identity_id for one, _ in shown]
    return contact_sheet(_rows(*columns), columns=PEOPLE_COLUMNS, captions=captions, cell=128)


def _rows(*columns: Tensor) -> list[tuple[np.ndarray, ...]]:
    """Columns of pictures (B, 3, S, S) in [-1, 1] -> B rows of uint8 (S, S, 3)."""
    return list(zip(*(list(to_uint8(column)) for column in columns), strict=True))
