"""Pairs of which the points are moved and the paint recoloured, and nothing is decoded.

What a pair's target shows and what its fused latents say is all that `points.PointMover` and
`texture.Ink.recoloured` hear, and the renderer knows what they should answer. So once the encoder
stays as it is, every picture is read once, and pairs of the whole dataset teach at the price of a
few linear layers: a fifteenth of a step that reads its pictures anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from facegraft import losses as loss
from facegraft import ranks
from facegraft.batches import Batch, proven_swaps
from facegraft.config import TrainParams
from facegraft.dataset import Grid
from facegraft.decoder import Decoder
from facegraft.images import to_tensor
from facegraft.latents import Layout, source_weights
from facegraft.model import Model
from facegraft.paint import by_kind, by_stroke, paint_colours
from facegraft.points import colours_at


@dataclass(frozen=True)
class Looks:
    """What N pictures show; K points, of which the last ones are strokes.

    Attributes:
        vectors: (N, V), see `Decoder.vectors`.
        places: (N, K, 2), where the points are read. colours: (N, K, 3), what is seen there.
        paint: (N, KINDS, 3), colours within the outlines as they are read; KINDS is 0 where the
            points have no strokes.
        anchors: (N, K, 3), where the points are, see `Grid.anchors`.
        painted: (N, STROKES, 3), colours within the outlines as they are.
    """

    vectors: Tensor
    places: Tensor
    colours: Tensor
    paint: Tensor
    anchors: Tensor
    painted: Tensor

    def __getitem__(self, rows: Tensor) -> Looks:
        """Those of some of the pictures."""
        return Looks(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Looks], dtype: torch.dtype) -> Looks:
        """The pictures of several, one after the other."""
        names = [field.name for field in fields(cls)]
        return cls(
            *(torch.cat([getattr(part, name) for part in parts]).to(dtype) for name in names)
        )


@dataclass(frozen=True)
class Moves:
    """M pairs.

    Attributes:
        fused: (M, V). target, swap: what target and true swap show.
        pictures: (M, 3, S, S), the true swaps. keys: the targets' image keys.
    """

    fused: Tensor
    target: Looks
    swap: Looks
    pictures: Tensor
    keys: tuple[str, ...] = ()

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Moves:
        """Itself: it is made where the model is."""
        return self


def looks(model: Model, images: Tensor, anchors: Tensor, z: Tensor, places: Tensor) -> Looks:
    """What pictures show.

    Args:
        images: (N, 3, S, S). anchors: (N, K, 3). z: (N, L), their latents, normalised.
        places: (N, K, 2), their points as they are read.
    """
    strokes = model.config.strokes
    outlines = slice(anchors.shape[1] - strokes, None)
    none = anchors.new_zeros(len(anchors), 0, 3)
    return Looks(
        vectors=model.decoder.vectors(z),
        places=places,
        colours=colours_at(images, places),
        paint=by_kind(paint_colours(images, places[:, outlines])) if strokes else none,
        anchors=anchors,
        painted=paint_colours(images, anchors[:, outlines, :2]) if strokes else none,
    )


def moves_of_batch(model: Model, batch: Batch, z: Tensor, places: Tensor) -> Moves:
    """The pairs of a batch of which nothing is decoded.

    Args:
        z: (N + J, L). places: (N + J, K, 2), the points as a latent keeps them.
    """
    rendered = slice(batch.rendered)
    seen = looks(model, batch.images[rendered], batch.anchors, z[rendered], places[rendered])
    taken = taken_elements(model.layout, batch.moved_part).to(z.device)
    pictures = batch.images[batch.moved_swap]
    return _moves(seen, taken, batch.moved_source, batch.moved_target, batch.moved_swap, pictures)


def _moves(
    seen: Looks, taken: Tensor, source: Tensor, target: Tensor, swap: Tensor, pictures: Tensor
) -> Moves:
    fused = torch.where(taken, seen.vectors[source], seen.vectors[target])
    return Moves(fused, seen[target], seen[swap], pictures)


def move_losses(decoder: Decoder, moves: Moves) -> dict[str, Tensor]:
    """Whether points are moved and coloured rightly; none for a decoder that moves no points."""
    if decoder.mover is None:
        return {}
    target, swap = moves.target, moves.swap
    moved = ranks.shared(decoder.mover, target.places, target.colours, moves.fused)
    seen = swap.anchors[..., 2]
    both = seen * target.anchors[..., 2]
    shift = swap.anchors[..., :2] - target.anchors[..., :2]
    # What a point shall look like is asked where it is put, be that a little off.
    shown = colours_at(moves.pictures, (target.places + moved.shift).detach())
    values = {
        "shift_loss": loss.place_loss(moved.shift, shift, seen),
        "tint_loss": loss.tint_loss(moved.tint, shown, target.colours, both),
        "sight_loss": loss.sight_loss(moved.sight, seen),
    }
    if decoder.ink is not None:
        change = by_stroke(ranks.shared(decoder.ink.recoloured, moves.fused, target.paint))
        both = both[:, both.shape[1] - change.shape[1] :]
        values["paint_loss"] = loss.tint_loss(change, swap.painted, target.painted, both)
    return values


def taken_elements(layout: Layout, parts: Sequence[str | None]) -> Tensor:
    """Which elements of the vector latents a swap takes from the source: bool (P, V)."""
    dimensions = list(layout.vector_dimensions)
    sizes = torch.tensor([layout.sizes[k] for k in dimensions])
    rows = {part: source_weights(layout, part and (part,))[dimensions] for part in set(parts)}
    return torch.stack([rows[part] for part in parts]).repeat_interleave(sizes, dim=1) > 0


class MoveReader:
    """Draws pairs of whole grids, each of which is read once, when it is first drawn.

    Only for an encoder that does not learn. It keeps 14 KB a picture.

    Args:
        model: in evaluation mode where its encoder is concerned.
    """

    GRIDS = 8
    """Grids in one draw."""
    PAIRS = 24
    """Pairs of each, of which a third are of one sub-dimension where the grid proves them."""

    def __init__(self, model: Model, grids: Sequence[Grid], params: TrainParams) -> None:
        self.model, self.grids, self.params = model, grids, params
        self.read: dict[int, Looks] = {}

    def draw(self, step: int) -> Moves:
        """The pairs of a step: a pure function of (grids, encoder, params.seed, step)."""
        rng = np.random.default_rng((self.params.seed, step, 2))
        chosen = rng.choice(len(self.grids), min(self.GRIDS, len(self.grids)), replace=False)
        drawn = [self._drawn(rng, int(k)) for k in chosen]
        return Moves(
            fused=torch.cat([moves.fused for moves in drawn]).float(),
            target=Looks.joined([moves.target for moves in drawn], torch.float32),
            swap=Looks.joined([moves.swap for moves in drawn], torch.float32),
            pictures=torch.cat([moves.pictures for moves in drawn]),
            keys=tuple(key for moves in drawn for key in moves.keys),
        )

    def _drawn(self, rng: np.random.Generator, k: int) -> Moves:
        grid = self.grids[k]
        ways = [mix for mix in grid.mixes if mix.region in self.params.identity]
        rows, columns = grid.images.shape[:2]
        source, target, swap = [], [], []
        parts: list[str | None] = []
        for _ in range(self.PAIRS):
            a, b = (int(column) for column in rng.integers(columns, size=2))
            if ways and rng.random() < 1 / 3:
                mix = ways[int(rng.integers(len(ways)))]
                proven = proven_swaps(mix.row, mix.base, mix.donor)
                s, t, truth = proven[int(rng.integers(len(proven)))]
                parts.append(mix.region)
            else:
                s = truth = int(rng.integers(rows))
                t = (s + int(rng.integers(1, rows))) % rows
                parts.append(None)
            source.append(s * columns + a)
            target.append(t * columns + b)
            swap.append(truth * columns + b)
        if k not in self.read:
            self.read[k] = self._looked_at(grid)
        taken = taken_elements(self.model.layout, parts).to(self.model.device)
        shown = np.stack([grid.images[cell // columns, cell % columns] for cell in swap])
        pictures = to_tensor(shown).to(self.model.device)
        cells = torch.tensor([source, target, swap])
        moves = _moves(self.read[k], taken, cells[0], cells[1], cells[2], pictures)
        return replace(moves, keys=tuple(grid.keys.ravel()[target]))

    @torch.no_grad()
    def _looked_at(self, grid: Grid) -> Looks:
        """All pictures of a grid, row by row, in half precision."""
        rows = []
        for images, anchors in zip(grid.images, grid.anchors, strict=True):
            pictures = to_tensor(np.ascontiguousarray(images)).to(self.model.device)
            known = torch.from_numpy(np.asarray(anchors, np.float32)).to(self.model.device)
            features = self.model.encoder.features(pictures)
            assert features.points is not None
            z = self.model.encoder.project(pictures, features)
            rows.append(looks(self.model, pictures, known, z, features.points.kept))
        return Looks.joined(rows, torch.float16)
