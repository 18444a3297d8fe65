"""What a recogniser sees in a set of grids; kept, for it depends on their pixels alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from facegraft.atomic import replacing
from facegraft.benchmark import Embed, Gallery, embed_grids
from facegraft.dataset import Grid
from facegraft.project import Project
from facegraft.stages.progress import Progress


def gallery(
    project: Project, grids: Sequence[Grid], name: str, embed: Embed, report: Progress
) -> Gallery:
    """The embedding of every picture of `grids`, from build/cache where it is known.

    Args:
        name: of the recogniser.
    """
    pixels = hashlib.sha256()
    for grid in grids:
        pixels.update(grid.images.tobytes())
    kept = project.build / "cache" / f"{name}-{pixels.hexdigest()[:16]}.npy"
    if kept.exists():
        return Gallery(np.load(kept))
    found = embed_grids(grids, embed, report)
    with replacing(kept) as path:
        np.save(path, found.embeddings)
    return found
