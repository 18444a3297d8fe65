"""What the vertices say about a pixel's surface, interpolated when asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch

COLUMNS = ("x", "y", "z", "lips", "mouth", "blush", "light", "feature",
           "scalp", "cloth", "beard", "normal_x", "normal_y", "normal_z")  # fmt: skip
"""Columns of the vertex table, in order."""


@dataclass(frozen=True)
class Surface:
    """N pixels of a mesh.

    Attributes:
        table: float32 (14, V), a value per vertex, rows named by `COLUMNS`.
        corner: int64 (3, N), the vertices of the triangle that each pixel shows.
        weight: float32 (3, N), their shares, sum 1.
    """

    table: torch.Tensor
    corner: torch.Tensor
    weight: torch.Tensor

    def __len__(self) -> int:
        return self.corner.shape[1]

    def column(self, name: str) -> torch.Tensor:
        """One value per pixel, float32 (N,); a new tensor each time."""
        values = self.table[COLUMNS.index(name)]
        total = values.index_select(0, self.corner[0]).mul_(self.weight[0])
        total.addcmul_(values.index_select(0, self.corner[1]), self.weight[1])
        return total.addcmul_(values.index_select(0, self.corner[2]), self.weight[2])

    def columns(self, *names: str) -> tuple[torch.Tensor, ...]:
        """Several values per pixel, each float32 (N,).

        x, y, z: rest position in decimetres (hair: azimuth, place from crown to tip, 0);
        lips, mouth (its inside), blush in [0, 1]; light: share of ambient light in [0, 1];
        feature: nose in (0, 1], ears in [-1, 0); scalp, cloth, beard: positive inside the
        hairline, the costume, the beard; normal_*: not of unit length.
        """
        return tuple(self.column(name) for name in names)

    def take(self, index: torch.Tensor) -> Surface:
        """The pixels at `index` (int64)."""
        return Surface(
            self.table, self.corner.index_select(1, index), self.weight.index_select(1, index)
        )

    def part(self, span: slice) -> Surface:
        """A run of pixels, without copying."""
        return Surface(self.table, self.corner[:, span], self.weight[:, span])
