"""What the dimensions hold comes back as it was packed."""

from __future__ import annotations

import pytest
import torch

from facegraft.data.batches import grid_faces
from facegraft.data.faces import Faces
from facegraft.method.contents import ContentPacker
from facegraft.method.landmarks import mean_face
from facegraft.method.latents import (
    ATTRIBUTE,
    IDENTITY,
    TARGET_CONTENT_GROUPS,
    Layout,
    fuse,
    source_weights,
)
from facegraft.method.shapes import Shapes
from facegraft.method.unwrap import unwrapped
from tests import tiny

VECTOR = 8


@pytest.fixture(scope="module")
def faces() -> Faces:
    return grid_faces(tiny.faces(), [(0, 0), (1, 1), (2, 2)])


@pytest.fixture(scope="module")
def shapes(faces: Faces) -> Shapes:
    torch.manual_seed(0)
    made = Shapes()
    made.mean.copy_(mean_face(faces.landmarks))
    made.covariate_weight.normal_(std=0.01)
    return made


def packer() -> tuple[ContentPacker, Layout]:
    regions = {region: indices[0] for region, indices in IDENTITY.items()}
    expression, landmarks, pixels = (ATTRIBUTE[group][0] for group in TARGET_CONTENT_GROUPS)
    made = ContentPacker(regions, expression, landmarks, pixels, 32)
    return made, Layout(IDENTITY, ATTRIBUTE, VECTOR, made.content_shapes())


def packed(faces: Faces, shapes: Shapes) -> torch.Tensor:
    torch.manual_seed(1)
    vectors = torch.randn(len(faces), 18, VECTOR) * VECTOR**-0.5
    return packer()[0].packed(vectors, faces, shapes)


def test_what_was_packed_is_taken_out_again(faces: Faces, shapes: Shapes) -> None:
    held, layout = packer()
    z = packed(faces, shapes)
    assert z.shape == (3, layout.length)
    fused = held.unpacked(z, layout, shapes.mean)
    close = {"atol": 1e-5, "rtol": 0.0}
    torch.testing.assert_close(fused.target.images, faces.images, **close)
    torch.testing.assert_close(fused.target.landmarks, faces.landmarks, **close)
    torch.testing.assert_close(fused.target.expression, faces.expression, **close)
    torch.testing.assert_close(fused.shape, shapes(faces.landmarks, faces.expression), **close)
    detail, seen = unwrapped(faces.images, faces.landmarks)
    drawn = torch.zeros(seen.shape[-1] ** 2, dtype=torch.bool)
    drawn[torch.cat(held.region_pixels)] = True
    drawn = drawn.view(seen.shape[2:])
    torch.testing.assert_close(fused.seen, seen * drawn, **close)
    well = (seen > 0.01) & drawn
    assert well.float().mean() > 0.2
    miss = (fused.detail - detail).abs() * well
    assert miss.max() < 1e-4
    torch.testing.assert_close(fused.detail * fused.seen, detail * seen * drawn, **close)


def test_a_fused_region_is_the_sources_and_all_else_the_targets(
    faces: Faces, shapes: Shapes
) -> None:
    held, layout = packer()
    z = packed(faces, shapes)
    mixed = fuse(layout, z[:1], z[1:2], source_weights(layout, {"eyes"}))
    source, target, fused = (
        held.unpacked(one, layout, shapes.mean) for one in (z[:1], z[1:2], mixed)
    )
    place = held.regions.index("eyes")
    own = torch.zeros(478, dtype=torch.bool)
    own[held.members[place]] = True
    assert torch.equal(fused.shape[:, own], source.shape[:, own])
    assert torch.equal(fused.shape[:, ~own], target.shape[:, ~own])
    assert not torch.equal(source.shape[:, own], target.shape[:, own])
    region = torch.zeros(fused.seen.numel(), dtype=torch.bool)
    region[held.region_pixels[place]] = True
    for name in ("detail", "seen"):
        one, other, both = (getattr(k, name).flatten(2) for k in (source, target, fused))
        assert torch.equal(both[..., region], one[..., region])
        assert torch.equal(both[..., ~region], other[..., ~region])
    assert torch.equal(fused.target.images, target.target.images)
    assert torch.equal(fused.target.landmarks, target.target.landmarks)


def test_every_landmark_and_pixel_of_the_face_is_in_one_region() -> None:
    held, layout = packer()
    assert torch.cat(held.members).sort().values.tolist() == list(range(478))
    assert len(torch.cat(held.region_pixels).unique()) == len(torch.cat(held.region_pixels))
    for k, region in enumerate(held.regions):
        shape = layout.content_shapes[held.identity[region]]["shape"]
        assert shape == (len(held.members[k]), 3)


def test_no_content_outweighs_its_vector(faces: Faces, shapes: Shapes) -> None:
    """A vector's mean square is 1; shape and detail have about a half each of it in real faces."""
    _, layout = packer()
    z = packed(faces, shapes)
    energy = torch.stack([part[:, VECTOR:].square().sum(dim=1) for part in layout.split(z)])
    held = torch.tensor([bool(one) for one in layout.content_shapes])
    assert held.sum() == 8
    assert (energy[held].mean(dim=1) > 1e-4).all()
    assert energy.max() < 20
    assert not energy[~held].any()
