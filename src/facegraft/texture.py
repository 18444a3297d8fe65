"""How the decoder draws with the target's own pixels: read them, bend them, retouch them.

Exchanging identity moves most pixels of a face a few places and repaints few. So the texture
latent, the target's pixels, is bent by a flow and then retouched: what the flow cannot bring (the
iris, a brow, the shadow of another nose) is added. A first step starts at the copy of the target.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegraft.encoder import Stage, Stem


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

    Works at half the picture's side. Without texture there is nothing to add to: it paints.

    Args:
        channels: of the trunk's features.
        textured: whether there are bent pixels.
    """

    def __init__(self, channels: int, *, textured: bool) -> None:
        super().__init__()
        width = max(3 * channels // 4, 8)
        self.narrow = nn.Conv2d(channels, width // 2, 1)
        self.first = nn.Conv2d(width // 2 + (12 if textured else 0), width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, 16, 3, padding=1)
        if textured:  # to begin with, nearly nothing
            nn.init.normal_(self.last.weight, std=1e-2)
            nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, bent: Tensor | None, side: int) -> tuple[Tensor, Tensor]:
        """Features (B, C, h, h) and bent (B, 3, S, S) -> change (B, 3, S, S), mask (B, 1, S, S)."""
        x = F.interpolate(self.narrow(x), size=side // 2, mode="bilinear", align_corners=False)
        if bent is not None:
            x = torch.cat([x, F.pixel_unshuffle(bent, 2)], dim=1)  # (B, w/2 + 12, S/2, S/2)
        x = F.leaky_relu(self.first(x), 0.2)
        x = x + F.leaky_relu(self.second(x), 0.2)
        change, mask = F.pixel_shuffle(self.last(x), 2).split((3, 1), dim=1)
        return change, mask


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
