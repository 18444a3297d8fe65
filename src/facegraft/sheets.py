"""Contact sheets of held-out swaps: what a person looks at before any number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facegraft.benchmark import Pair, pair_images
from facegraft.dataset import Grid, Person
from facegraft.heldout import stack
from facegraft.images import contact_sheet, to_tensor, to_uint8
from facegraft.model import Model, paste_back

SHEET_COLUMNS = ("source", "target", "decoded", "swap", "true swap")
PEOPLE_COLUMNS = ("person", "character", "person onto\ncharacter", "character onto\nperson")


@torch.no_grad()
def swap_sheet(model: Model, grids: Sequence[Grid], pairs: Sequence[Pair]) -> Image.Image:
    """A row a pair: source, target, what G draws, the swap pasted back, the true swap.

    A row of which one sub-dimension is taken bears its name.
    """
    images = stack([pair_images(grids, pair) for pair in pairs]).to(model.device)
    decoded = model.decoder(
        torch.cat(
            [
                model.fused(source[None], target[None], pair.transplant)
                for source, target, pair in zip(images.source, images.target, pairs, strict=True)
            ]
        )
    )
    columns = (
        images.source,
        images.target,
        decoded.image,
        paste_back(decoded, images.target),
        images.true_swap,
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
    person = to_tensor(np.stack([one.images[0] for one, _ in shown])).to(model.device)
    character = torch.cat([pair_images(grids, pair).target for _, pair in shown]).to(model.device)
    columns = (
        person,
        character,
        paste_back(model.swap(person, character), character),
        paste_back(model.swap(character, person), person),
    )
    captions = [one.identity_id for one, _ in shown]
    return contact_sheet(_rows(*columns), columns=PEOPLE_COLUMNS, captions=captions, cell=128)


def _rows(*columns: Tensor) -> list[tuple[np.ndarray, ...]]:
    """Columns of pictures (B, 3, S, S) in [-1, 1] -> B rows of uint8 (S, S, 3)."""
    return list(zip(*(list(to_uint8(column)) for column in columns), strict=True))
