"""A perceptual hash of 256 bits, and the nearest picture of another group by Hamming distance.

A copy that was compressed, scaled, lightened or softened differs in some 20 bits at most. Of two
different aligned faces no two came closer than 48 (8,704 renderings at 64 px, across splits).
Drawings of a few flat colours have little but noise in most bits: a recompressed copy may escape.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from facegraft.imaging.quality import FLAT, grey_levels

SIDE = 32
"""Pixels to which a picture is area-averaged."""

FREQUENCIES = 16
"""Of the cosine transform, in each direction."""

BITS = FREQUENCIES**2
WORDS = BITS // 64
BLOCK = 512


def fingerprint(cell: np.ndarray) -> str | None:
    """The hash of uint8 (C, H, W) as 64 hexadecimal digits; None for a flat picture.

    Bit k says whether the k-th of the lowest frequencies lies above their median; the mean level,
    the zeroth, is left out.
    """
    grey = grey_levels(cell)
    if grey.size == 0 or grey.std() < FLAT:
        return None
    rows, columns = _averages(grey.shape[0]), _averages(grey.shape[1])
    small = rows @ grey @ columns.T
    waves = _cosines() @ small @ _cosines().T
    values = waves.ravel()[1:]
    bits = np.concatenate([[False], values > np.median(values)])
    return np.packbits(bits).tobytes().hex()


def unpacked(hashes: list[str]) -> np.ndarray:
    """Hexadecimal hashes as uint64 (N, `WORDS`)."""
    return np.frombuffer(bytes.fromhex("".join(hashes)), np.uint64).reshape(-1, WORDS)


def nearest_elsewhere(words: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each hash the nearest of another group.

    Exact, by comparing all pairs of different groups in blocks: 20,000 pictures take under a
    second, the time grows with their square.

    Args:
        words: uint64 (N, `WORDS`).
        groups: (N,), e.g. the split; compared for equality.

    Returns:
        int32 (N,) distances in bits, `BITS` + 1 where there is no other group, and int64 (N,)
        places of the nearest, -1 likewise.
    """
    distance = np.full(len(words), BITS + 1, np.int32)
    place = np.full(len(words), -1, np.int64)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    for number, ours in enumerate(members):
        for theirs in members[number + 1 :]:
            for start in range(0, len(ours), BLOCK):
                block = ours[start : start + BLOCK]
                _compare(words, block, theirs, distance, place)
    return distance, place


def _compare(
    words: np.ndarray,
    ours: np.ndarray,
    theirs: np.ndarray,
    distance: np.ndarray,
    place: np.ndarray,
) -> None:
    """Keep the nearest pairs between two sets of places, in both directions."""
    apart = np.zeros((len(ours), len(theirs)), np.uint16)
    for word in range(words.shape[1]):
        apart += np.bitwise_count(words[ours, word][:, None] ^ words[theirs, word][None, :])
    for mine, other, axis in ((ours, theirs, 1), (theirs, ours, 0)):
        best = apart.argmin(axis=axis)
        found = apart.min(axis=axis).astype(np.int32)
        nearer = found < distance[mine]
        distance[mine[nearer]] = found[nearer]
        place[mine[nearer]] = other[best[nearer]]


@cache
def _cosines() -> np.ndarray:
    """float32 (`FREQUENCIES`, `SIDE`), rows of the discrete cosine transform."""
    x, k = np.arange(SIDE), np.arange(FREQUENCIES)
    return np.cos(np.pi * (2 * x[None] + 1) * k[:, None] / (2 * SIDE)).astype(np.float32)


@cache
def _averages(length: int) -> np.ndarray:
    """float32 (`SIDE`, length): each row averages its share of `length` pixels."""
    edges = np.linspace(0, length, SIDE + 1)
    pixels = np.arange(length)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = covered.clip(0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
