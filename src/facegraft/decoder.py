"""The decoder G: 18 latents -> image [0114]-[0115], one latent per layer slot.

A stack of 18 modulated convolutions from 4 px up. Latent k sets scale and shift of every channel
in layer k (adaptive instance normalisation, Huang & Belongie 2017; one style per layer as in
StyleGAN, Karras et al. 2019). Spatial slots enter as extra channels at their own resolution. The
stack ends at 32 px: its features are the flow that bends the target's texture, and what
`texture.Retouch` adds. Where surface points are known, `points.PointMover` says beforehand how
they move, and the stack only mends that; `texture.Ink` redraws brows and irises.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegraft.config import NUM_LATENTS
from facegraft.encoder import FINEST
from facegraft.latents import Layout, points_scale, texture_scale
from facegraft.paint import by_kind, paint_colours
from facegraft.points import Moved, PointMover, colours_at, spread
from facegraft.strokes import coverage
from facegraft.texture import Ink, Painter, Retouch, TextureReader, bend, within


@dataclass(frozen=True)
class Decoded:
    """What G draws.

    Attributes:
        image: (B, 3, S, S) in [-1, 1].
        mask_logits: (B, 1, S, S); sigmoid gives the paste-back mask, 1 where the swap differs
            from the target.
        flow: (B, 2, S, S), where each pixel's texture came from, x then y, in halves of the
            side; None without texture.
    """

    image: Tensor
    mask_logits: Tensor
    flow: Tensor | None = None


class ModulatedLayer(nn.Module):
    """3x3 convolution whose channels are scaled and shifted by one latent."""

    def __init__(self, channels_in: int, channels_out: int, style: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.style = nn.Linear(style, 2 * channels_out)
        self.shortcut = channels_in == channels_out

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.style(style)[:, :, None, None].chunk(2, dim=1)  # (B, C, 1, 1) x 2
        y = F.leaky_relu(F.instance_norm(self.conv(x)) * (1 + scale) + shift, 0.2)
        return x + y if self.shortcut else y


def layers_per_resolution(size: int) -> dict[int, int]:
    """Deal the 18 layers over 4, 8, ... up to `FINEST`; the resolutions where features form, most.

    >>> layers_per_resolution(128)
    {4: 2, 8: 4, 16: 6, 32: 6}
    """
    resolutions = [2**i for i in range(2, int(math.log2(min(size, FINEST))) + 1)]
    counts = dict.fromkeys(resolutions, 2)
    finest_first = resolutions[::-1]
    for i in range((NUM_LATENTS - sum(counts.values())) // 2):
        counts[finest_first[(0, 1, 0, 1, 2)[i % 5] % len(finest_first)]] += 2
    return counts


class Decoder(nn.Module):
    """G of the patent.

    Args:
        layout: what the 18 latents are.
        size: image width and height, a power of two from 32.
        channels: width at `FINEST`; it doubles towards 8 px.
        strokes: how many of the points, the last ones, are painted outlines.
    """

    def __init__(self, layout: Layout, size: int, channels: int, strokes: int = 0) -> None:
        super().__init__()
        self.layout = layout
        self.size = size
        counts = layers_per_resolution(size)
        widths = {r: channels * min(FINEST // r, 4) for r in counts}
        self.plan = tuple(r for r, count in counts.items() for _ in range(count))
        self.first = {r: self.plan.index(r) for r in counts}  # its first layer
        vectors = sum(layout.sizes[k] for k in layout.vector_dimensions)
        self.start = nn.Linear(vectors, widths[4] // 2 * 16)
        before = [widths[4] // 2, *(widths[r] for r in self.plan[:-1])]
        self.layers = nn.ModuleList(
            ModulatedLayer(width, widths[r], layout.sizes[k] if len(shape) < 3 else shape[0])
            for k, (width, r, shape) in enumerate(
                zip(before, self.plan, layout.shapes, strict=True)
            )
        )
        entering = {r: before[k] for r, k in self.first.items()}
        self.merge = nn.ModuleDict()
        for k in sorted(set(layout.spatial_dimensions) - {layout.texture}):
            slot_channels, height, _ = layout.shapes[k]
            if height not in entering:
                raise ValueError(f"latent {k}: a slot of {height} px; choose from {list(counts)}")
            self.merge[str(k)] = nn.Conv2d(slot_channels, entering[height], 3, padding=1)
        self.reader: TextureReader | None = None
        if layout.texture is None:
            self.painter = Painter(channels)
        else:
            self.reader = TextureReader(size, widths)
            self.skips = nn.ModuleDict(
                {str(r): nn.Conv2d(widths[r], entering[r], 1) for r in counts}
            )
            self.to_flow = nn.Conv2d(channels, 2, 3, padding=1)
            nn.init.normal_(self.to_flow.weight, std=1e-3)
            nn.init.zeros_(self.to_flow.bias)  # type: ignore[arg-type]
            self.retouch = Retouch(channels, size // self.plan[-1])
        self.strokes = strokes
        self.mover: PointMover | None = None
        self.ink: Ink | None = None
        if layout.points is not None and layout.texture is not None:
            self.mover = PointMover(layout.shapes[layout.points][0], vectors)
            self.guide = nn.Conv2d(6, entering[self.plan[-1]], 3, padding=1)
            self.ink = Ink(channels, vectors) if strokes else None

    def forward(self, z: Tensor) -> Decoded:
        """Packed latents (B, L) -> `Decoded`."""
        if self.reader is None:
            return Decoded(*self.painter(self._trunk(z, {}, None), self.size))
        texture = self._texture(z)
        moved = self._moved(z, texture)
        field = None if moved is None else self._field(*moved)  # (B, 6, S / 2, S / 2)
        x = self._trunk(z, self.reader(texture), field)  # (B, C, 32, 32)
        # Bicubic: bilinear steps of a coarse flow show as facets along the jaw.
        flow, tint = self._enlarged(self.to_flow(x)), None
        if field is not None:
            moving, tint, _ = self._enlarged(field).split((2, 3, 1), dim=1)
            flow = flow + moving
        bent = bend(texture, flow)
        change, mask_logits = self.retouch(x, bent, tint)
        image = bent + change
        if self.ink is not None and moved is not None:
            before, after = self._painted(*moved)
            colours = by_kind(paint_colours(texture, moved[0][:, -self.strokes :]))
            change = self.ink.recoloured(self.vectors(z), colours)
            image = image + self.ink(x, colours, change, image, bend(before, flow), after)
        return Decoded(within(image), mask_logits, flow)

    def vectors(self, z: Tensor) -> Tensor:
        """All vector latents of (B, L) side by side, elements of unit variance: (B, V)."""
        parts = self._unit_scale(z)
        return torch.cat([parts[k] for k in self.layout.vector_dimensions], dim=1)

    def _moved(self, z: Tensor, texture: Tensor) -> tuple[Tensor, Moved] | None:
        """The target's points (B, K, 2), and what becomes of them."""
        if self.mover is None or self.layout.points is None:
            return None
        k = self.layout.points
        places = self.layout.split(z)[k].view(len(z), -1, 2) / points_scale(self.layout.sizes[k])
        return places, self.mover(places, colours_at(texture, places), self.vectors(z))

    def _field(self, places: Tensor, moved: Moved) -> Tensor:
        """How the target's surface moves and changes colour, spread over the picture to be.

        Returns:
            (B, 6, S / 2, S / 2), never less than the trunk's side: flow x, y; tint of three
            channels; how much is known.
        """
        surface = slice(places.shape[1] - self.strokes)
        carried = torch.cat([-moved.shift, moved.tint], dim=2)[:, surface]
        there, seen = (places + moved.shift)[:, surface], torch.sigmoid(moved.sight[:, surface])
        return spread(there, carried, seen, max(self.size // 2, self.plan[-1]))

    def _enlarged(self, field: Tensor) -> Tensor:
        """A field at the picture's own side."""
        return F.interpolate(field, self.size, mode="bicubic", align_corners=False)

    def _painted(self, places: Tensor, moved: Moved) -> tuple[Tensor, Tensor]:
        """Where brows and irises are in the target and in the swap: (B, KINDS, S, S) twice."""
        painted = slice(places.shape[1] - self.strokes, None)
        before, after = places[:, painted], (places + moved.shift)[:, painted]
        return coverage(before, self.size), coverage(after, self.size)

    def _trunk(self, z: Tensor, read: dict[int, Tensor], field: Tensor | None) -> Tensor:
        """The 18 layers: (B, L), the reader's features and the field -> (B, C, FINEST, FINEST)."""
        parts = self._unit_scale(z)
        x = F.leaky_relu(self.start(self.vectors(z)), 0.2).view(len(z), -1, 4, 4)
        for k, (resolution, layer) in enumerate(zip(self.plan, self.layers, strict=True)):
            if x.shape[-1] != resolution:
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            if k == self.first[resolution]:
                x = self._add_maps(x, parts, read)
                if field is not None and resolution == self.plan[-1]:
                    x = x + self.guide(F.adaptive_avg_pool2d(field, resolution))
            x = layer(x, self._style(parts[k], k))
        return x

    def _texture(self, z: Tensor) -> Tensor:
        """The target's own pixels out of their slot: (B, 3, S, S) in [-1, 1]."""
        k = self.layout.texture
        assert k is not None
        pixels = self.layout.split(z)[k] / texture_scale(self.layout.sizes[k])
        return F.pixel_shuffle(pixels.view(-1, *self.layout.shapes[k]), 2)

    def _unit_scale(self, z: Tensor) -> list[Tensor]:
        """Undo the 1/sqrt(size) of the latents' normalisation: elements of unit variance."""
        return [part * part.shape[1] ** 0.5 for part in self.layout.split(z)]

    def _style(self, part: Tensor, k: int) -> Tensor:
        """A vector or points as they are; a spatial slot by its channels' means."""
        shape = self.layout.shapes[k]
        return part if len(shape) < 3 else part.view(-1, *shape).mean(dim=(2, 3))

    def _add_maps(self, x: Tensor, parts: list[Tensor], read: dict[int, Tensor]) -> Tensor:
        """What is known per place at this resolution: the slots, and what the texture shows."""
        for k in self.layout.spatial_dimensions:
            shape = self.layout.shapes[k]
            if k != self.layout.texture and shape[1] == x.shape[-1]:
                x = x + self.merge[str(k)](parts[k].view(-1, *shape))
        if x.shape[-1] in read:
            x = x + self.skips[str(x.shape[-1])](read[x.shape[-1]])
        return x
