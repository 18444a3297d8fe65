"""The decoder G: 18 latents -> image [0114]-[0115], drawn with both faces' pixels.

From the fused latents `Exchange` says where the swap's landmarks lie. The target's picture and the
source's unwrapped detail are warped there, and a U-Net of 18 convolutions, each modulated by one
latent, decides per place whose detail to show and what tone to add:

    Y = T + share * (detail(S) - detail(T)) + tone

What is moved comes to rest, and what is drawn fades, before the crop's edge. Where the fused
latents are the target's own, Y is the target.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegraft.core.device import no_autocast
from facegraft.data.faces import Faces
from facegraft.method.contents import ContentPacker, Fused
from facegraft.method.exchange import Exchange
from facegraft.method.landmarks import (
    FACE,
    INNER_LIPS,
    OVAL,
    canonical,
    mirrored_landmarks,
)
from facegraft.method.latents import Layout
from facegraft.method.outline import OuterLandmarks, Outline, motion_features, own_features
from facegraft.method.shapes import Shapes
from facegraft.method.unwrap import plane_places, unwrapped
from facegraft.method.warp import (
    Raster,
    along,
    facing,
    pixel_centres,
    polygon_mask,
    raster,
    resized,
    sampled,
    softened,
    splatted_motion,
    tone,
    warped,
)

POWER = 4.0
"""The L1-trained share is a probability; at inference 1 - (1 - share)^POWER raises all but
small ones towards 1, else both faces show as ghosts (ADR 18). 1 in training."""

SAME = 1e-3
"""Content that differs by no more than this is the target's own."""

FINE_CHANNELS, COARSE_CHANNELS = 8, 4
"""Of the U-Net's input: at the picture's side the target's RGB, the source's detail, face and
known; at half of it the motion, face and known."""

SHARE_BIAS = 3.0
"""Added to the share's logits, so that an untrained share is about .95."""

EDGE_PIXELS = 9
"""Pixels of 128 over which the face's mask fades to its edge."""

MIN_WEIGHT = 0.02
"""Splatting weight of an outline landmark that faces away in the swap or in the target."""

OUTLINE_PARTS = 4
"""Into which each step of the face's outline is divided where motion is splatted about it."""

REST = 0.15
"""Part of the crop's half side over which motion comes to rest and what is drawn fades."""


@dataclass(frozen=True)
class Strength:
    """How much of the source is taken, both in [0, 1]; 1 is the patent's weight.

    Attributes:
        detail: of its lids, irises, brows, wrinkles, lips. shape: of its shape.
    """

    detail: float = 1.0
    shape: float = 1.0


WHOLE = Strength()


@dataclass(frozen=True)
class Visibility:
    """Where a swap's pixels lie in the source.

    Attributes:
        own, other: (B, 2, S, S), places in [-1, 1] over the source's crop: its own half, and the
            mirrored place in the other half. share: (B, 1, S, S) in [0, 1], of the own half.
        tone: (B, 3, S, S), of what is seen there.
    """

    own: Tensor
    other: Tensor
    share: Tensor
    tone: Tensor


@dataclass(frozen=True)
class Plan:
    """Where everything goes in B swaps of S pixels; no learnt convolution has a say in it.

    Attributes:
        vectors: (B, 18, D), the fused ones. target: what the attribute latents keep.
        landmarks: (B, 478, 3), the swap's.
        target_motion: (B, 2, S, S), from a pixel of the swap to where the target has it.
        shown: the swap's mesh, for what else is to be warped along.
        detail: (B, 3, S, S), the source's, warped. face: (B, 1, S, S) in [0, 1], where it may show.
        known: (B, 1, S, S) in [0, 1], where tone may be added.
        visibility: how the source's own pixels come there; None where its unwrapped copy is shown.
    """

    vectors: Tensor
    target: Faces
    landmarks: Tensor
    target_motion: Tensor
    shown: Raster
    detail: Tensor
    face: Tensor
    known: Tensor
    visibility: Visibility | None = None


@dataclass(frozen=True)
class Decoded:
    """What G draws.

    Attributes:
        image: (B, 3, S, S) in [-1, 1].
        landmarks: (B, 478, 3), where the swap's landmarks were asked to lie.
        share: (B, 1, S, S) in [0, 1], of the source's detail. tone: (B, 3, S, S), added.
        motion: (B, 2, S, S), see `Plan.target_motion`. target_tone: (B, 3, S, S), of the target
            so moved. visibility: see `Plan`.

    All but the image are None where the decoder paints.
    """

    image: Tensor
    landmarks: Tensor | None = None
    share: Tensor | None = None
    tone: Tensor | None = None
    motion: Tensor | None = None
    target_tone: Tensor | None = None
    visibility: Visibility | None = None


class ModulatedConv(nn.Module):
    """3x3 convolution whose normalised channels are scaled and shifted by one latent.

    Adaptive instance normalisation (Huang & Belongie 2017) on groups of channels.
    """

    def __init__(self, channels_in: int, channels_out: int, style: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm = nn.GroupNorm(math.gcd(8, channels_out), channels_out)
        self.style = nn.Linear(style, 2 * channels_out)
        nn.init.normal_(self.style.weight, std=0.02)
        nn.init.zeros_(self.style.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.style(style)[:, :, None, None].chunk(2, dim=1)
        return F.leaky_relu(self.norm(self.conv(x)) * (1 + scale) + shift, 0.2)


class BlendUNet(nn.Module):
    """The U-Net of 18 modulated convolutions: whose detail, what tone.

    It decides coarsely, the share at half the picture's side and the tone at a quarter, so that
    every pixel stays somebody's own.

    Args:
        style: D, of each latent's vector. channels: width at half the side; 2 and 3 times below.
    """

    def __init__(self, style: int, channels: int) -> None:
        super().__init__()
        one, two, three = channels, 2 * channels, 3 * channels
        seen = 4 * FINE_CHANNELS + COARSE_CHANNELS  # four pixels to one at half the side
        plan = [
            *((seen, one), (one, one), (one, one)),  # S / 2
            *((one, two), (two, two), (two, two)),  # S / 4
            *((two, three), (three, three), (three, three)),  # S / 8
            *((three, three), (three, three), (three, three)),
            *((three + two, two), (two, two), (two, two)),  # S / 4 again
            *((two + one, one), (one, one), (one, one)),  # S / 2 again
        ]
        self.layers = nn.ModuleList(ModulatedConv(i, o, style) for i, o in plan)
        self.share = nn.Conv2d(one, 1, 3, padding=1)
        self.tone = nn.Conv2d(two, 3, 3, padding=1)
        for head in (self.share, self.tone):
            nn.init.normal_(head.weight, std=1e-2)
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]

    def forward(self, seen: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 36, S/2, S/2) and (B, 18, D) -> share's logits (B, 1, S/2, S/2), tone at S/4."""
        x0 = self._run(seen, vectors, 0, 3)
        x1 = self._run(F.avg_pool2d(x0, 2), vectors, 3, 6)
        x2 = self._run(F.avg_pool2d(x1, 2), vectors, 6, 12)
        y1 = self._run(torch.cat([_doubled(x2), x1], dim=1), vectors, 12, 15)
        y0 = self._run(torch.cat([_doubled(y1), x0], dim=1), vectors, 15, 18)
        return self.share(y0) + SHARE_BIAS, self.tone(y1)

    def _run(self, x: Tensor, vectors: Tensor, first: int, last: int) -> Tensor:
        for k in range(first, last):
            x = self.layers[k](x, vectors[:, k])
        return x


class Decoder(nn.Module):
    """G of the patent.

    Args:
        layout: what the 18 latents are. packer: what they hold besides vectors.
        channels: width of the U-Net. shapes: the encoder's; not a part of the decoder's weights.
    """

    def __init__(
        self, layout: Layout, packer: ContentPacker, channels: int, shapes: Shapes
    ) -> None:
        super().__init__()
        self.layout, self.packer, self.size = layout, packer, packer.size
        self._shared = (shapes,)  # in a tuple: its weights are the encoder's
        self.exchange = Exchange(packer.regions)
        self.outline = Outline(len(layout.content_shapes) * layout.vector)
        self.unet = BlendUNet(layout.vector, channels)

    @property
    def shapes(self) -> Shapes:
        """How shapes are made neutral."""
        return self._shared[0]

    def forward(
        self,
        z: Tensor,
        source: Faces | None = None,
        *,
        power: float = POWER,
        strength: Strength = WHOLE,
    ) -> Decoded:
        """Packed latents (B, L) -> `Decoded`.

        Args:
            source: the sources; where given, their own pixels are shown instead of the latents'
                unwrapped copy, which was resampled twice.
            power: see `POWER`; 1 in training.
        """
        plan = self.plan(z, strength=strength)
        if source is not None:
            plan = self.with_pixels(plan, source)
        return self.blend(plan, power=power, strength=strength)

    @no_autocast()
    def plan(self, z: Tensor, landmarks: Tensor | None = None, strength: Strength = WHOLE) -> Plan:
        """Where everything goes.

        Args:
            landmarks: (B, 478, 3), the swap's if known, as in training; else they are predicted.
        """
        held = self.packer.unpacked(z, self.layout, self.shapes.mean)
        target, vectors = held.target, self.layout.vectors(z)
        own = self.shapes(target.landmarks, target.expression)
        taken = self._taken(held, own)
        difference = strength.shape * (held.shape - own)
        if landmarks is None:
            landmarks = self.exchange(
                difference, target.landmarks, target.expression, taken, self.shapes.mean
            )
        outer = self._outer(held.shape - own, own, target, vectors, strength.shape * taken)
        shown = raster(landmarks, self.size)
        inside = softened(shown.inside[:, None].to(z), EDGE_PIXELS)
        rest = at_rest(self.size).to(z)
        motion, known = self._motion(landmarks, target.landmarks, outer, shown, inside)
        detail, seen = self._detail(held, shown, target.landmarks)
        regions = self._regions(shown, inside, taken)
        mouth = polygon_mask(landmarks[:, list(INNER_LIPS), :2], self.size)
        return Plan(
            vectors=vectors,
            target=target,
            landmarks=landmarks,
            target_motion=motion * rest,
            shown=shown,
            detail=detail,
            face=inside * seen * regions * (1 - mouth) * rest,
            known=known * regions * rest,
        )

    def with_pixels(self, plan: Plan, source: Faces) -> Plan:
        """The plan with the source's own pixels, its occluded half filled from its mirror image."""
        seen = facing(source.landmarks)[..., None]
        mirror = torch.from_numpy(mirrored_landmarks()).to(seen.device)
        both = torch.cat([source.landmarks[..., :2], seen, source.landmarks[:, mirror, :2]], dim=2)
        own, seen, other = plan.shown.spread(both).split((2, 1, 2), dim=1)
        share = seen.clamp(0.0, 1.0)
        shown = share * _read_at(source.images, own) + (1 - share) * _read_at(source.images, other)
        low = tone(shown)
        return replace(plan, detail=shown - low, visibility=Visibility(own, other, share, low))

    def blend(self, plan: Plan, *, power: float = POWER, strength: Strength = WHOLE) -> Decoded:
        """Run the U-Net on a plan and blend: Y = T + share * (detail(S) - detail(T)) + tone."""
        moved_target = warped(plan.target.images, plan.target_motion)
        logits, change = self.unet(self._unet_input(plan, moved_target), plan.vectors)
        share = torch.sigmoid(resized(logits, self.size))
        share = (1 - (1 - share) ** power) * plan.face * strength.detail
        whole = max(strength.detail, strength.shape)  # tone blends in what either brings
        change = resized(change, self.size, "bicubic") * plan.known * whole
        low = tone(moved_target)
        image = moved_target + share * (plan.detail - (moved_target - low)) + change
        return Decoded(
            image=image.clamp(-1.0, 1.0),
            landmarks=plan.landmarks,
            share=share,
            tone=change,
            motion=plan.target_motion,
            target_tone=low,
            visibility=plan.visibility,
        )

    def _unet_input(self, plan: Plan, moved_target: Tensor) -> Tensor:
        """What the U-Net sees: (B, 36, S/2, S/2)."""
        fine = torch.cat([moved_target, plan.detail * plan.face, plan.face, plan.known], dim=1)
        coarse = torch.cat([plan.target_motion, plan.face, plan.known], dim=1)
        return torch.cat([F.pixel_unshuffle(fine, 2), F.avg_pool2d(coarse, 2)], dim=1)

    @torch.no_grad()
    def _taken(self, held: Fused, own: Tensor) -> Tensor:
        """Which regions are not the target's own: (B, R), zeros and ones."""
        detail, seen = unwrapped(held.target.images, held.target.landmarks)
        drawn = ((held.detail - detail) * seen).flatten(2).abs()
        apart = []
        for members, pixels in zip(self.packer.members, self.packer.region_pixels, strict=True):
            members, pixels = members.to(own.device), pixels.to(own.device)
            shape = (held.shape - own)[:, members].abs().amax(dim=(1, 2))
            apart.append(torch.maximum(shape, drawn[:, :, pixels].amax(dim=(1, 2))))
        return (torch.stack(apart, dim=1) > SAME).to(own)

    def _outer(
        self, difference: Tensor, own: Tensor, target: Faces, vectors: Tensor, taken: Tensor
    ) -> OuterLandmarks:
        """Places and motion (B, 160, 2) of points on ears, hair and neck.

        The places come from the target's pose, expression, shape and the latent vectors; the motion
        from the shape difference, modulated by pose and expression, and the vectors.

        Args:
            difference, own: (B, 478, 3), the source's neutral shape less the target's; that one.
            vectors: (B, 18, D). taken: (B, R) in [0, 1]; the points move with the face's shape.
        """
        _, _, turn = canonical(target.landmarks, self.shapes.mean)
        modulation = self.exchange.modulation(turn, target.expression)
        shape = (own - self.shapes.mean).flatten(1) @ self.exchange.axes
        features = self.exchange.features(difference, turn, target.expression)
        flat = vectors.flatten(1)
        return self.outline(
            own_features(modulation, shape, flat),
            motion_features(features, flat),
            target.landmarks,
            self.shapes.mean,
            self._face_taken(taken),
        )

    def _face_taken(self, taken: Tensor) -> Tensor:
        """How much the face's shape is taken, of (B, R): (B,); 0 where no region is the face."""
        regions = self.packer.regions
        return taken[:, regions.index(FACE)] if FACE in regions else torch.zeros_like(taken[:, 0])

    def _motion(
        self, swap: Tensor, target: Tensor, outer: OuterLandmarks, shown: Raster, inside: Tensor
    ) -> tuple[Tensor, Tensor]:
        """From a pixel of the swap to where the target has it, and where that is known."""
        back = (target - swap)[..., :2]
        edge = _edge().to(swap).expand(len(swap), -1, -1)
        seen = (facing(swap) * facing(target) + MIN_WEIGHT)[..., None]
        ring = along(torch.cat([swap[..., :2], back, seen], dim=2), OVAL, OUTLINE_PARTS)
        near, moved, seen = ring.split((2, 2, 1), dim=2)
        places = torch.cat([near, outer.places + outer.motion, edge], dim=1)
        motion = torch.cat([moved, -outer.motion, torch.zeros_like(edge)], dim=1)
        weights = torch.cat([seen[..., 0], outer.seen, torch.ones_like(edge[..., 0])], dim=1)
        about, known = splatted_motion(places, motion, weights)
        about = resized(about, self.size, "bicubic")
        within = shown.spread(back)
        return inside * within + (1 - inside) * about, resized(known, self.size).clamp(0.0, 1.0)

    def _detail(self, held: Fused, shown: Raster, target: Tensor) -> tuple[Tensor, Tensor]:
        """The unwrapped detail where the swap has it, and how much of it is seen."""
        plane = plane_places().to(target).expand(len(target), -1, -1)
        places = shown.spread(plane).permute(0, 2, 3, 1)
        both = sampled(torch.cat([held.detail, held.seen], dim=1), places)
        return both[:, :3], both[:, 3:].clamp(0.0, 1.0)

    def _regions(self, shown: Raster, inside: Tensor, taken: Tensor) -> Tensor:
        """How much of each pixel belongs to a region that is taken: (B, 1, S, S)."""
        member = self.exchange.membership.expand(len(taken), -1, -1)
        within = (shown.spread(member) * taken[:, :, None, None]).sum(dim=1, keepdim=True)
        face = self._face_taken(taken)
        return inside * within + (1 - inside) * face[:, None, None, None]


def at_rest(side: int) -> Tensor:
    """(1, 1, side, side): 1 inside, falling to 0 at the picture's edge over `REST`."""
    ticks = pixel_centres(side).abs().amax(dim=2)
    ramp = ((1 - ticks - 1 / side) / REST).clamp(0.0, 1.0)
    return (ramp * ramp * (3 - 2 * ramp))[None, None]


def _edge(count: int = 9) -> Tensor:
    """Points on the crop's edge, which stay where they are."""
    ticks = torch.linspace(-1.0, 1.0, count)
    grid = torch.cartesian_prod(ticks, ticks)
    return grid[grid.abs().amax(dim=1) > 0.999]


def _read_at(image: Tensor, places: Tensor) -> Tensor:
    """A picture (B, C, h, w) at places (B, 2, S, S)."""
    return sampled(image, places.permute(0, 2, 3, 1))


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
