"""The fast mask of what changed is the plain one, level by level."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facegraft.data.batches import CHANGED_LEVEL, changed_pixels
from facegraft.imaging.images import planes_to_tensor


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), reach=st.integers(0, 255), side=st.integers(2, 9))
def test_masks_of_levels_and_of_floats_are_the_same(seed: int, reach: int, side: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 256, (2, 3, side, side))
    moved = target + rng.integers(-reach, reach + 1, target.shape) * (
        rng.random(target.shape) < 0.1
    )
    images = [np.clip(one, 0, 255).astype(np.uint8) for one in (moved, target)]
    moved_to, at_first = map(planes_to_tensor, images)
    differs = ((moved_to - at_first).abs() > CHANGED_LEVEL).any(dim=1, keepdim=True)
    expected = torch.nn.functional.max_pool2d(differs.float(), 3, stride=1, padding=1)
    assert torch.equal(torch.from_numpy(changed_pixels(*images)).float(), expected)


def test_the_bound_lies_between_two_levels() -> None:
    target = np.full((1, 3, 5, 5), 100, np.uint8)
    for levels, changes in ((7, 0), (8, 9)):
        moved = target.copy()
        moved[0, 1, 2, 2] += levels
        assert changed_pixels(moved, target).sum() == changes
        assert changed_pixels(target, moved).sum() == changes
