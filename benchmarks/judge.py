"""What the independent recogniser sees in the renders, at 128 pixels.

Run: python -m benchmarks.judge [--pairs N] [--size PIXELS]. Prints the detection rate over random
characters; the same/different AUC with identity by shape alone (iris and brow paint of one mean
face, skin free); and the share of true swaps that are closer to their source than to their target.
About 0.1 s a picture; five pictures a pair.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import torch

from facegraft.adapters.judge import Judge, similarity
from facegraft.characters import (
    Attributes,
    Identity,
    load_assets,
    render,
    sample_attributes,
    sample_identity,
)

SEED = 2026


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=120, help="swaps; five pictures each")
    parser.add_argument("--size", type=int, default=128, help="pixels")
    options = parser.parse_args()
    torch.set_num_threads(1)
    judged = Renders(options.size)
    rng = np.random.default_rng(SEED)
    swaps = [swap_similarities(judged, rng) for _ in range(options.pairs)]
    to_source, to_target = np.array(swaps).T
    same, other = verification(judged, rng, options.pairs)
    seen = np.array([judged.found, judged.drawn])
    print(f"detected: {seen[0]} of {seen[1]} renders, {seen[0] / seen[1]:.1%}")
    print(f"same/different AUC, identity by shape alone: {auc(same, other):.3f}")
    known = ~np.isnan(to_source - to_target)
    closer = (to_source > to_target)[known]
    print(
        f"true swap closer to its source than to its target: {closer.mean():.1%} of {known.sum()}"
        f" pairs (mean cosine {to_source[known].mean():.2f} against {to_target[known].mean():.2f})"
    )


class Renders:
    """Draws characters and embeds them; counts how many faces were found."""

    def __init__(self, size: int) -> None:
        self._assets = load_assets()
        self._judge = Judge(threads=1)
        self._size = size
        self.drawn = self.found = 0

    def person(self, rng: np.random.Generator) -> Identity:
        """A random identity."""
        return sample_identity(self._assets, rng)

    def embedding(self, identity: Identity, attributes: Attributes) -> np.ndarray:
        """float32 (128,), unit length; NaN where no face is found."""
        image = render(self._assets, identity, attributes, self._size).image
        found = self._judge.embed(image)
        self.drawn += 1
        self.found += found is not None
        return np.full(128, np.nan, np.float32) if found is None else found


def swap_similarities(judged: Renders, rng: np.random.Generator) -> tuple[float, float]:
    """Cosine of a true swap with its source picture and with its target picture."""
    source, target = judged.person(rng), judged.person(rng)
    own, look = sample_attributes(rng), sample_attributes(rng)
    swap = judged.embedding(source, look)
    return (
        float(similarity(swap, judged.embedding(source, own))),
        float(similarity(swap, judged.embedding(target, look))),
    )


def verification(
    judged: Renders, rng: np.random.Generator, pairs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of same-shape and of different-shape pairs under unrelated attributes."""
    paint = judged.person(rng)
    embeddings = []
    for _ in range(pairs):
        shape = replace(paint, axes=judged.person(rng).axes)
        embeddings.append([judged.embedding(shape, sample_attributes(rng)) for _ in range(2)])
    table = np.array(embeddings)
    table = table[~np.isnan(table).any(axis=(1, 2))]
    cosine = table[:, 0] @ table[:, 1].T
    own = np.eye(len(cosine), dtype=bool)
    return cosine[own], cosine[~own]


def auc(same: np.ndarray, other: np.ndarray) -> float:
    """The chance that a same pair scores above a different one, in [0, 1]."""
    return float((same[:, None] > other[None]).mean() + 0.5 * (same[:, None] == other[None]).mean())


if __name__ == "__main__":
    main()
