"""What the vertices say about a pixel's surface, interpolated when asked for."""

from __future__ import annotations

import torch

from facegraft.characters.sampling import places_of

COLUMNS = ("x", "y", "z", "lips", "mouth", "blush", "light", "feature",
           "scalp", "cloth", "beard", "normal_x", "normal_y", "normal_z")  # fmt: skip
"""Columns of the vertex table, in order."""


class Surface:
    """N pixels of a mesh; each column is interpolated once, when first asked for."""

    def __init__(
        self,
        table: torch.Tensor,
        corners: list[torch.Tensor],
        triangle: torch.Tensor,
        weight: torch.Tensor,
    ) -> None:
        """Pixels of triangles.

        Args:
            table: float32 (14, V), a value per vertex, rows named by `COLUMNS`.
            corners: 3 x int32 (T,), the vertices of every triangle.
            triangle: int64 (N,), the triangle that each pixel shows.
            weight: float32 (3, N), the shares of its corners, sum 1.
        """
        self._table, self._corners = table, corners
        self._triangle, self._weight = triangle, weight
        self._corner = [every.index_select(0, triangle) for every in corners]
        self._known: dict[str, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self._triangle)

    def column(self, name: str) -> torch.Tensor:
        """One value per pixel, float32 (N,); not to be changed in place.

        x, y, z: rest position in decimetres (hair: azimuth, place from crown to tip, 0);
        lips, mouth (its inside), blush in [0, 1]; light: share of ambient light in [0, 1];
        feature: nose in (0, 1], ears in [-1, 0); scalp, cloth, beard: positive inside the
        hairline, the costume, the beard; normal_*: not of unit length.
        """
        if name not in self._known:
            self._known[name] = self._interpolated(name, None)
        return self._known[name]

    def columns(self, *names: str) -> tuple[torch.Tensor, ...]:
        """Several values per pixel, each float32 (N,); see `column`."""
        return tuple(self.column(name) for name in names)

    def normals(self) -> torch.Tensor:
        """Normals float32 (3, N), not of unit length; the caller's own copy."""
        out = torch.empty(3, len(self))
        for k, name in enumerate(("normal_x", "normal_y", "normal_z")):
            self._interpolated(name, out[k])
        return out

    def _interpolated(self, name: str, out: torch.Tensor | None) -> torch.Tensor:
        values = self.at_vertices(name)
        total = torch.index_select(values, 0, self._corner[0], out=out).mul_(self._weight[0])
        total.addcmul_(values.index_select(0, self._corner[1]), self._weight[1])
        return total.addcmul_(values.index_select(0, self._corner[2]), self._weight[2])

    def texture_place(self, corner_texture: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Texture coordinates float32 (2, N) of pixels of one part of the mesh.

        Args:
            corner_texture: float32 (3, 2, T'), of the corners of its triangles.
            first: the first of them.
        """
        own = self._triangle - first if first else self._triangle
        place = torch.zeros(2, len(self))
        for values, weight in zip(corner_texture, self._weight, strict=True):
            place += values.index_select(1, own) * weight
        return place

    def touching(self, vertices: torch.Tensor) -> torch.Tensor:
        """Pixels, int64, ascending, whose triangle has a corner among `vertices`, bool (V,).

        Outside of them a column is no larger than at the other vertices: paint that starts
        above that need not look at them.
        """
        first, second, third = (vertices.index_select(0, every) for every in self._corners)
        return places_of((first | second | third).index_select(0, self._triangle).numpy())

    def above(self, name: str, value: float) -> torch.Tensor:
        """`touching` the vertices at which a column is above `value`."""
        return self.touching(self.at_vertices(name) > value)

    def at_vertices(self, name: str) -> torch.Tensor:
        """A column at the vertices of the whole mesh, float32 (V,)."""
        return self._table[COLUMNS.index(name)]

    def take(self, index: torch.Tensor) -> Surface:
        """The pixels at `index` (int64), with the columns that are known already."""
        taken = Surface(
            self._table,
            self._corners,
            self._triangle.index_select(0, index),
            self._weight.index_select(1, index),
        )
        taken._known = {name: found.index_select(0, index) for name, found in self._known.items()}
        return taken
