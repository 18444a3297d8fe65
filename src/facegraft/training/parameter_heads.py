"""Linear readers that teach the latents what the renderer knows; used in training only."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from facegraft.method.latents import Layout

Groups = Mapping[str, tuple[int, int]]
"""Group name -> (start, stop) of its part of a code."""


class ParameterHeads(nn.Module):
    """Reads the identity code from z_id and the attribute code from z_att.

    A code group that bears a latent group's name ("eyes", "pose") is read from that group's
    dimensions alone, so each dimension comes to mean what it is called; all other groups are read
    from all identity (or attribute) vectors together.
    """

    def __init__(self, layout: Layout, identity_groups: Groups, attribute_groups: Groups) -> None:
        super().__init__()
        self.layout = layout
        self.groups = {"identity": identity_groups, "attribute": attribute_groups}
        self.readers = nn.ModuleDict()
        for side, groups in self.groups.items():
            for group, (start, stop) in groups.items():
                size = layout.vector * len(self._dimensions(side, group))
                self.readers[f"{side}_{group}"] = nn.Linear(size, stop - start)

    def _dimensions(self, side: str, group: str) -> tuple[int, ...]:
        named = self.layout.identity if side == "identity" else self.layout.attribute
        return named.get(group) or tuple(i for indices in named.values() for i in indices)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L) -> identity code (B, C) and attribute code (B, Q) as read."""
        identity, attribute = (
            torch.cat([self._read(side, group, z) for group in groups], dim=1)
            for side, groups in self.groups.items()
        )
        return identity, attribute

    def _read(self, side: str, group: str, z: Tensor) -> Tensor:
        chosen = list(self._dimensions(side, group))
        vectors = self.layout.vectors(z)[:, chosen].flatten(1)
        read: Tensor = self.readers[f"{side}_{group}"](vectors)
        return read
