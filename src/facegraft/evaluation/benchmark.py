"""The held-out swap benchmark: ground-truth pairs, an independent judge, three baselines.

Every figure of the model stands beside the same figure of the true swap, of the target copied and
of the source copied. Metrics are keyed `row/metric`, e.g. `model/psnr_changed`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from facegraft.data.batches import changed_pixels, grid_faces
from facegraft.data.faces import Faces
from facegraft.data.grids import FACE_REGIONS, Grid
from facegraft.evaluation.metrics import gmsd, psnr, ssim
from facegraft.imaging.images import to_uint8
from facegraft.method.losses import attribute_loss_per_pair, identity_loss_per_pair
from facegraft.method.model import Model, faces_of_swap

ROWS = ("model", "true_swap", "copy_target", "copy_source")

Embed = Callable[[np.ndarray], np.ndarray | None]
"""The independent recogniser: uint8 (S, S, 3) -> unit float32 (E,), None if it finds no face."""


@dataclass(frozen=True)
class Pair:
    """Source cell (i, a) and target cell (j, b) of one grid.

    The true swap is cell (i, b); where only `region` of the source is taken, it is (mixed, b).
    """

    grid: int
    i: int
    a: int
    j: int
    b: int
    region: str | None = None
    mixed: int | None = None

    @property
    def truth(self) -> tuple[int, int]:
        """The cell that shows the true swap."""
        return (self.i if self.mixed is None else self.mixed, self.b)

    @property
    def transplant(self) -> tuple[str, ...] | None:
        """What is taken from the source, as `Model.swap` wants it."""
        return None if self.region is None else (self.region,)


@dataclass(frozen=True)
class Gallery:
    """The judge's embedding of every held-out image, (grids, I, A, E); NaN where it saw no face."""

    embeddings: np.ndarray

    def enrolled(self, grid: int, column: int) -> np.ndarray:
        """(people, E): each person's unit mean embedding, row grid * I + i.

        In the pair's own grid the target's column is left out, so that no picture that shows the
        answer is enrolled.
        """
        sums, counts = np.nansum(self.embeddings, axis=2), self._seen.sum(axis=2)
        held_out = self.embeddings[grid, :, column]
        sums[grid] -= np.nan_to_num(held_out)
        counts[grid] -= self._seen[grid, :, column]
        means = sums / np.maximum(counts, 1)[..., None]
        flat = means.reshape(-1, means.shape[-1])
        return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)

    @property
    def _seen(self) -> np.ndarray:
        return np.isfinite(self.embeddings[..., 0]).astype(np.int64)


def draw_heldout_pairs(grids: Sequence[Grid], count: int, seed: int) -> list[Pair]:
    """Held-out pairs of persons of their own with i != j and a != b.

    A pure function of the grids' shapes and `seed`.
    """
    rng = np.random.default_rng((seed, 0))
    pairs = []
    for _ in range(count):
        g = int(rng.integers(len(grids)))
        i, j = (int(x) for x in rng.choice(grids[g].people, 2, replace=False))
        a, b = (int(x) for x in rng.choice(grids[g].images.shape[1], 2, replace=False))
        pairs.append(Pair(grid=g, i=i, a=a, j=j, b=b))
    return pairs


def draw_region_pairs(grids: Sequence[Grid], per_mix: int, seed: int) -> list[Pair]:
    """Pairs of which one sub-dimension is swapped: `per_mix` for each mixed row of the grids."""
    rng = np.random.default_rng((seed, 1))
    pairs = []
    for g, grid in enumerate(grids):
        for mix in grid.mixes:
            for _ in range(per_mix):
                a, b = (int(x) for x in rng.choice(grid.images.shape[1], 2, replace=False))
                pairs.append(Pair(g, mix.donor, a, mix.base, b, mix.region, mix.row))
    return pairs


def draw_benchmark_pairs(grids: Sequence[Grid], seed: int) -> list[Pair]:
    """Everybody once as source and once as target: in each grid the people stand in a ring.

    i != j and a != b as in `draw_heldout_pairs`; a pure function of the grids' shapes and `seed`.
    """
    rng = np.random.default_rng((seed, 2))
    pairs = []
    for g, grid in enumerate(grids):
        ring = rng.permutation(grid.people)
        for i, j in zip(ring.tolist(), np.roll(ring, -1).tolist(), strict=True):
            a, b = (int(x) for x in rng.choice(grid.images.shape[1], 2, replace=False))
            pairs.append(Pair(grid=g, i=i, a=a, j=j, b=b))
    return pairs


def pairs_hash(grids: Sequence[Grid], pairs: Sequence[Pair], data_version: str) -> str:
    """Names the benchmark: two figures compare only if theirs is the same."""
    lines = [data_version]
    lines += [f"{grids[p.grid].keys[p.i, p.a]} {grids[p.grid].keys[p.j, p.b]}" for p in pairs]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def embed_grids(
    grids: Sequence[Grid], embed: Embed, report: Callable[[int, int, str], None]
) -> Gallery:
    """The judge's embedding of every image of every grid (all of one shape).

    Mixed rows are nobody to be found again, and are left out (NaN).
    """
    total = sum(grid.images.shape[0] * grid.images.shape[1] for grid in grids)
    found: list[np.ndarray | None] = []
    for grid in grids:
        people = set(grid.people)
        for place, image in enumerate(grid.images.reshape(-1, *grid.images.shape[2:])):
            known = place // grid.images.shape[1] in people
            found.append(embed(np.ascontiguousarray(image.transpose(1, 2, 0))) if known else None)
            report(len(found), total, "judge: held-out images")
    width = next((len(e) for e in found if e is not None), 1)
    filled = [np.full(width, np.nan, np.float32) if e is None else e for e in found]
    shape = (len(grids), *grids[0].images.shape[:2], width)
    return Gallery(np.stack(filled).reshape(shape))


@dataclass(frozen=True)
class PairImages:
    """One pair, faces of batch 1; masks (1, 1, S, S) in {0, 1}."""

    source: Faces
    target: Faces
    true_swap: Faces
    changed: Tensor
    face: Tensor

    def to(self, device: torch.device) -> PairImages:
        """The same on a device."""
        return PairImages(*(getattr(self, field.name).to(device) for field in fields(self)))


def pair_images(grids: Sequence[Grid], pair: Pair) -> PairImages:
    """The pair's pictures and where to look: the change, and the true swap's face."""
    grid = grids[pair.grid]
    source, target, true_swap = (
        grid_faces(grid, [cell]) for cell in ((pair.i, pair.a), (pair.j, pair.b), pair.truth)
    )
    face = np.isin(grid.regions[pair.truth], FACE_REGIONS)
    changed = changed_pixels(grid.images[pair.truth][None], grid.images[pair.j, pair.b][None])
    return PairImages(
        source=source,
        target=target,
        true_swap=true_swap,
        changed=torch.from_numpy(changed).float(),
        face=torch.from_numpy(face)[None, None].float(),
    )


PairMetric = Callable[[Pair, PairImages, Mapping[str, Tensor]], Iterable[tuple[str, float]]]
"""More figures of one pair, keyed `row/metric`; the mapping holds each row's picture."""


def measure_pairs(
    model: Model,
    grids: Sequence[Grid],
    pairs: Sequence[Pair],
    pair_metrics: Sequence[PairMetric],
    report: Callable[[int, int, str], None],
) -> dict[str, np.ndarray]:
    """Every figure of every pair: `row/metric` -> float64 (pairs,); NaN where it was not measured.

    The true swap has no PSNR to itself. `model/psnr_changed_gain` is what the model adds to copying
    the target, in dB.

    Args:
        pair_metrics: what is measured beside the losses and the pictures, e.g. `judged_by`.
    """
    figures: dict[str, list[float]] = {}
    for index, pair in enumerate(pairs):
        for key, value in _pair_figures(model, grids, pair, pair_metrics):
            figures.setdefault(key, []).append(value)
        report(index + 1, len(pairs), "benchmark: pairs")
    columns = {key: np.array(values, np.float64) for key, values in figures.items()}
    gain = columns["model/psnr_changed"] - columns["copy_target/psnr_changed"]
    return {**columns, "model/psnr_changed_gain": gain}


@torch.no_grad()
def measure_regions(
    model: Model, grids: Sequence[Grid], pairs: Sequence[Pair]
) -> dict[str, np.ndarray]:
    """How near a swap of one sub-dimension comes to its truth, e.g. `model/psnr_changed_eyes`.

    Beside it `copy_target/...`, and what the model adds to that, `model/psnr_changed_gain_eyes`.

    Returns:
        Key -> float64 (pairs of that region,).
    """
    figures: dict[str, list[float]] = {}
    for pair in pairs:
        images = pair_images(grids, pair).to(model.device)
        swap = model.swap(images.source, images.target, pair.transplant).image
        for row, image in (("model", swap), ("copy_target", images.target.images)):
            value = psnr(image, images.true_swap.images, images.changed).item()
            figures.setdefault(f"{row}/psnr_changed_{pair.region}", []).append(value)
    columns = {key: np.array(values, np.float64) for key, values in figures.items()}
    return columns | {
        f"model/psnr_changed_gain_{region}": columns[f"model/psnr_changed_{region}"]
        - columns[f"copy_target/psnr_changed_{region}"]
        for region in dict.fromkeys(str(pair.region) for pair in pairs)
    }


def mean_metrics(columns: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The mean of each metric over the pairs that it was measured on; NaN where it was on none.

    Args:
        columns: `row/metric` -> float64 (pairs,), as `measure_pairs` and `measure_regions` return.
    """
    measured = {key: values[np.isfinite(values)] for key, values in columns.items()}
    return {
        key: float(values.mean()) if len(values) else float("nan")
        for key, values in measured.items()
    }


@torch.no_grad()
def _pair_figures(
    model: Model, grids: Sequence[Grid], pair: Pair, pair_metrics: Sequence[PairMetric]
) -> Iterator[tuple[str, float]]:
    images = pair_images(grids, pair).to(model.device)
    swap = faces_of_swap(model.swap(images.source, images.target), images.target)
    rows = {
        "model": swap,
        "true_swap": images.true_swap,
        "copy_target": images.target,
        "copy_source": images.source,
    }
    latents = {row: model.encoder(faces) for row, faces in rows.items()}
    z_source, z_target = latents["copy_source"], latents["copy_target"]
    pictures = {row: faces.images for row, faces in rows.items()}
    for row, image in pictures.items():
        z = latents[row]
        yield (
            f"{row}/identity_loss",
            identity_loss_per_pair(model.layout, z, z_source).item(),
        )
        yield (
            f"{row}/attribute_loss",
            attribute_loss_per_pair(model.layout, z, z_target).item(),
        )
        if row != "true_swap":
            for metric, value in _picture_figures(image, images):
                yield f"{row}/{metric}", value
    here, shown = images.to(torch.device("cpu")), {row: one.cpu() for row, one in pictures.items()}
    for measure in pair_metrics:  # judges and probes read on the CPU
        yield from measure(pair, here, shown)


def _picture_figures(image: Tensor, images: PairImages) -> Iterator[tuple[str, float]]:
    for suffix, region in (("", None), ("_face", images.face), ("_changed", images.changed)):
        yield f"psnr{suffix}", psnr(image, images.true_swap.images, region).item()
        yield f"ssim{suffix}", ssim(image, images.true_swap.images, region).item()
        yield f"gmsd{suffix}", gmsd(image, images.true_swap.images, region).item()


def judged_by(gallery: Gallery, embed: Embed, name: str = "judge") -> PairMetric:
    """What a recogniser says of each row's picture, keyed e.g. `model/judge_similarity_source`.

    A face that it does not find counts as similarity 0, not closer to the source, not retrieved: a
    missing figure never flatters.
    """

    def measure(
        pair: Pair, images: PairImages, rows: Mapping[str, Tensor]
    ) -> Iterator[tuple[str, float]]:
        known = gallery.embeddings[pair.grid]
        source, target = known[pair.i, pair.a], known[pair.j, pair.b]
        seen = {"true_swap": known[pair.truth], "copy_target": target, "copy_source": source}
        enrolled = gallery.enrolled(pair.grid, pair.b)
        person = pair.grid * known.shape[0] + pair.i
        for row, image in rows.items():
            embedding = seen[row] if row in seen else embed(to_uint8(image[0]))
            for metric, value in _judge_figures(embedding, source, target, enrolled, person):
                yield f"{row}/{name}_{metric}", value

    return measure


def _judge_figures(
    embedding: np.ndarray | None,
    source: np.ndarray,
    target: np.ndarray,
    enrolled: np.ndarray,
    person: int,
) -> Iterator[tuple[str, float]]:
    seen = embedding is not None and bool(np.isfinite(embedding).all())
    to_source = _similarity(embedding, source)
    to_target = _similarity(embedding, target)
    rank = int((enrolled @ embedding > (enrolled @ embedding)[person]).sum()) if seen else 10**9
    yield "detected", float(seen)
    yield "similarity_source", to_source
    yield "similarity_target", to_target
    yield "closer_to_source", float(seen and to_source > to_target)
    yield "retrieval_top1", float(rank < 1)
    yield "retrieval_top5", float(rank < 5)


def _similarity(a: np.ndarray | None, b: np.ndarray) -> float:
    """Cosine of unit embeddings; 0 where a face was not found."""
    if a is None or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return 0.0
    return float(a @ b)
