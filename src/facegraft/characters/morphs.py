"""Sparse linear shape changes, added in a fixed order so that sums are reproducible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Morphs:
    """A stack of sparse displacements of one mesh.

    Attributes:
        starts: int64 (N + 1,), where each displacement begins in `index` and `delta`.
        index: int64 (K,), vertices, unique within one displacement.
        delta: float32 (K, 3).
    """

    starts: np.ndarray
    index: torch.Tensor
    delta: torch.Tensor

    def __len__(self) -> int:
        return len(self.starts) - 1

    def add(self, vertices: torch.Tensor, item: int, weight: float) -> None:
        """Add `weight` times displacement `item` to `vertices` (V, 3), in place."""
        start, stop = self.starts[item], self.starts[item + 1]
        vertices.index_add_(0, self.index[start:stop], self.delta[start:stop], alpha=weight)


def pack(fields: list[np.ndarray], threshold: float = 1e-5) -> Morphs:
    """Morphs from dense displacements (V, 3), dropping those shorter than `threshold`."""
    index = [np.flatnonzero(np.abs(field).max(axis=1) > threshold) for field in fields]
    starts = np.concatenate([[0], np.cumsum([len(i) for i in index])]).astype(np.int64)
    delta = [field[i] for field, i in zip(fields, index, strict=True)]
    return Morphs(
        starts,
        torch.from_numpy(np.concatenate(index).astype(np.int64)),
        torch.from_numpy(np.concatenate(delta).astype(np.float32)),
    )
