"""Detail unwrapped onto a plane: regions, places, and the half that a turned head hides."""

from __future__ import annotations

import numpy as np
import torch

from facegraft.method.landmarks import FACE, SEEDS, SURFACE, mirrored_landmarks
from facegraft.method.unwrap import (
    SIDE,
    in_plane,
    plane_places,
    plane_raster,
    region_pixels,
    unwrapped,
)
from facegraft.method.warp import facing, pixel_centres, sampled, tone
from tests.synthetic import readings
from tests.tiny import float64

REGIONS = (FACE, "eyes", "brows", "nose", "mouth")


def face(yaw: float) -> torch.Tensor:
    """(1, 478, 3), turned about the upright axis."""
    upright = torch.from_numpy(readings(np.random.default_rng(0), 1, 1).landmarks[0])
    cosine, sine = np.cos(yaw), np.sin(yaw)
    turn = torch.tensor([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]], dtype=torch.float32)
    return upright @ turn.T


def picture(side: int = 128) -> torch.Tensor:
    """Waves that differ from place to place, (1, 3, S, S)."""
    x, y = pixel_centres(side).unbind(dim=2)
    waves = [torch.sin(31 * x + 7 * y), torch.sin(29 * y - 5 * x), torch.sin(23 * (x + y) + x * y)]
    return 0.5 * torch.stack(waves)[None]


def at_landmarks(field: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """A field over the plane read at landmarks: (C, N)."""
    return sampled(field, plane_places()[chosen][None, None])[0, :, 0]


def test_the_regions_pixels_are_a_partition_of_the_mesh() -> None:
    inside = torch.nonzero(plane_raster().inside.flatten()).flatten()
    for regions in (REGIONS, (FACE,), ("eyes", "mouth")):
        parts = region_pixels(regions)
        assert len(parts) == len(regions)
        assert all(len(part) for part in parts)
        assert torch.equal(torch.cat(parts).sort().values, inside)
    mouth = region_pixels(REGIONS)[REGIONS.index("mouth")]
    own = plane_places()[[k for k in SEEDS["mouth"] if k < SURFACE]]
    column, row = ((own.mean(dim=0) + 1) / 2 * SIDE).long().tolist()
    assert row * SIDE + column in mouth.tolist()


def test_what_is_cached_does_not_depend_on_who_asks_first() -> None:
    for cached in (plane_raster, plane_places):
        cached.cache_clear()
    with float64():
        first = plane_places(), plane_raster().weights
    for cached in (plane_raster, plane_places):
        cached.cache_clear()
    for one, again in zip(first, (plane_places(), plane_raster().weights), strict=True):
        assert one.dtype == again.dtype
        assert torch.equal(one, again)


def test_what_landmarks_carry_lies_where_the_plane_has_them() -> None:
    landmarks = face(0.0)
    carried = in_plane(landmarks)
    assert carried.shape == (1, 3, SIDE, SIDE)
    surface = torch.arange(SURFACE)
    found = at_landmarks(carried, surface).T
    miss = torch.linalg.vector_norm(found - landmarks[0, :SURFACE], dim=1)
    assert miss.median() < 0.01
    # As the mesh itself says, pixel by pixel.
    spread = plane_raster().spread(landmarks).to(carried)
    torch.testing.assert_close(carried, spread, atol=1e-5, rtol=0)


def test_unwrapped_detail_is_the_pictures_detail_at_the_landmarks() -> None:
    landmarks = face(0.0)
    detail, seen = unwrapped(picture(), landmarks)
    assert detail.shape == (1, 3, SIDE, SIDE)
    assert seen.shape == (1, 1, SIDE, SIDE)
    assert seen.min() >= 0
    assert seen.max() <= 1
    shown = torch.nonzero(facing(landmarks)[0, :SURFACE] == 1).flatten()
    expected = sampled(picture() - tone(picture()), landmarks[:, None, shown, :2])[0, :, 0]
    miss = at_landmarks(detail, shown) - expected
    assert miss.abs().median() < 0.05
    assert expected.std() > 0.2


def test_what_a_turned_head_hides_comes_from_its_other_half() -> None:
    landmarks = face(0.9)
    mirror = torch.from_numpy(mirrored_landmarks())
    toward = facing(landmarks)[0]
    hidden = torch.nonzero((toward == 0) & (toward[mirror] == 1)).flatten()
    hidden = hidden[hidden < SURFACE]
    assert len(hidden) > 30
    detail, seen = unwrapped(picture(), landmarks)
    own, other = at_landmarks(detail, hidden), at_landmarks(detail, mirror[hidden])
    assert (own - other).abs().median() < 0.05
    assert other.std() > 0.2
    assert at_landmarks(seen, hidden).median() > 0.9
    # What neither half shows is not made up.
    away = face(0.0) * torch.tensor([-1.0, 1.0, 1.0])
    nothing, unseen = unwrapped(picture(), away)
    assert (nothing != 0).float().mean() < 0.02  # folds of the lips
    assert (unseen > 0).float().mean() < 0.02
