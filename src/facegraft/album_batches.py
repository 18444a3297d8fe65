"""Imported pictures in a training step: no truth is known but that a person stays that person.

Two pictures of a person are one identity to the contrastive loss. Swapped onto each other the truth
is the target itself. Swapped with a rendered character, both ways, the patent's two losses are all
there is [0140]-[0143]; the rendered pairs of the same step keep them honest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from facegraft.batches import ROWS, Batch
from facegraft.config import TrainParams
from facegraft.dataset import Person
from facegraft.images import to_tensor


def with_people(batch: Batch, people: Sequence[Person], params: TrainParams, step: int) -> Batch:
    """The batch with two pictures each of `batch_people` people, and three swaps of each person.

    A person of one picture is shown with its mirror image. A pure function of its arguments; the
    batch itself where there are no people or params ask for none.
    """
    count = min(params.batch_people, len(people))
    if not count:
        return batch
    rng = np.random.default_rng((params.seed, step, 1))
    chosen = [people[int(k)] for k in rng.choice(len(people), count, replace=False)]
    shown = [picture for person in chosen for picture in _two_pictures(rng, person)]
    first = batch.rendered + 2 * torch.arange(count)
    second = first + 1
    characters = torch.from_numpy(rng.integers(batch.rendered, size=(2, count)))
    new = batch.identity.max() + ROWS + torch.arange(count)
    return replace(
        batch,
        images=torch.cat([batch.images, to_tensor(np.stack([image for _, image in shown]))]),
        identity=torch.cat([batch.identity, new.repeat_interleave(2)]),
        keys=(*batch.keys, *(key for key, _ in shown)),
        foreign_source=torch.cat([first, first, characters[0]]),
        foreign_target=torch.cat([second, characters[1], second]),
        foreign_same=torch.arange(count),
    )


def _two_pictures(rng: np.random.Generator, person: Person) -> list[tuple[str, np.ndarray]]:
    """Key and uint8 (3, S, S)."""
    if len(person.images) == 1:
        image = np.asarray(person.images[0])
        return [(person.keys[0], image), (person.keys[0], image[..., ::-1])]
    places = rng.choice(len(person.images), 2, replace=False)
    return [(person.keys[int(k)], np.asarray(person.images[int(k)])) for k in places]
