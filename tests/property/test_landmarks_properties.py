"""A face's shape does not depend on where, how large and how turned it is."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facegraft.method.landmarks import canonical
from tests.synthetic import readings

FACES = torch.from_numpy(readings(np.random.default_rng(0), 3, 1).landmarks[:, 0]).double()


def rotation(axis: np.ndarray, angle: float) -> torch.Tensor:
    """By `angle` radians about an axis."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.linalg.matrix_exp(angle * cross)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    angle=st.floats(-np.pi, np.pi),
    scale=st.floats(0.05, 20.0),
)
def test_the_canonical_shape_is_the_same_after_any_similarity(
    seed: int, angle: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    turn = rotation(rng.normal(size=3), angle)
    mean, faces = FACES[0], FACES[1:]
    moved = scale * faces @ turn.mT + torch.from_numpy(rng.normal(scale=3.0, size=3))
    shape, size, head = canonical(faces, mean)
    again, other_size, other_head = canonical(moved, mean)
    torch.testing.assert_close(again, shape, atol=1e-8, rtol=0)
    torch.testing.assert_close(other_size * scale, size)
    torch.testing.assert_close(other_head @ turn, head, atol=1e-8, rtol=0)
