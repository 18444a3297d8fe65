"""What is behind the character: drawn in picture coordinates, plain to busy."""

from __future__ import annotations

import math

import torch

from facegraft.characters.attributes import Attributes
from facegraft.characters.tones import linear


def paint_background(
    attributes: Attributes, pixel: torch.Tensor, size: int, seed: int
) -> torch.Tensor:
    """Linear RGB float32 (3, N) at pixels (int64, row * size + column) of a square picture."""
    row = torch.div(pixel, size, rounding_mode="floor")
    y = (row.float() + 0.5) / size - 0.5
    x = ((pixel - row * size).float() + 0.5) / size - 0.5
    share = _share(attributes, x, y, seed)
    first = linear(attributes.background)[:, None]
    second = linear(attributes.background2)[:, None]
    return first + (second - first) * share


def _share(attributes: Attributes, x: torch.Tensor, y: torch.Tensor, seed: int) -> torch.Tensor:
    """How much of the second colour each pixel takes, (N,) in [0, 1]."""
    style = attributes.background_style
    angle = math.radians(attributes.background_angle)
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    waves = 3 + 9 * attributes.background_scale
    if style == "plain":
        return torch.zeros_like(x)
    if style == "gradient":
        return (along + 0.5).clamp(0, 1)
    if style == "halo":
        return ((x * x + y * y).sqrt() * (1 + attributes.background_scale)).clamp(0, 1)
    if style == "stripes":
        return ((along * waves * 2 * math.pi).sin() * 4 + 0.5).clamp(0, 1)
    if style == "checks":
        product = (along * waves * math.pi).sin() * (across * waves * math.pi).sin()
        return (product * 8 + 0.5).clamp(0, 1)
    return _clouds(along, across, waves, seed)


def _clouds(along: torch.Tensor, across: torch.Tensor, waves: float, seed: int) -> torch.Tensor:
    """A busy field: sine waves of falling size, bent by each other."""
    total = torch.zeros_like(along)
    bend = torch.zeros_like(along)
    for octave in range(4):
        frequency = waves * 1.9**octave
        shift = 1.7 * octave + 2.399 * (seed % 1009)
        bend = ((along + 0.35 * bend) * frequency + shift).sin() * (
            (across - 0.35 * bend) * frequency * 1.13 + 2 * shift
        ).sin()
        total = total + bend / 1.6**octave
    return (total * 0.45 + 0.5).clamp(0, 1)
