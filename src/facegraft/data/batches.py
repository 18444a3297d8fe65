"""Batches for training: blocks of identities x attribute sets, and swaps with their truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from facegraft.core.config import TrainParams
from facegraft.core.errors import FacegraftError
from facegraft.data.faces import Faces
from facegraft.data.grids import PARTS, Grid, Mix, Person, Readings
from facegraft.imaging.images import planes_to_tensor

T = TypeVar("T")

CHANGED_LEVEL = 0.06
"""A pixel counts as changed where the true swap differs from the target by more, in [-1, 1]."""

ROWS = 10_000
"""More than a grid has rows: keeps the people of different grids apart."""


class BatchError(FacegraftError):
    """The grids do not hold the batch that params.yaml asks for; one line with the mend."""


class NoReadings(FacegraftError):
    """Pictures without landmarks; `stages.landmarks` reads them."""


@dataclass(frozen=True)
class Block:
    """Pictures by which the encoder is taught, N rendered ones and then J imported ones.

    Attributes:
        faces: N + J.
        identity: int64 (N + J,), equal where the person is the same.
        identity_code: (N, C). attribute_code: (N, Q). attributes: int64 (N,), equal where the
            attribute set is the same.
        keys: of all images.
    """

    faces: Faces
    identity: Tensor
    identity_code: Tensor
    attribute_code: Tensor
    attributes: Tensor
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Pairs:
    """P swaps whose truth is known.

    Attributes:
        source, target, true_swap: the faces. changed: (P, 1, S, S) in {0, 1}, see
            `changed_pixels`. parts: the sub-dimension that is swapped, or None for all.
        keys: image keys of sources and targets.
    """

    source: Faces
    target: Faces
    true_swap: Faces
    changed: Tensor
    parts: tuple[str | None, ...]
    keys: tuple[str, ...]


def as_model(batch: T, device: torch.device, dtype: torch.dtype) -> T:
    """A batch with its tensors where a model lies, and of its floats' kind."""

    def moved(held: Any) -> Any:
        if isinstance(held, Tensor):
            return held.to(device, dtype if held.is_floating_point() else held.dtype)
        if isinstance(held, Faces):
            return Faces(*(moved(getattr(held, one.name)) for one in fields(held)))
        return held

    held = {one.name: moved(getattr(batch, one.name)) for one in fields(batch)}  # type: ignore[arg-type]
    return replace(batch, **held)  # type: ignore[type-var]


def changed_pixels(true_swap: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Where two uint8 (B, 3, S, S) arrays differ, grown by one pixel: bool (B, 1, S, S)."""
    difference = np.maximum(true_swap, target) - np.minimum(true_swap, target)
    levels = np.maximum(np.maximum(difference[:, 0], difference[:, 1]), difference[:, 2])
    changed = levels > int(CHANGED_LEVEL * 127.5)  # whole levels: above 7.65 is above 7
    wide = changed.copy()
    wide[..., 1:] |= changed[..., :-1]
    wide[..., :-1] |= changed[..., 1:]
    grown = wide.copy()
    grown[:, 1:] |= wide[:, :-1]
    grown[:, :-1] |= wide[:, 1:]
    return grown[:, None]


def prefetched(draw: Callable[[int], T], steps: int, step: int) -> Iterator[T]:
    """The batches from `step` to before `steps`, each drawn while the one before is trained on.

    Args:
        draw: the batch of a step; what it raises comes through.
    """
    with ThreadPoolExecutor(max_workers=1) as drawer:
        upcoming = drawer.submit(draw, step)
        for following in range(step + 1, steps + 1):
            batch = upcoming.result()
            if following < steps:
                upcoming = drawer.submit(draw, following)
            yield batch


def grid_faces(grid: Grid, cells: Sequence[tuple[int, int]]) -> Faces:
    """Cells (row, column) of a grid.

    Raises:
        NoReadings: the landmark reader was not asked.
    """
    if grid.readings is None:
        raise NoReadings(f"grid {grid.name} was not read; run the stage that reads landmarks")
    return _faces(
        [grid.images[cell] for cell in cells],
        [grid.readings.landmarks[cell] for cell in cells],
        [grid.readings.expression[cell] for cell in cells],
    )


def person_faces(person: Person, places: Sequence[int]) -> Faces:
    """Pictures of an imported person; raises as `grid_faces`."""
    readings = person.readings
    if readings is None:
        raise NoReadings(f"{person.identity_id} was not read; run the stage that reads landmarks")
    return _faces(
        [person.images[k] for k in places],
        [readings.landmarks[k] for k in places],
        [readings.expression[k] for k in places],
    )


def _faces(
    images: Sequence[np.ndarray],
    landmarks: Sequence[np.ndarray],
    expression: Sequence[np.ndarray],
) -> Faces:
    return Faces(
        planes_to_tensor(np.stack(images)),
        torch.from_numpy(np.stack(landmarks)).float(),
        torch.from_numpy(np.stack(expression)).float(),
    )


def draw_block(
    grids: Sequence[Grid], people: Sequence[Person], params: TrainParams, step: int
) -> Block:
    """The pictures of a step: a pure function of its arguments, so resuming is exact.

    It is made of `batch_grids` blocks of rows x columns, each of another grid: many people and
    many attribute sets at once; and of two pictures each of `batch_people` imported people.

    Raises:
        BatchError: a grid is smaller than the block that params ask for, or there are too few.
    """
    rng = np.random.default_rng((params.seed, step))
    if len(grids) < params.batch_grids:
        raise BatchError(
            f"{len(grids)} training grids, fewer than train.batch_grids {params.batch_grids}; "
            "lower it, or render more (data.grids)"
        )
    chosen = rng.choice(len(grids), params.batch_grids, replace=False)
    blocks = [_block(rng, grids[int(k)], params) for k in chosen]
    faces = [block.faces for block in blocks]
    identity = [block.identity + k * ROWS for k, block in enumerate(blocks)]
    attributes = [block.attributes + k * ROWS for k, block in enumerate(blocks)]
    keys = [key for block in blocks for key in block.keys]
    for number, person in enumerate(_some_people(rng, people, params)):
        places = _two_places(rng, person)
        faces.append(person_faces(person, places))
        identity.append(torch.full((2,), (len(blocks) + number) * ROWS))
        keys += [person.keys[k] for k in places]
    return Block(
        faces=Faces.joined(faces),
        identity=torch.cat(identity),
        identity_code=torch.cat([block.identity_code for block in blocks]),
        attribute_code=torch.cat([block.attribute_code for block in blocks]),
        attributes=torch.cat(attributes),
        keys=tuple(keys),
    )


def _block(rng: np.random.Generator, grid: Grid, params: TrainParams) -> Block:
    rows, columns = params.batch_identities, params.batch_attributes
    if grid.images.shape[0] < rows or grid.images.shape[1] < columns:
        raise BatchError(
            f"grid {grid.name} is {grid.images.shape[0]} x {grid.images.shape[1]}, smaller than "
            f"train.batch_identities x train.batch_attributes = {rows} x {columns}"
        )
    i = np.sort(rng.choice(grid.images.shape[0], rows, replace=False))
    a = np.sort(rng.choice(grid.images.shape[1], columns, replace=False))
    cells = [(int(row), int(column)) for row in i for column in a]
    return Block(
        faces=grid_faces(grid, cells),
        identity=torch.from_numpy(np.repeat(i, columns)),
        identity_code=torch.from_numpy(np.repeat(grid.identity_code[i], columns, axis=0)),
        attribute_code=torch.from_numpy(np.tile(grid.attribute_code[a], (rows, 1))),
        attributes=torch.from_numpy(np.tile(a, rows)),
        keys=tuple(str(grid.keys[cell]) for cell in cells),
    )


def draw_swap_batch(
    grids: Sequence[Grid], people: Sequence[Person], params: TrainParams, step: int
) -> Pairs:
    """The swaps of a step: a pure function of its arguments, so resuming is exact.

    `batch_pairs` of rendered characters, of which `batch_regions` take one sub-dimension where a
    grid proves such swaps; and of `batch_people` imported people one picture onto another, whose
    truth is that other. Sources are degraded as photographs are.
    """
    rng = np.random.default_rng((params.seed, step, 3))
    drawn = [
        _pair(rng, grids[int(rng.integers(len(grids)))], whole=k >= params.batch_regions)
        for k in range(params.batch_pairs)
    ]
    drawn += [_own_pair(rng, person) for person in _some_people(rng, people, params)]
    source, target, true_swap = (Faces.joined([d.faces[k] for d in drawn]) for k in range(3))
    changed = changed_pixels(*(_levels(faces.images) for faces in (true_swap, target)))
    return Pairs(
        source=replace(source, images=degraded(source.images, rng)),
        target=target,
        true_swap=true_swap,
        changed=torch.from_numpy(changed).float(),
        parts=tuple(d.part for d in drawn),
        keys=tuple(key for d in drawn for key in d.keys),
    )


@dataclass(frozen=True)
class _Drawn:
    """Source, target and true swap, one face each; what is swapped; their keys."""

    faces: tuple[Faces, Faces, Faces]
    part: str | None
    keys: tuple[str, str]


def _pair(rng: np.random.Generator, grid: Grid, whole: bool) -> _Drawn:
    columns = grid.images.shape[1]
    a, b = (int(column) for column in rng.integers(columns, size=2))
    known = [] if whole else [mix for mix in grid.mixes if mix.region in PARTS]
    if known:
        mix = known[int(rng.integers(len(known)))]
        ways = proven_swaps(mix)
        source, target, truth = ways[int(rng.integers(len(ways)))]
        part: str | None = mix.region
    else:
        source, target = (int(row) for row in rng.choice(grid.people, 2, replace=False))
        truth, part = source, None
    one, other, true = (grid_faces(grid, [c]) for c in ((source, a), (target, b), (truth, b)))
    keys = (str(grid.keys[source, a]), str(grid.keys[target, b]))
    return _Drawn((one, other, true), part, keys)


def _own_pair(rng: np.random.Generator, person: Person) -> _Drawn:
    first, second = _two_places(rng, person)
    target = person_faces(person, [second])
    keys = (person.keys[first], person.keys[second])
    return _Drawn((person_faces(person, [first]), target, target), None, keys)


def _some_people(
    rng: np.random.Generator, people: Sequence[Person], params: TrainParams
) -> list[Person]:
    count = min(params.batch_people, len(people))
    return [people[int(k)] for k in rng.choice(len(people), count, replace=False)] if count else []


def _two_places(rng: np.random.Generator, person: Person) -> list[int]:
    """Two pictures of a person; of one who has one picture, that twice."""
    if len(person.images) == 1:
        return [0, 0]
    return [int(k) for k in rng.choice(len(person.images), 2, replace=False)]


def proven_swaps(mix: Mix) -> tuple[tuple[int, int, int], ...]:
    """Rows of source, target and true swap whose region swap a mixed row proves."""
    own, base, donor = mix.row, mix.base, mix.donor
    return ((donor, base, own), (own, base, own), (base, own, base))


def degraded(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Sources as photographs are, (P, 3, S, S) in [-1, 1]: grey, dull, flat, noisy.

    The truth stays what it is, so that what is wrong with a source is not taken for its face.
    In float64, so that one step sees the same on every processor.
    """
    pictures = []
    for image in images.double():
        if rng.random() < 0.25:
            image = image.mean(dim=0, keepdim=True).expand(3, -1, -1)
        if rng.random() < 0.5:
            gamma = float(np.exp(0.3 * rng.normal()))
            image = ((image + 1) / 2).clamp(0.0, 1.0).pow(gamma) * 2 - 1
        if rng.random() < 0.3:
            image = image * float(rng.uniform(0.6, 1.2)) + 0.1 * float(rng.normal())
        if rng.random() < 0.2:
            image = image + torch.from_numpy(rng.normal(scale=0.03, size=tuple(image.shape)))
        pictures.append(image.clamp(-1.0, 1.0))
    return torch.stack(pictures).to(images.dtype)


def _levels(images: Tensor) -> np.ndarray:
    """(B, 3, S, S) in [-1, 1] -> uint8."""
    return np.asarray(((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))


def readings_of(people: Sequence[Person]) -> list[Readings]:
    """Those of the people whose pictures were read, one per person."""
    return [person.readings for person in people if person.readings is not None]
