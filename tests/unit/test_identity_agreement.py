"""Margins of identities on embeddings made up for the purpose."""

from __future__ import annotations

import numpy as np
import pytest

from facegraft.data.identity_agreement import UNKNOWN, identity_margins


def people(count: int, images: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    centres = np.repeat(rng.normal(size=(count, 64)), images, axis=0)
    drawn = centres + spread * rng.normal(size=centres.shape)
    names = np.repeat([f"p{k}" for k in range(count)], images)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True), names


def test_true_identities_agree_and_a_mixed_one_does_not() -> None:
    embeddings, names = people(8, 4, 0.5)
    mixed = embeddings.copy()
    mixed[[0, 1, 2]] = embeddings[[4, 8, 12]]  # p0 is four people now
    assert min(identity_margins(embeddings, names).values()) > 0.5
    margins = identity_margins(mixed, names)
    assert margins["p0"] < 0.2
    assert min(margins[name] for name in names[4:]) > 0.5


def test_a_common_look_does_not_count_as_agreement() -> None:
    """The same hood on everybody brings all pictures together; the margin subtracts it."""
    embeddings, names = people(6, 4, 0.5)
    hood = np.ones(64) * 2
    alike = embeddings[::-1] + hood  # wrong names: reversed within pairs of people
    alike = alike[np.random.default_rng(0).permutation(len(alike))]
    alike /= np.linalg.norm(alike, axis=1, keepdims=True)
    assert (alike @ alike.T).min() > 0.9
    assert max(identity_margins(alike, names).values()) < 0.1


@pytest.mark.parametrize("faces", [[0], []])
def test_what_cannot_be_judged_is_not_taken_for_good(faces: list[int]) -> None:
    embeddings, names = people(2, 3, 0.1)
    hidden = [k for k in range(3) if k not in faces]
    embeddings[hidden] = np.nan
    margins = identity_margins(embeddings, names)
    assert margins["p0"] == UNKNOWN
    assert identity_margins(embeddings[3:], names[3:]) == {"p1": UNKNOWN}
