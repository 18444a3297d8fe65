"""M1, M5: shapes of encoder and decoder, one latent per layer, normalised latents.

What the drawing decoder does with its latents is in `test_decoder`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from facegraft.data.batches import grid_faces
from facegraft.data.faces import Faces
from facegraft.method.encoder import VectorNorm
from facegraft.method.latents import fuse, source_weights
from facegraft.method.literal import LiteralDecoder, layers_per_resolution
from facegraft.method.model import Model, ModelConfig, faces_of_swap
from tests import tiny


@pytest.fixture(scope="module", params=[False, True], ids=["drawing", "vector_only"])
def model(request: pytest.FixtureRequest) -> Model:
    torch.manual_seed(0)
    section = tiny.train_params(vector_only=request.param)
    return Model(ModelConfig.from_params(section, [tiny.faces()])).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def faces() -> Faces:
    return grid_faces(tiny.faces(), [(0, 0), (1, 1), (2, 2), (3, 0), (0, 2)])


def test_faces_become_eighteen_latents_and_images_again(model: Model, faces: Faces) -> None:
    z = model.encoder(faces)
    assert z.shape == (5, model.layout.length)
    assert len(model.layout.split(z)) == 18
    image = model.decode(z).image
    assert image.shape == (5, 3, 32, 32)
    assert image.abs().max() <= 1
    vectors = model.encoder.vectors_alone(faces).view(5, 18, -1)
    torch.testing.assert_close(model.layout.vectors(z), vectors * 8**0.5)


def test_a_swap_is_the_decoded_fusion_of_both_faces_latents(model: Model, faces: Faces) -> None:
    source, target = faces[:2], faces[2:4]
    z_source, z_target = model.encoder(source), model.encoder(target)
    for transplant in (None, {"eyes"}):
        fused = fuse(model.layout, z_source, z_target, source_weights(model.layout, transplant))
        assert torch.equal(model.fused(source, target, transplant), fused)
        swap = model.swap(source, target, transplant).image
        assert torch.equal(swap, model.decode(fused, source).image)


def test_swapping_a_face_with_itself_is_its_reconstruction(model: Model, faces: Faces) -> None:
    one = faces[:1]
    torch.testing.assert_close(model.swap(one, one).image, model.decode(model.encoder(one)).image)


def test_each_dimensions_vector_has_unit_energy_over_a_batch(model: Model) -> None:
    norm = VectorNorm(8).train()
    z = norm(torch.randn(64, 18 * 8) * 5 + 3)
    energy = z.square().sum(dim=2).mean(dim=0)
    torch.testing.assert_close(energy, torch.ones(18), atol=0.05, rtol=0)
    far = torch.randn(64, 18 * 8)
    far[0] *= 100
    assert norm(far).norm(dim=2).max() <= VectorNorm.LONGEST + 1e-5


def test_vectors_hear_the_picture_and_what_the_reader_said(model: Model, faces: Faces) -> None:
    vectors = model.encoder.vectors_alone(faces)
    others = {
        "images": replace(faces, images=-faces.images),
        "landmarks": replace(faces, landmarks=faces.landmarks * torch.tensor([1.0, 1.2, 1.0])),
        "expression": replace(faces, expression=1 - faces.expression),
    }
    for said, other in others.items():
        heard = not torch.allclose(model.encoder.vectors_alone(other), vectors, atol=1e-4)
        assert heard == (said == "images" or not model.config.vector_only), said


def test_frozen_convolutions_keep_weights_and_statistics_and_the_rest_learns() -> None:
    section = tiny.train_params()
    encoder = Model(ModelConfig.from_params(section, [tiny.faces()])).encoder.train()
    encoder.freeze_convolutions()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.vectors_alone(grid_faces(tiny.faces(), [(0, 0), (1, 1)])).square().sum().backward()
    frozen = ("stem.", "stages.", "narrow.")
    for name, parameter in encoder.named_parameters():
        assert (parameter.grad is None) == name.startswith(frozen), name
    changed = {k for k, v in encoder.state_dict().items() if not torch.equal(v, before[k])}
    assert "norm.norm.running_var" in changed
    assert not [name for name in changed if name.startswith(frozen)]


def test_swaps_are_read_by_the_landmarks_that_they_were_asked_for(
    model: Model, faces: Faces
) -> None:
    source, target = faces[:1], faces[1:2]
    decoded = model.swap(source, target)
    read = faces_of_swap(decoded, target)
    assert torch.equal(read.images, decoded.image)
    assert torch.equal(read.expression, target.expression)
    if model.config.vector_only:
        assert torch.equal(read.landmarks, target.landmarks)
    else:
        assert torch.equal(read.landmarks, decoded.landmarks)


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_the_eighteen_layers_are_dealt_over_all_resolutions(size: int) -> None:
    counts = layers_per_resolution(size)
    assert sum(counts.values()) == 18
    assert max(counts) == 32
    assert min(counts.values()) >= 2


@torch.no_grad()
def test_every_latent_dimension_moves_the_literal_image() -> None:
    torch.manual_seed(0)
    section = tiny.train_params(vector_only=True)
    literal = Model(ModelConfig.from_params(section, [tiny.faces()])).eval()
    assert isinstance(literal.decoder, LiteralDecoder)
    z = torch.randn(1, literal.layout.length) * 0.1
    image = literal.decode(z).image
    for k in range(18):
        changed = z.clone()
        changed[:, 8 * k] += 0.5
        assert (literal.decode(changed).image - image).abs().max() > 1e-6, f"latent {k} is dead"
