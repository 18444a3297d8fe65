"""What the renderer knows about a pixel's surface before it is lit."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Surface:
    """N pixels; float32 with channels first.

    Attributes:
        values: (14, N); the properties below are its rows.
    """

    values: torch.Tensor

    @property
    def rest(self) -> torch.Tensor:
        """(3, N), position on the rest mesh in decimetres (hair: azimuth, place, 0)."""
        return self.values[0:3]

    @property
    def lips(self) -> torch.Tensor:
        """(N,) in [0, 1]."""
        return self.values[3]

    @property
    def mouth(self) -> torch.Tensor:
        """(N,) in [0, 1], inside of the mouth."""
        return self.values[4]

    @property
    def blush(self) -> torch.Tensor:
        """(N,) in [0, 1], redder skin: cheeks, ears, nose."""
        return self.values[5]

    @property
    def light(self) -> torch.Tensor:
        """(N,) in [0, 1], share of ambient light that reaches the surface."""
        return self.values[6]

    @property
    def feature(self) -> torch.Tensor:
        """(N,), nose in (0, 1], ears in [-1, 0)."""
        return self.values[7]

    @property
    def scalp(self) -> torch.Tensor:
        """(N,), positive inside the hairline."""
        return self.values[8]

    @property
    def cloth(self) -> torch.Tensor:
        """(N,), decimetres below the neckline; positive inside the costume."""
        return self.values[9]

    @property
    def beard(self) -> torch.Tensor:
        """(N,), decimetres inside the beard's outline; positive within."""
        return self.values[10]

    @property
    def normal(self) -> torch.Tensor:
        """(3, N), interpolated, not of unit length."""
        return self.values[11:14]

    def take(self, index: torch.Tensor) -> Surface:
        """The pixels at `index` (int64)."""
        return Surface(self.values.index_select(1, index))
