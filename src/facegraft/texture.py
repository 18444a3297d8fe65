"""How the decoder draws with the target's own pixels: read them, bend them, retouch them.

Exchanging identity moves most pixels of a face a few places and repaints few. So the texture
latent, the target's pixels, is bent by a flow and then retouched: what the flow cannot bring (the
shadow of another nose, a tint) is added, and brows and irises, which are paint, are drawn anew. A
first step starts at the copy of the target.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegraft.encoder import Stage, Stem
from facegraft.strokes import KINDS


class TextureReader(nn.Module):
    """What the target's pixels show and where, for the layers that bend them.

    Args:
        side: pixels of the pictures.
        widths: resolution -> channels; from the finest the pyramid is halved down to the coarsest.
    """

    def __init__(self, side: int, widths: dict[int, int]) -> None:
        super().__init__()
        self.resolutions = sorted(widths, reverse=True)
        finest = widths[self.resolutions[0]]
        self.stem = Stem(side // self.resolutions[0], finest)
        before = [finest, *(widths[r] for r in self.resolutions[:-1])]
        self.stages = nn.ModuleList(
            Stage(width, widths[r]) for width, r in zip(before, self.resolutions, strict=True)
        )

    def forward(self, pixels: Tensor) -> dict[int, Tensor]:
        """(B, 3, S, S) in [-1, 1] -> resolution r: features (B, widths[r], r, r)."""
        x, features = self.stem(pixels), {}
        for place, (resolution, stage) in enumerate(
            zip(self.resolutions, self.stages, strict=True)
        ):
            x = stage(x if place == 0 else F.avg_pool2d(x, 2))
            features[resolution] = x
        return features


class Retouch(nn.Module):
    """Adds to the bent pixels what no flow brings, and says where the swap differs at all.

    It works at the trunk's own resolution, four pixels of a picture of 128: enough for the tint of
    an iris and the shadow of a nose, too coarse to wipe out what the flow put in a wrong place. At
    half the picture's side it learnt just that, to blur, while every loss fell.

    Args:
        channels: of the trunk's features.
        factor: the picture's side over the trunk's.
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.first = nn.Conv2d(channels + 3 * factor**2, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, 4, 3, padding=1)
        nn.init.normal_(self.last.weight, std=1e-2)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, bent: Tensor, tint: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What to add, and where the swap differs from the target.

        Args:
            x: (B, C, h, h), the trunk's features.
            bent: (B, 3, S, S).
            tint: (B, 3, S, S), a change of colour that is known already.

        Returns:
            Change (B, 3, S, S) and mask logits (B, 1, S, S).
        """
        x = torch.cat([x, F.pixel_unshuffle(bent, self.factor)], dim=1)
        x = F.leaky_relu(self.first(x), 0.2)
        x = self.last(x + F.leaky_relu(self.second(x), 0.2))
        x = F.interpolate(x, bent.shape[-1], mode="bicubic", align_corners=False)
        change, mask = x.split((3, 1), dim=1)
        return change if tint is None else change + tint, mask


class Ink(nn.Module):
    """Wipes out brows and irises where they were and draws them where they come to lie.

    It works at half the picture's side, but only where there is paint, and in the eye about an
    iris: let loose everywhere at that resolution a retouch learns to blur. How the paint's colour
    changes is said once for all brows and once for both irises, and laid over as far as a pixel
    shows the paint; a pupil, a highlight or a lid keeps its own.

    Args:
        channels: of the trunk's features.
        vectors: elements of the vector latents, which say the colours: the trunk, taught where
            things lie, hardly passes on an iris' hue.
    """

    WIDTH = 24
    ABOUT = (1, 6)
    """How far about a brow and about an iris it may draw, pixels of a picture of 128."""
    TOLD = 8
    """Channels in which the trunk tells what is about the paint."""

    def __init__(self, channels: int, vectors: int) -> None:
        super().__init__()
        self.told = nn.Conv2d(channels, self.TOLD, 1)
        self.change = nn.Linear(vectors + 3 * KINDS, 3 * KINDS)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)
        seen = 4 * (3 + 2 * KINDS + 3 * KINDS) + 2 * 3 * KINDS
        self.first = nn.Conv2d(seen + self.TOLD, self.WIDTH, 3, padding=1)
        self.second = nn.Conv2d(self.WIDTH, self.WIDTH, 3, padding=1)
        self.last = nn.Conv2d(self.WIDTH, 4 * (3 + KINDS), 3, padding=1)
        nn.init.normal_(self.last.weight, std=1e-2)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def recoloured(self, vectors: Tensor, colours: Tensor) -> Tensor:
        """How the paint's colours change.

        Args:
            vectors: (B, V), fused, see `Decoder.vectors`.
            colours: (B, KINDS, 3) in [-1, 1], as the target shows them.

        Returns:
            (B, KINDS, 3).
        """
        change: Tensor = self.change(torch.cat([vectors, colours.flatten(1)], dim=1))
        return change.view_as(colours)

    def forward(
        self,
        x: Tensor,
        colours: Tensor,
        change: Tensor,
        image: Tensor,
        before: Tensor,
        after: Tensor,
    ) -> Tensor:
        """What to add to an image (B, 3, S, S).

        Args:
            x: (B, C, h, h), the trunk's features.
            colours, change: (B, KINDS, 3), see `recoloured`.
            before, after: (B, KINDS, S, S) in [0, 1], where the image shows paint and where the
                swap shall.
        """
        side = image.shape[-1]
        off = (image[:, None] - colours[..., None, None]) * after[:, :, None]  # (B, KINDS, 3, S, S)
        shown = F.pixel_unshuffle(torch.cat([image, before, after, off.flatten(1, 2)], dim=1), 2)
        told = F.interpolate(self.told(x), side // 2, mode="bilinear")
        known = torch.cat([colours, change], dim=1).flatten(1)[..., None, None]
        known = known.expand(-1, -1, side // 2, side // 2)
        y = F.leaky_relu(self.first(torch.cat([shown, told, known], dim=1)), 0.2)
        y = self.last(y + F.leaky_relu(self.second(y), 0.2))
        added, shows = F.pixel_shuffle(y, 2).split((3, KINDS), dim=1)
        laid = torch.einsum("bkhw,bkc->bchw", torch.sigmoid(shows) * after, change)
        return laid + added * self._where(torch.maximum(before, after))

    def _where(self, paint: Tensor) -> Tensor:
        """Where there is paint or the eye about it: (B, KINDS, S, S) -> (B, 1, S, S) in [0, 1]."""
        grown = []
        for kind, about in zip(paint.split(1, dim=1), self.ABOUT, strict=True):
            reach = max(1, round(about * paint.shape[-1] / 128))
            # A square grows along rows, then along columns.
            wide = F.max_pool2d(kind, (1, 2 * reach + 1), stride=1, padding=(0, reach))
            grown.append(F.max_pool2d(wide, (2 * reach + 1, 1), stride=1, padding=(reach, 0)))
        return torch.maximum(*grown)


class Painter(nn.Module):
    """Without texture: paints the whole picture from the trunk's features, at half its side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, 16, 3, padding=1)

    def forward(self, x: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """Features (B, C, h, h) -> image (B, 3, S, S) in [-1, 1], mask (B, 1, S, S)."""
        x = F.interpolate(x, size=side // 2, mode="bilinear", align_corners=False)
        x = self.last(F.leaky_relu(self.first(x), 0.2))
        image, mask = F.pixel_shuffle(x, 2).split((3, 1), dim=1)
        return torch.tanh(image), mask


def bend(pixels: Tensor, flow: Tensor) -> Tensor:
    """Each pixel shows what lies `flow` away from it.

    Args:
        pixels: (B, 3, S, S).
        flow: (B, 2, S, S), x then y, in halves of the picture's side.

    Returns:
        (B, 3, S, S); beyond the border the border's pixel.
    """
    still = torch.eye(2, 3, device=pixels.device).expand(len(pixels), 2, 3)
    grid = F.affine_grid(still, list(pixels.shape), align_corners=False)  # (B, S, S, 2)
    grid = grid + flow.permute(0, 2, 3, 1)
    return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def within(image: Tensor) -> Tensor:
    """Clamped to [-1, 1]; the gradient passes as if it were not, so that no pixel gets stuck."""
    return image + (image.clamp(-1.0, 1.0) - image).detach()
