"""Bootstrap intervals: they hold the mean, narrow with more pairs, and never invent a figure."""

from __future__ import annotations

import numpy as np
import pytest

from facegraft.evaluation.bootstrap import Figure, figures


def test_an_interval_is_that_of_the_normal_distribution_where_it_should_be() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    found = figures({"a": values}, 4000, seed=1)["a"]
    error = values.std() / 20
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.02)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.02)
    assert found.pairs == 400


def test_intervals_are_fixed_by_the_seed() -> None:
    columns = {"a": np.arange(20.0), "b": np.ones(7)}
    assert figures(columns, 200, seed=1) == figures(columns, 200, seed=1)
    assert figures(columns, 200, seed=1)["a"] != figures(columns, 200, seed=2)["a"]
    assert figures(columns, 200, seed=1)["b"] == Figure(mean=1, low=1, high=1, pairs=7)


def test_what_was_not_measured_counts_for_nothing() -> None:
    values = np.array([1.0, np.nan, 3.0, np.inf])
    found = figures({"some": values, "none": np.full(3, np.nan)}, 500, seed=0)
    assert found["some"].mean == 2.0
    assert found["some"].pairs == 2
    assert found["some"].low == 1.0
    assert found["some"].high == 3.0
    assert found["none"] == Figure(mean=None, low=None, high=None, pairs=0)
