"""Charts as files show them: what is out of bounds is red, what was not measured says so."""

from __future__ import annotations

import base64

import numpy as np

from facegraft.presenting.charts import INSIDE, OUTSIDE, Panel, compared, heat_map, histogram
from facegraft.presenting.pages import Chart

PREFIX = "data:image/svg+xml;base64,"


def drawing(chart: Chart) -> str:
    assert chart.address.startswith(PREFIX)
    return base64.b64decode(chart.address.removeprefix(PREFIX)).decode()


def bars(svg: str) -> tuple[int, int]:
    """Bars inside and outside of the bounds; a bound's line is a stroke, no fill."""
    return svg.count(f"fill: {INSIDE}"), svg.count(f"fill: {OUTSIDE}")


def test_what_breaks_a_bound_is_red_and_the_bound_is_named() -> None:
    values = np.array([0.1, 0.6, 0.7, 0.8, np.nan, np.inf])
    inside, outside = bars(drawing(histogram(values, "x")))
    assert (inside, outside) == (32, 0)
    chart = histogram(values, "x", low=0.5)
    assert chart.label == "x (4 images)"
    assert 0 < bars(drawing(chart))[1] < 32
    assert ">0.5<" in drawing(chart)
    for low, high in ((2.0, None), (None, -1.0)):  # bounds beyond all values stay inside the axis
        assert bars(drawing(histogram(values, "x", low=low, high=high)))[1] > 0


def test_values_that_are_all_the_same_or_none_at_all_are_drawn_or_said() -> None:
    assert bars(drawing(histogram(np.full(5, 3.0), "x"))) == (32, 0)
    assert histogram(np.full(5, np.nan), "x") == Chart("", "x: no values")
    assert compared(np.zeros(4), np.zeros(4), np.arange(5.0), "x", within=True).address == ""


def test_drift_shows_the_bins_that_hold_anything() -> None:
    now, before, edges = np.array([0, 0, 5, 1, 0]), np.array([0, 3, 3, 0, 0]), np.arange(6.0)
    held = drawing(compared(now, before, edges, "x", within=True))
    assert bars(held) == (3, 0)
    assert ">1<" in held
    assert ">4<" in held
    assert bars(drawing(compared(now, before, edges, "x", within=False))) == (0, 3)


def test_the_same_figures_are_the_same_bytes_and_no_state_is_left() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    assert histogram(np.arange(9.0), "x") == histogram(np.arange(9.0), "x")
    assert dict(matplotlib.rcParams) == before


def test_the_map_colours_the_largest_deepest_and_leaves_the_unmeasured_grey() -> None:
    values = np.array([[0.0, 4.0], [np.nan, 1.0]])
    drawn = heat_map(["one", "two"], [Panel("levels", ("a", "b"), values, 1)])
    colours = {colour: count for count, colour in drawn.getcolors(1_000_000)}
    for shade in ((8, 48, 107), (247, 251, 255), (0xDD, 0xDD, 0xDD)):  # Blues' ends, and grey
        assert colours.get(shade, 0) > 100, shade
    assert drawn.height < 300
