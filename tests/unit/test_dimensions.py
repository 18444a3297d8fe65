"""The dimension report: nothing changes nothing, a name that lies is told, the map is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from facegraft.core.progress import silent
from facegraft.data.grids import REGIONS
from facegraft.evaluation.attribute_targets import LENGTH, READINGS
from facegraft.evaluation.benchmark import Pair, draw_heldout_pairs
from facegraft.evaluation.latent_ablation import DimensionReport, dimension_report, dimension_rows
from tests import tiny

GRIDS = [tiny.faces("test-000")]
MODEL = tiny.state().ema.eval().requires_grad_(False)
(TEXTURE,) = MODEL.layout.attribute["texture"]


def reads(images: torch.Tensor, landmarks: np.ndarray) -> torch.Tensor:
    """Whoever reads brightness into everything."""
    assert landmarks.shape == (len(images), 5, 2)
    return images.mean(dim=(1, 2, 3))[:, None].expand(-1, LENGTH)


def found(**changes: np.ndarray) -> DimensionReport:
    """A report in which every latent moves what params say."""
    names = MODEL.layout.names
    regions = np.ones((18, len(REGIONS)))
    readings = np.full((18, len(READINGS)), 0.1)
    places = {"skin": "skin", "hair": "hair", "eyes": "eyes", "brows": "brows", "nose": "nose",
              "mouth": "mouth", "background": "background", "costume": "costume",
              "accessory": "accessory"}  # fmt: skip
    moved = {"pose": "pose", "expression": "expression", "lighting": "light",
             "hair": "hair_colour", "skin": "skin_tone"}  # fmt: skip
    for k, name in enumerate(names):
        group = name.split("/")[0]
        if group in places:
            regions[k, REGIONS.index(places[group])] = 9
        if group in moved:
            readings[k, list(READINGS).index(moved[group])] = 0.9
    plain = DimensionReport(names, regions, readings, np.ones(18))
    return replace(plain, **changes)


def test_a_latent_of_the_target_itself_moves_nothing() -> None:
    report = dimension_report(MODEL, GRIDS, [Pair(0, 1, 1, 1, 1)], None, silent)
    assert report.whole == pytest.approx(np.zeros(18), abs=1e-3)
    assert np.isnan(report.readings).all()
    assert len(report.objections()) == 18
    assert "moves nothing" in report.objections()[0]


def test_the_texture_moves_the_whole_picture_and_readings_follow() -> None:
    report = dimension_report(MODEL, GRIDS, draw_heldout_pairs(GRIDS, 3, seed=1), reads, silent)
    assert report.names[TEXTURE] == "texture"
    assert int(report.whole.argmax()) == TEXTURE
    assert report.readings[TEXTURE] == pytest.approx([report.readings[TEXTURE, 0]] * 5)
    assert int(report.readings[:, 0].argmax()) == TEXTURE
    mean = np.nanmean(report.regions[TEXTURE])
    assert report.whole[TEXTURE] == pytest.approx(mean, rel=0.3)  # labels are noise here


def test_names_that_hold_raise_no_objection() -> None:
    assert found().objections() == []


def test_a_name_that_lies_is_told() -> None:
    regions, readings = found().regions.copy(), found().readings.copy()
    regions[7, REGIONS.index("hair")] = 20
    readings[16, list(READINGS).index("pose")] = 2.0
    said = found(regions=regions, readings=readings).objections()
    assert said == [
        "latent 2 'pose' should move the pose (0.90), but latent 16 'points' moves it more (2.00)",
        "latent 7 'brows' moves above all the hair, not the brows",
    ]


def test_a_region_that_every_latent_moves_is_no_ones_own_and_the_texture_leads_no_reading() -> None:
    regions, readings = found().regions.copy(), found().readings.copy()
    regions[:, REGIONS.index("ears")] = 50
    readings[TEXTURE] = 3.0
    assert found(regions=regions, readings=readings).objections() == []


def test_a_region_that_no_target_shows_is_not_measured() -> None:
    bare = [replace(GRIDS[0], regions=np.zeros_like(GRIDS[0].regions))]
    report = dimension_report(MODEL, bare, draw_heldout_pairs(bare, 2, seed=1), None, silent)
    assert np.isfinite(report.regions[:, 0]).all()
    assert np.isnan(report.regions[:, 1:]).all()


def test_rows_show_every_latent_for_every_pair() -> None:
    rows = dimension_rows(MODEL, GRIDS, draw_heldout_pairs(GRIDS, 2, seed=1))
    assert [len(row) for row in rows] == [2] * 18
    assert rows[0][0].shape == (32, 32, 3)
