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


def smoothstep(low: float, high: float, value: torch.Tensor) -> torch.Tensor:
    """0 below `low`, 1 above `high`, smooth between."""
    part = ((value - low) / (high - low)).clamp_(0, 1)
    return part * part * (3 - 2 * part)


def cover(base: torch.Tensor, over: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """`base` (3, N) covered by `over` (3,) or (3, N) with opacity `share` (N,)."""
    return torch.lerp(base, over[:, None] if over.ndim == 1 else over, share)
