"""Surface points: where they lie in a picture, and where they go when identity is exchanged.

The renderer knows where some hundred points of the head's surface lie in every picture, and the
outlines that are painted on it (`strokes`). Read from a picture they measure it (cascaded
regression, Dollár et al. 2010); moved they are a flow, and their change of colour is the other
face's shading. Both are learnt without decoding a picture, from every pair of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOOK = 2
"""Elements that say how a point looks."""

NEAR = 64
"""Elements that describe what is seen at a point."""

STAR = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
"""Where to look about a point, in steps."""

STEPS = (1 / 16, 1 / 32)
"""Width of a step, in halves of the side, for the first and the second look."""

REACHES = (1 / 8, 1 / 16, 1 / 32, 1 / 64)
"""Standard deviations of a point's influence on what lies around it, in halves of the side.

The widest comes first; each other adds what is still wrong at the points themselves. With one of
1/16 alone the motion of eyes, nose and mouth, whose points lie two pixels apart, is smoothed away.
"""

LONELY = 0.1
"""Influence below which a place keeps still: no point is near."""

OUTSIDE = 1.25
"""A point beyond, in halves of the side, is outside of the picture and no matter how far.

The renderer puts the sheet of hair of who has none at 7; a picture that is read as if it had none,
or had some, would be another one altogether.
"""

SOFTENED = 2
"""A point's colour is the mean of so many pixels across, whatever the picture's size."""


@dataclass(frozen=True)
class PointsRead:
    """Where surface points are read.

    Attributes:
        stages: (B, K, 2) each, x and y in [-1, 1] over the picture, ever better; the last counts.
        look: (B, K * LOOK), how the points look.
    """

    stages: tuple[Tensor, ...]
    look: Tensor

    @property
    def places(self) -> Tensor:
        """(B, K, 2), the best reading."""
        return self.stages[-1]

    @property
    def kept(self) -> Tensor:
        """(B, K, 2), as a latent keeps them: without gradient, and never far outside."""
        return self.places.detach().clamp(-OUTSIDE, OUTSIDE)


class PointReader(nn.Module):
    """Reads the points from the whole picture first, then twice from what is seen at them.

    Args:
        points: K, how many.
        widths: resolution -> channels of the maps it may look at, the finest first.
        summary: elements of the picture's summary.
    """

    WIDTH = 48
    star: Tensor

    def __init__(self, points: int, widths: dict[int, int], summary: int) -> None:
        super().__init__()
        self.resolutions = tuple(widths)
        self.lateral = nn.ModuleDict(
            {str(r): nn.Conv2d(width, self.WIDTH, 1) for r, width in widths.items()}
        )
        self.smooth = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(self.WIDTH, self.WIDTH, 3, padding=1, bias=False),
            nn.BatchNorm2d(self.WIDTH),
            nn.ReLU(),
        )
        self.first = nn.Linear(summary, 2 * points)
        self.near = nn.ModuleList(nn.Linear(self.WIDTH * len(STAR), NEAR) for _ in STEPS)
        self.own = nn.ParameterList(torch.zeros(points, NEAR) for _ in STEPS)
        self.shift = nn.ParameterList(torch.randn(points, NEAR, 2) * 2e-3 for _ in STEPS)
        self.look = nn.Linear(NEAR, LOOK)
        self.register_buffer("star", torch.tensor(STAR, dtype=torch.get_default_dtype()))

    @torch.no_grad()
    def start_at(self, places: Tensor) -> None:
        """Begin with the mean picture's places (K, 2)."""
        self.first.bias.copy_(places.flatten())

    def forward(self, maps: dict[int, Tensor], summary: Tensor) -> PointsRead:
        """Maps (B, C_r, r, r) by resolution and the picture's summary -> the points."""
        seen = self._seen(maps)
        first = self.first(summary).view(len(summary), -1, 2)
        stages = [first.to(self.star.dtype)]  # bfloat16 is too coarse
        near = seen
        for n, step in enumerate(STEPS):
            near = F.leaky_relu(self.near[n](self._at(seen, stages[-1], step)) + self.own[n], 0.2)
            moved = torch.einsum("bkf,kfc->bkc", near, self.shift[n])
            stages.append(stages[-1].detach() + moved.to(self.star.dtype))
        return PointsRead(tuple(stages), self.look(near).flatten(1))

    def _seen(self, maps: dict[int, Tensor]) -> Tensor:
        """The maps as one, at the finest resolution: (B, WIDTH, r, r)."""
        fine, *coarser = self.resolutions
        x = self.lateral[str(coarser[-1])](maps[coarser[-1]])
        for r in [*coarser[-2::-1], fine]:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = x + self.lateral[str(r)](maps[r])
        smooth: Tensor = self.smooth(x)
        return smooth

    def _at(self, seen: Tensor, places: Tensor, step: float) -> Tensor:
        """What is seen on a star about each place: (B, K, WIDTH * 5)."""
        spots = places.detach()[:, :, None] + self.star * step  # (B, K, 5, 2)
        found = F.grid_sample(seen, spots, padding_mode="border", align_corners=False)
        return found.permute(0, 2, 1, 3).flatten(2)


@dataclass(frozen=True)
class Moved:
    """What exchanging identity does to the points of a target.

    Attributes:
        shift: (B, K, 2), how far they move, in halves of the side.
        tint: (B, K, 3), how their colour changes, images being in [-1, 1].
        sight: (B, K), logits: whether the swap shows them.
    """

    shift: Tensor
    tint: Tensor
    sight: Tensor


class PointMover(nn.Module):
    """Moves and tints a target's points as fused latents want it.

    Tint is mostly another slope under the same light, so besides what the layers say it is a sum of
    products: how much each point turns towards a light, times that light's colour.

    Args:
        points: K. vectors: elements of all vector latents together.
    """

    HIDDEN = 256
    LIGHTS = 8
    SLOPES = 48
    """Elements that say how all points turn."""

    def __init__(self, points: int, vectors: int) -> None:
        super().__init__()
        self.points = points
        self.norm = nn.BatchNorm1d(5 * points, affine=False)
        self.target = nn.Linear(5 * points, self.HIDDEN)
        self.wanted = nn.Linear(vectors, self.HIDDEN)
        self.deeper = nn.Linear(self.HIDDEN, self.HIDDEN)
        self.last = nn.Linear(self.HIDDEN, 6 * points)
        nn.init.normal_(self.last.weight, std=3e-3)
        nn.init.zeros_(self.last.bias)
        self.slopes = nn.Linear(self.HIDDEN, self.SLOPES)
        self.turned = nn.Parameter(torch.randn(points, self.LIGHTS, self.SLOPES) * 0.03)
        self.lights = nn.Sequential(
            nn.Linear(self.HIDDEN, self.SLOPES),
            nn.LeakyReLU(0.2),
            nn.Linear(self.SLOPES, 3 * self.LIGHTS),
        )

    def forward(self, places: Tensor, colours: Tensor, vectors: Tensor) -> Moved:
        """A target's points (B, K, 2), their colours (B, K, 3), fused vectors (B, V) -> `Moved`."""
        seen = self.target(self.norm(torch.cat([places, colours], dim=2).flatten(1)))
        x = F.leaky_relu(seen + self.wanted(vectors), 0.2)
        x = x + F.leaky_relu(self.deeper(x), 0.2)
        shift, tint, sight = self.last(x).view(len(x), self.points, 6).split((2, 3, 1), dim=2)
        turned = torch.einsum("klj,bj->bkl", self.turned, self.slopes(x))
        lights = self.lights(F.leaky_relu(seen, 0.2)).view(len(x), self.LIGHTS, 3)
        return Moved(0.2 * shift, tint + turned @ lights, sight[..., 0])


def colours_at(images: Tensor, places: Tensor, softened: int = SOFTENED) -> Tensor:
    """Softened colours (B, K, 3) in [-1, 1] of images (B, 3, S, S) at places (B, K, 2)."""
    soft = F.avg_pool2d(images, softened)
    found = F.grid_sample(soft, places[:, None], padding_mode="border", align_corners=False)
    return found[:, :, 0].transpose(1, 2)


def spread(places: Tensor, values: Tensor, weights: Tensor, side: int) -> Tensor:
    """A field of what points carry: near a point its value, far from all of them 0.

    Coarse to fine: what a wide reach leaves wrong at the points a narrower one adds, so that the
    field is smooth where points are rare and exact where they are dense (as multilevel B-splines,
    Lee, Wolberg & Shin 1997).

    Args:
        places: (B, K, 2) in [-1, 1]. values: (B, K, C). weights: (B, K) in [0, 1].
        side: pixels of the field.

    Returns:
        (B, C + 1, side, side); the last channel says how much is known, in [0, 1).
    """
    first, *finer = REACHES
    field, known = _spread(places, values, weights, _coarse(side, first), first)
    for reach in finer:
        field = _enlarged(field, _coarse(side, reach))
        reached = F.grid_sample(field, places[:, None], padding_mode="border", align_corners=False)
        missing = values - reached[:, :, 0].transpose(1, 2)
        field = field + _spread(places, missing, weights, field.shape[-1], reach)[0]
    return torch.cat([_enlarged(field, side), _enlarged(known, side)], dim=1)


def _coarse(side: int, reach: float) -> int:
    """The side of a field whose pixel is as wide as a reach, if that is less than `side`."""
    return min(side, round(2 / reach))


def _enlarged(field: Tensor, side: int) -> Tensor:
    if field.shape[-1] == side:
        return field
    return F.interpolate(field, side, mode="bilinear", align_corners=False)


def _spread(
    places: Tensor, values: Tensor, weights: Tensor, side: int, reach: float
) -> tuple[Tensor, Tensor]:
    """Weighted means of the points about each pixel, (B, C, side, side), and how much is known."""
    ticks = (torch.arange(side, device=places.device) + 0.5) * 2 / side - 1

    def nearness(at: Tensor) -> Tensor:  # (B, K) -> (B, K, side)
        return torch.exp(-0.5 * ((at[..., None] - ticks) / reach).square())

    carried = torch.cat([values, torch.ones_like(values[..., :1])], dim=2) * weights[..., None]
    down = torch.einsum("bkc,bky->bcyk", carried, nearness(places[..., 1]))  # (B, C + 1, side, K)
    field = torch.einsum("bcyk,bkx->bcyx", down, nearness(places[..., 0]))
    near = field[:, -1:]
    return field[:, :-1] / (near + LONELY), near / (near + LONELY)
