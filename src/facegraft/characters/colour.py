"""Between sRGB, in which colours are named, and linear light, in which they are mixed."""

from __future__ import annotations

import torch

GAMMA = 2.2


def linear(colour: tuple[float, float, float]) -> torch.Tensor:
    """sRGB in [0, 1] -> linear light, float32 (3,)."""
    return torch.tensor([part**GAMMA for part in colour], dtype=torch.float32)


def encoded(light: torch.Tensor) -> torch.Tensor:
    """Linear light in [0, 1] -> 8-bit sRGB, uint8 of the same shape."""
    return (light.clamp(0, 1).pow(1 / GAMMA) * 255 + 0.5).to(torch.uint8)
