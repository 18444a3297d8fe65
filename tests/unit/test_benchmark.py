"""The benchmark's pairs, gallery, baselines, and what it does where the judge sees nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from facegraft.core.progress import silent
from facegraft.data.batches import NoReadings, grid_faces, person_faces
from facegraft.data.grids import FACE_REGIONS, Mix
from facegraft.evaluation.benchmark import (
    ROWS,
    Embed,
    Gallery,
    Pair,
    draw_benchmark_pairs,
    draw_heldout_pairs,
    draw_region_pairs,
    embed_grids,
    judged_by,
    mean_metrics,
    measure_pairs,
    measure_regions,
    pair_images,
    pairs_hash,
)
from facegraft.evaluation.heldout import held_out_losses
from facegraft.evaluation.sheets import PEOPLE_COLUMNS, SHEET_COLUMNS, people_sheet, swap_sheet
from facegraft.imaging.images import contact_sheet, to_uint8
from facegraft.method.calibration import calibrate
from facegraft.method.model import Model, faces_of_swap
from tests import tiny
from tests.album_pictures import PEOPLE

GRIDS = (tiny.faces("test-000"), tiny.faces("test-001"))


def colour(image: np.ndarray) -> np.ndarray | None:
    """A recogniser of drawn faces: the colours at five spots of the skin, as a unit vector."""
    spots = image[[16, 12, 20, 16, 22], [16, 16, 16, 12, 20]].astype(np.float32).ravel() - 128.0
    return spots / np.linalg.norm(spots)


def blind(image: np.ndarray) -> None:
    return None


def judged(model: Model, pairs: Sequence[Pair], gallery: Gallery, embed: Embed) -> dict[str, float]:
    """Every metric, averaged over the pairs, with one recogniser as the judge."""
    return mean_metrics(measure_pairs(model, GRIDS, pairs, [judged_by(gallery, embed)], silent))


def test_pairs_are_fixed_by_the_seed_and_never_share_identity_or_attributes() -> None:
    pairs = draw_heldout_pairs(GRIDS, 200, seed=5)
    assert pairs == draw_heldout_pairs(GRIDS, 200, seed=5)
    assert pairs != draw_heldout_pairs(GRIDS, 200, seed=6)
    assert all(p.i != p.j and p.a != p.b for p in pairs)
    assert {p.grid for p in pairs} == {0, 1}


def test_in_a_round_everybody_is_once_source_and_once_target() -> None:
    mixed = [replace(grid, mixes=(Mix(3, 0, 1, "eyes"),)) for grid in GRIDS]
    pairs = draw_benchmark_pairs(mixed, seed=3)
    assert pairs == draw_benchmark_pairs(mixed, seed=3) != draw_benchmark_pairs(mixed, seed=4)
    everybody = [(g, i) for g in range(2) for i in range(3)]
    assert sorted((p.grid, p.i) for p in pairs) == everybody
    assert sorted((p.grid, p.j) for p in pairs) == everybody
    assert all(p.i != p.j and p.a != p.b for p in pairs)


def test_the_hash_names_pairs_and_data() -> None:
    pairs = draw_heldout_pairs(GRIDS, 10, seed=5)
    name = pairs_hash(GRIDS, pairs, "v1")
    assert name == pairs_hash(GRIDS, pairs, "v1")
    assert name not in (pairs_hash(GRIDS, pairs, "v2"), pairs_hash(GRIDS, pairs[1:], "v1"))


def test_the_true_swap_is_the_source_identity_under_the_target_attributes() -> None:
    pair = draw_heldout_pairs(GRIDS, 1, seed=0)[0]
    images = pair_images(GRIDS, pair)
    cell = GRIDS[pair.grid].images[pair.i, pair.b]
    assert torch.equal(images.true_swap.images, torch.from_numpy(cell)[None].float() / 127.5 - 1)
    readings = GRIDS[pair.grid].readings
    assert readings is not None
    for faces, at in ((images.source, (pair.i, pair.a)), (images.true_swap, pair.truth)):
        assert np.array_equal(faces.landmarks[0].numpy(), readings.landmarks[at])
        assert np.array_equal(faces.expression[0].numpy(), readings.expression[at])
    face = np.isin(GRIDS[pair.grid].regions[pair.i, pair.b], FACE_REGIONS).mean()
    assert images.face.mean().item() == pytest.approx(face)


def test_baselines_stand_beside_the_model_and_are_what_they_are_called() -> None:
    gallery = embed_grids(GRIDS, colour, silent)
    pairs = draw_heldout_pairs(GRIDS, 12, seed=1)
    figures = judged(tiny.state().ema, pairs, gallery, colour)
    assert {key.split("/")[0] for key in figures} == set(ROWS)
    assert figures["copy_target/judge_similarity_target"] == pytest.approx(1.0)
    assert figures["copy_source/judge_similarity_source"] == pytest.approx(1.0)
    assert figures["copy_source/identity_loss"] == pytest.approx(0.0, abs=1e-4)
    assert figures["copy_target/attribute_loss"] == pytest.approx(0.0, abs=1e-5)
    assert figures["copy_target/judge_closer_to_source"] == 0.0
    assert figures["copy_source/judge_closer_to_source"] == 1.0
    assert "true_swap/psnr" not in figures
    assert figures["model/psnr_changed_gain"] == pytest.approx(
        figures["model/psnr_changed"] - figures["copy_target/psnr_changed"]
    )
    assert all(np.isfinite(value) for value in figures.values())


def test_figures_pair_by_pair_have_the_benchmark_for_mean() -> None:
    gallery = embed_grids(GRIDS, colour, silent)
    pairs, model = draw_heldout_pairs(GRIDS, 6, seed=1), tiny.state().ema
    judges = [judged_by(gallery, colour), judged_by(gallery, blind, "second_judge")]
    columns = measure_pairs(model, GRIDS, pairs, judges, silent)
    means = judged(model, pairs, gallery, colour)
    assert all(values.shape == (6,) for values in columns.values())
    for key, value in means.items():
        assert np.nanmean(columns[key]) == pytest.approx(value), key
    assert columns["copy_source/second_judge_detected"].all()
    assert not columns["model/second_judge_detected"].any()
    assert set(columns) - set(means) == {k for k in columns if "second_judge" in k}


def test_a_region_pair_has_the_mixed_row_for_truth_and_mixes_are_nobody_to_find() -> None:
    mixed = [replace(grid, mixes=(Mix(3, 0, 1, "eyes"), Mix(2, 1, 0, "nose"))) for grid in GRIDS]
    pairs = draw_region_pairs(mixed, 2, seed=4)
    assert {(p.i, p.j, p.truth[0], p.region) for p in pairs} == {
        (1, 0, 3, "eyes"),
        (0, 1, 2, "nose"),
    }
    assert all(p.truth[1] == p.b != p.a for p in pairs)
    columns = measure_regions(tiny.state().ema, mixed, pairs)
    figures = mean_metrics(columns)
    for region in ("eyes", "nose"):
        own, copied = (figures[f"{row}/psnr_changed_{region}"] for row in ("model", "copy_target"))
        assert figures[f"model/psnr_changed_gain_{region}"] == pytest.approx(own - copied)
    assert {k for p in draw_heldout_pairs(mixed, 50, seed=1) for k in (p.i, p.j)} == {0, 1}
    gallery = embed_grids(mixed, colour, silent)
    assert np.isnan(gallery.embeddings[:, 2:]).all()
    assert np.isfinite(gallery.embeddings[:, :2]).all()


def test_a_blind_judge_flatters_nobody() -> None:
    gallery = embed_grids(GRIDS, blind, silent)
    pairs = draw_heldout_pairs(GRIDS, 3, seed=1)
    figures = judged(tiny.state().ema, pairs, gallery, blind)
    for row in ROWS:
        for metric in ("detected", "similarity_source", "closer_to_source", "retrieval_top5"):
            assert figures[f"{row}/judge_{metric}"] == 0.0


def test_the_gallery_enrols_no_picture_that_shows_the_answer() -> None:
    embeddings = np.zeros((1, 2, 3, 2), np.float32)
    embeddings[0, 0] = [[1, 0], [1, 0], [0, 1]]
    embeddings[0, 1] = [[0, 1], [0, 1], [np.nan, np.nan]]
    enrolled = Gallery(embeddings).enrolled(grid=0, column=2)
    assert enrolled.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert Gallery(embeddings).enrolled(grid=0, column=0)[0].tolist() == pytest.approx(
        [0.5**0.5] * 2
    )


def test_calibration_of_an_untrained_encoder_is_measured_not_assumed() -> None:
    section = tiny.params().evaluate.model_copy(update={"calibration_pairs": 60})
    calibration = calibrate(tiny.state().ema, GRIDS, section)
    assert calibration == calibrate(tiny.state().ema, GRIDS, section)
    assert 0.0 <= calibration.identity_loss.auc <= 1.0
    assert calibration.attribute_loss.same >= 0.0


def test_held_out_losses_are_the_patents_four() -> None:
    losses = held_out_losses(tiny.state().ema, GRIDS, draw_heldout_pairs(GRIDS, 4, seed=2))
    assert set(losses) == set(tiny.params().train.thresholds.model_dump())
    assert all(np.isfinite(value) for value in losses.values())


@torch.no_grad()
def test_the_people_sheet_shows_both_ways_in_their_columns() -> None:
    model, pairs = tiny.state().ema, draw_heldout_pairs(GRIDS, 2, seed=2)
    rows = []
    for person, pair in zip(PEOPLE, pairs, strict=False):
        own, character = person_faces(person, [0]), pair_images(GRIDS, pair).target
        shown = (
            own.images,
            character.images,
            model.swap(own, character).image,
            model.swap(character, own).image,
        )
        rows.append([to_uint8(picture)[0] for picture in shown])
    names = [person.identity_id for person in PEOPLE[:2]]
    wanted = contact_sheet(rows, columns=PEOPLE_COLUMNS, captions=names, cell=128)
    sheet = np.asarray(people_sheet(model, PEOPLE, GRIDS, pairs), int)
    assert np.abs(sheet - np.asarray(wanted, int)).max() <= 2
    assert sheet.std() > 20


@torch.no_grad()
def test_a_sheet_has_a_row_per_pair_and_names_what_alone_is_swapped() -> None:
    model, mixed = tiny.state().ema, [replace(GRIDS[0], mixes=(Mix(3, 0, 1, "eyes"),))]
    pairs = [*draw_heldout_pairs(mixed, 1, seed=2), *draw_region_pairs(mixed, 1, seed=2)]
    rows = []
    for pair in pairs:
        images = pair_images(mixed, pair)
        swap = model.swap(images.source, images.target, pair.transplant).image
        shown = (images.source.images, images.target.images, swap, images.true_swap.images)
        rows.append([to_uint8(picture)[0] for picture in shown])
    wanted = contact_sheet(rows, columns=SHEET_COLUMNS, captions=["", "eyes"], cell=128)
    sheet = np.asarray(swap_sheet(model, mixed, pairs), int)
    assert np.abs(sheet - np.asarray(wanted, int)).max() <= 2


def test_faces_that_nobody_read_are_refused_by_name() -> None:
    with pytest.raises(NoReadings, match=r"grid test-000 was not read; run the stage"):
        grid_faces(replace(GRIDS[0], readings=None), [(0, 0)])
    with pytest.raises(NoReadings, match=r"own/ann was not read; run the stage"):
        person_faces(replace(PEOPLE[0], readings=None), [0])


@torch.no_grad()
def test_a_swap_is_heard_by_the_landmarks_that_it_was_asked_for() -> None:
    model, pair = tiny.state().ema, draw_heldout_pairs(GRIDS, 1, seed=2)[0]
    images = pair_images(GRIDS, pair)
    decoded = model.swap(images.source, images.target)
    assert decoded.landmarks is not None
    heard = faces_of_swap(decoded, images.target)
    assert torch.equal(heard.landmarks, decoded.landmarks)
    assert torch.equal(heard.expression, images.target.expression)
    painted = tiny.state(vector_only=True).ema.swap(images.source, images.target)
    assert torch.equal(faces_of_swap(painted, images.target).landmarks, images.target.landmarks)
