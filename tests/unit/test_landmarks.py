"""The 478 landmarks: halves, regions, shape apart from place, openings."""

from __future__ import annotations

import numpy as np
import torch

from facegraft.method.landmarks import (
    CORNERS,
    EYE_CORNERS,
    FACE,
    LEFT_IRIS,
    LEFT_LIDS,
    LIDS,
    LIPS,
    NUM_LANDMARKS,
    OVAL,
    RIGHT_IRIS,
    RIGHT_LIDS,
    SEEDS,
    SURFACE,
    canonical,
    face_mesh,
    mean_face,
    memberships,
    mirrored_landmarks,
    openings,
)
from tests.synthetic import readings

REGIONS = (FACE, "eyes", "brows", "nose", "mouth")


def faces(rows: int, columns: int = 1) -> torch.Tensor:
    """(rows, columns, 478, 3)."""
    return torch.from_numpy(readings(np.random.default_rng(0), rows, columns).landmarks).double()


def test_the_mesh_lies_flat_in_the_plane_and_turns_one_way() -> None:
    mesh = face_mesh()
    assert sorted(np.unique(mesh.corners)) == list(range(SURFACE))
    np.testing.assert_allclose(np.abs(mesh.plane).max(axis=0), 0.985, rtol=1e-6)
    first, second, third = (mesh.plane[mesh.corners[:, k]] for k in range(3))
    one, other = second - first, third - first
    area = one[:, 0] * other[:, 1] - other[:, 0] * one[:, 1]
    assert (area < 0).mean() > 0.98  # the inner lips overlap
    assert -area.sum() / 2 > 2.0  # most of the plane's 4
    chin, forehead, nose = mesh.plane[[152, 10, 4]]
    assert forehead[1] < nose[1] < chin[1]


def test_each_landmark_is_its_counterparts_counterpart() -> None:
    mirror = mirrored_landmarks()
    np.testing.assert_array_equal(mirror[mirror], np.arange(NUM_LANDMARKS))
    for left, right in ((LEFT_LIDS, RIGHT_LIDS), (LEFT_IRIS, RIGHT_IRIS)):
        assert set(mirror[list(left)]) == set(right)
    for region in (*SEEDS.values(), OVAL):
        assert set(mirror[list(region)]) == set(region)
    middle = [1, 4, 10, 13, 14, 152]
    assert mirror[middle].tolist() == middle
    assert mirror[CORNERS[0]] == CORNERS[1]
    assert mirror[LIDS[0][0]] == LIDS[1][0]


def test_landmarks_belong_to_regions_by_shares() -> None:
    for regions in (REGIONS, REGIONS[1:], (FACE, "mouth", "eyes"), (FACE,), ("nose",)):
        shares = memberships(regions)
        assert shares.shape == (NUM_LANDMARKS, len(regions))
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
        for region in SEEDS.keys() & set(regions):
            own = shares[list(SEEDS[region]), regions.index(region)]
            np.testing.assert_allclose(own, 1, rtol=1e-5, err_msg=region)
        if FACE in regions:
            np.testing.assert_allclose(shares[list(OVAL), regions.index(FACE)], 1, rtol=1e-5)
    # A feature that is not asked for is the face's.
    without_eyes = memberships((FACE, "mouth"))
    assert (without_eyes[list(SEEDS["eyes"]), 0] > 0.99).all()
    # It fades from feature to face, so that no seam opens.
    soft = memberships(REGIONS)
    assert ((soft > 0.05) & (soft < 0.95)).any(axis=1).sum() > 40


def test_a_shape_and_its_place_give_the_face_again() -> None:
    landmarks, mean = faces(4, 3).flatten(0, 1), faces(1)[0, 0]
    shape, scale, turn = canonical(landmarks, mean)
    middle = landmarks.mean(dim=1, keepdim=True)
    told = scale[:, None, None] * (landmarks - middle) @ turn.mT + mean.mean(dim=0)
    torch.testing.assert_close(shape, told)
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3).double().expand(len(turn), 3, 3))
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(len(turn)).double())


def test_columns_that_differ_by_turn_and_place_show_one_shape() -> None:
    shown = faces(3, 5)
    mean = mean_face(shown.flatten(0, 1))
    shapes = canonical(shown.flatten(0, 1), mean)[0].view_as(shown)
    torch.testing.assert_close(shapes, shapes[:, :1].expand_as(shapes), atol=1e-6, rtol=0)
    assert (shapes[0, 0] - shapes[1, 0]).abs().max() > 0.01
    # The mean face is the mean of the shapes that it makes comparable.
    torch.testing.assert_close(shapes.mean(dim=(0, 1)), mean, atol=1e-3, rtol=0)


def test_openings_are_measured_over_the_faces_own_sizes() -> None:
    face = faces(1)[0]
    for (upper, lower), (outer, inner) in zip(LIDS, EYE_CORNERS, strict=True):
        width = torch.linalg.vector_norm(face[0, outer] - face[0, inner])
        face[0, lower] = face[0, upper] + torch.tensor([0.0, 0.3, 0.0]) * width
    across = torch.linalg.vector_norm(face[0, EYE_CORNERS[0][0]] - face[0, EYE_CORNERS[1][1]])
    face[0, LIPS[1]] = face[0, LIPS[0]] + torch.tensor([0.0, 0.2, 0.0]) * across
    face[0, CORNERS[1]] = face[0, CORNERS[0]] + torch.tensor([0.5, 0.0, 0.0]) * across
    for moved in (face, 0.4 * face + 0.2):
        told = {name: round(value.item(), 4) for name, value in openings(moved).items()}
        assert told == {"eye_opening": 0.3, "mouth_opening": 0.2, "mouth_width": 0.5}
    for upper, lower in (*LIDS, LIPS):
        face[0, lower] = face[0, upper]
    shut = openings(face)
    assert shut["eye_opening"].item() == shut["mouth_opening"].item() == 0
