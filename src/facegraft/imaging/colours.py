"""Colours as the eye spaces them."""

from __future__ import annotations

import torch
from torch import Tensor

XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
"""Linear sRGB to CIE XYZ (IEC 61966-2-1); a white has the row sums."""


def to_lab(colours: Tensor) -> Tensor:
    """sRGB (..., 3) in [0, 1] -> CIE L*a*b* under D65; the distance of two is CIE76."""
    linear = torch.where(
        colours > 0.04045, ((colours.clamp_min(0) + 0.055) / 1.055) ** 2.4, colours / 12.92
    )
    matrix = colours.new_tensor(XYZ)
    relative = linear @ matrix.T / matrix.sum(dim=1)
    root = relative.clamp_min(1e-9) ** (1 / 3)
    x, y, z = torch.where(relative > 216 / 24389, root, (24389 / 27 * relative + 16) / 116).unbind(
        dim=-1
    )
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-1)
