"""What the vertices say about a pixel's surface, interpolated when asked for."""

from __future__ import annotations

import torch

COLUMNS = ("x", "y", "z", "lips", "mouth", "blush", "light", "feature",
           "scalp", "cloth", "beard", "normal_x", "normal_y", "normal_z")  # fmt: skip
"""Columns of the vertex table, in order."""


class Surface:
    """N pixels of a mesh; each column is interpolated once, when first asked for."""

    def __init__(self, table: torch.Tensor, corner: torch.Tensor, weight: torch.Tensor) -> None:
        """Pixels of triangles.

        Args:
            table: float32 (14, V), a value per vertex, rows named by `COLUMNS`.
            corner: int64 (3, N), the vertices of the triangle that each pixel shows.
            weight: float32 (3, N), their shares, sum 1.
        """
        self._table, self._corner, self._weight = table, corner, weight
        self._known: dict[str, torch.Tensor] = {}

    def __len__(self) -> int:
        return self._corner.shape[1]

    def column(self, name: str) -> torch.Tensor:
        """One value per pixel, float32 (N,); not to be changed in place.

        x, y, z: rest position in decimetres (hair: azimuth, place from crown to tip, 0);
        lips, mouth (its inside), blush in [0, 1]; light: share of ambient light in [0, 1];
        feature: nose in (0, 1], ears in [-1, 0); scalp, cloth, beard: positive inside the
        hairline, the costume, the beard; normal_*: not of unit length.
        """
        if name not in self._known:
            values = self._table[COLUMNS.index(name)]
            total = values.index_select(0, self._corner[0]).mul_(self._weight[0])
            total.addcmul_(values.index_select(0, self._corner[1]), self._weight[1])
            total.addcmul_(values.index_select(0, self._corner[2]), self._weight[2])
            self._known[name] = total
        return self._known[name]

    def columns(self, *names: str) -> tuple[torch.Tensor, ...]:
        """Several values per pixel, each float32 (N,); see `column`."""
        return tuple(self.column(name) for name in names)

    def take(self, index: torch.Tensor) -> Surface:
        """The pixels at `index` (int64), with the columns that are known already."""
        taken = Surface(
            self._table, self._corner.index_select(1, index), self._weight.index_select(1, index)
        )
        taken._known = {name: found.index_select(0, index) for name, found in self._known.items()}
        return taken
