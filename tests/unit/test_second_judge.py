"""The optional second recogniser, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from facegraft.adapters import second_judge
from facegraft.characters import Attributes, load_assets, render, sample_identity

pytestmark = pytest.mark.skipif(
    not second_judge.installed(), reason="the extra second-judge is not installed"
)


def test_it_tells_people_apart_and_sees_nobody_in_nothing() -> None:
    assets, rng = load_assets(), np.random.default_rng(3)
    judge = second_judge.SecondJudge()
    people = [sample_identity(assets, rng) for _ in range(2)]
    looks = [Attributes(), Attributes(yaw=10, hair_style="long", skin=(0.5, 0.35, 0.25))]
    seen = [[judge.embed(render(assets, p, a, 128).image) for a in looks] for p in people]
    (one, same), (other, _) = seen
    assert one is not None
    assert np.linalg.norm(one) == pytest.approx(1.0)
    assert one @ same > one @ other
    assert judge.embed(np.full((128, 128, 3), 90, np.uint8)) is None
