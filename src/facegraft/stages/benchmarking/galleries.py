"""What a recogniser sees in a set of grids; kept, for it depends on their pixels alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from facegraft.core.atomic import replacing
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.data.grids import Grid
from facegraft.evaluation.benchmark import Embed, Gallery, embed_grids

TOGETHER = 25
"""Grids whose embeddings lie in one file: what an interruption loses."""


def gallery(
    project: Project, grids: Sequence[Grid], name: str, embed: Embed, report: Progress
) -> Gallery:
    """The embedding of every picture of `grids`, from build/cache where it is known.

    Args:
        name: of the recogniser.
    """
    total = sum(grid.images.shape[0] * grid.images.shape[1] for grid in grids)
    parts: list[np.ndarray] = []
    for start in range(0, len(grids), TOGETHER):
        before = sum(part[..., 0].size for part in parts)

        def further(done: int, _: int, text: str, before: int = before) -> None:
            report(before + done, total, text)

        parts.append(_part(project, grids[start : start + TOGETHER], name, embed, further))
    width = max(part.shape[-1] for part in parts)  # 1 where a part shows nobody
    whole = [np.broadcast_to(part, (*part.shape[:-1], width)) for part in parts]
    return Gallery(np.concatenate(whole))


def _part(
    project: Project, grids: Sequence[Grid], name: str, embed: Embed, report: Progress
) -> np.ndarray:
    pixels = hashlib.sha256()
    for grid in grids:
        pixels.update(grid.images.tobytes())
    kept = project.build / "cache" / f"{name}-{pixels.hexdigest()[:16]}.npy"
    if kept.exists():
        return np.asarray(np.load(kept))
    found = embed_grids(grids, embed, report).embeddings
    with replacing(kept) as path:
        np.save(path, found)
    return found
