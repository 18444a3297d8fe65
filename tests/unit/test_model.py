"""M1, M5: shapes of encoder and decoder, one latent per layer, normalised latents."""

from __future__ import annotations

import pytest
import torch

from facegraft.decoder import layers_per_resolution
from facegraft.model import Model, ModelConfig, blend, paste_back
from facegraft.texture import bend, within
from tests import tiny


@pytest.fixture(params=[False, True], ids=["spatial", "vector_only"])
def model(request: pytest.FixtureRequest) -> Model:
    torch.manual_seed(0)
    section = tiny.train_params(vector_only=request.param)
    return Model(ModelConfig.from_params(section, [tiny.faces()]))


def test_an_image_becomes_eighteen_latents_and_an_image_again(model: Model) -> None:
    z = model.encoder(torch.rand(5, 3, 32, 32) * 2 - 1)
    decoded = model.decoder(z)
    assert z.shape == (5, model.layout.length)
    assert len(model.layout.split(z)) == 18
    assert decoded.image.shape == (5, 3, 32, 32)
    assert decoded.mask_logits.shape == (5, 1, 32, 32)
    assert decoded.image.abs().max() <= 1


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_the_eighteen_layers_are_dealt_over_all_resolutions(size: int) -> None:
    counts = layers_per_resolution(size)
    assert sum(counts.values()) == 18
    assert max(counts) == 32
    assert min(counts.values()) >= 2


def test_every_latent_dimension_moves_the_image(model: Model) -> None:
    model.eval()
    z = torch.randn(1, model.layout.length) * 0.1
    image = model.decoder(z).image
    for k, part in enumerate(model.layout.split(torch.arange(z.shape[1])[None])):
        changed = z.clone()
        changed[:, part[0]] += 0.5
        assert (model.decoder(changed).image - image).abs().max() > 1e-6, f"latent {k} is dead"


def test_each_dimension_has_unit_energy_whatever_its_size(model: Model) -> None:
    model.train()
    z = model.encoder(torch.rand(64, 3, 32, 32) * 2 - 1)
    for k, part in enumerate(model.layout.split(z)):
        if k in (model.layout.texture, model.layout.points):
            continue  # pixels and places keep the picture's own energy
        assert part.square().sum(dim=1).mean().item() == pytest.approx(1.0, abs=0.05)


def test_texture_is_the_pictures_own_pixels_and_comes_back_exactly(model: Model) -> None:
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    if model.layout.texture is None:
        assert model.config.spatial == {}
        assert model.decoder.reader is None
    else:
        z = model.encoder(image)
        torch.testing.assert_close(model.decoder._texture(z), image)


def test_a_flow_of_one_pixel_shows_each_pixels_right_neighbour() -> None:
    pixels = torch.zeros(1, 3, 8, 8)
    pixels[..., 4] = 1.0
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, 0] = 0.25  # of half the side: 1 px
    assert bend(pixels, flow)[0, 0, 3].argmax().item() == 3
    assert bend(pixels, flow)[0, 0, 3, 3].item() == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(bend(pixels, torch.zeros_like(flow)), pixels)


def test_what_leaves_the_range_is_clamped_and_still_learns() -> None:
    image = torch.tensor([-3.0, 0.5, 2.0], requires_grad=True)
    within(image).sum().backward()
    assert within(image).tolist() == [-1.0, 0.5, 1.0]
    assert image.grad is not None
    assert image.grad.tolist() == [1.0, 1.0, 1.0]


def test_an_untrained_decoder_with_texture_nearly_copies_it(model: Model) -> None:
    if model.layout.texture is None:
        return
    model.eval()
    image = torch.linspace(-1, 1, 32).expand(2, 3, 32, 32)
    decoded = model.decoder(model.encoder(image))
    assert decoded.flow is not None
    assert decoded.flow.shape == (2, 2, 32, 32)
    assert (decoded.image - image).abs().mean() < 0.1


def test_swapping_an_image_with_itself_is_its_reconstruction(model: Model) -> None:
    model.eval()
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(
        model.swap(image, image).image, model.decoder(model.encoder(image)).image
    )


def test_paste_back_keeps_the_target_where_the_mask_is_shut(model: Model) -> None:
    target = torch.rand(1, 3, 32, 32)
    decoded = model.eval().decoder(torch.randn(1, model.layout.length))
    shut = type(decoded)(decoded.image, torch.full_like(decoded.mask_logits, -1e4))
    assert torch.equal(paste_back(shut, target), target)
    doubtful = type(decoded)(decoded.image, torch.full_like(decoded.mask_logits, -1.0))
    assert torch.equal(paste_back(doubtful, target), decoded.image)
    half = blend(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), torch.full((1, 1, 2, 2), 0.25))
    assert half.unique().tolist() == [0.25]
