"""The decoder that draws with both faces: what is asked for changes, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facegraft.data.batches import grid_faces
from facegraft.data.faces import Faces
from facegraft.evaluation.metrics import psnr
from facegraft.imaging.images import to_uint8
from facegraft.method.decoder import Decoder, ModulatedConv, Strength, at_rest
from facegraft.method.landmarks import SEEDS
from facegraft.method.latents import fuse, source_weights
from facegraft.method.model import Model, ModelConfig
from facegraft.method.warp import pixel_centres
from facegraft.training.geometry import fit_geometry, fit_mean_face
from tests import tiny

SIDE, NOSE = 64, 4


@pytest.fixture(scope="module")
def model() -> Model:
    """Geometry fitted to three grids of drawn faces, and convolutions that nobody taught."""
    grids = [tiny.faces(f"train-00{k}", rows=6, size=SIDE) for k in range(3)]
    torch.manual_seed(0)
    made = Model(ModelConfig.from_params(tiny.train_params(), grids)).eval()
    fit_mean_face([made], grids, [])
    fit_geometry(made, grids, [], seed=0)
    return made


@pytest.fixture(scope="module")
def source() -> Faces:
    return grid_faces(tiny.faces("test-000", size=SIDE), [(0, 0), (1, 1)])


@pytest.fixture(scope="module")
def target() -> Faces:
    return grid_faces(tiny.faces("test-001", size=SIDE), [(2, 2), (3, 0)])


def drawing(model: Model) -> Decoder:
    assert isinstance(model.decoder, Decoder)
    return model.decoder


def levels(images: torch.Tensor) -> np.ndarray:
    return to_uint8(images).astype(int)


@torch.no_grad()
def test_the_targets_own_latents_draw_the_target(model: Model, target: Faces) -> None:
    z = model.encoder(target)
    for source in (None, target):
        drawn = model.decode(z, source)
        assert psnr(drawn.image, target.images).min() > 45
        np.testing.assert_array_equal(levels(drawn.image), levels(target.images))
        assert drawn.landmarks is not None
        torch.testing.assert_close(drawn.landmarks, target.landmarks, atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_whole_swap_moves_the_landmarks_and_shows_the_source(
    model: Model, source: Faces, target: Faces
) -> None:
    drawn = model.swap(source, target)
    assert drawn.landmarks is not None
    assert (drawn.landmarks - target.landmarks).abs().max() > 0.005
    assert drawn.share is not None
    assert drawn.share.max() > 0.9
    assert drawn.share.min() >= 0
    assert drawn.share.max() <= 1
    changed = np.abs(levels(drawn.image) - levels(target.images)).max(axis=3)
    assert (changed > 2).mean() > 0.1
    # The source's own pixels and its unwrapped copy say much the same.
    unwrapped = model.decode(model.fused(source, target))
    assert unwrapped.visibility is None
    assert (unwrapped.image - drawn.image).abs().mean() < 0.5 * (
        drawn.image - target.images
    ).abs().mean()


@torch.no_grad()
def test_one_region_changes_nothing_beyond_its_soft_border(
    model: Model, source: Faces, target: Faces
) -> None:
    for region in ("eyes", "mouth", "nose", "brows"):
        drawn = model.swap(source, target, {region})
        changed = np.abs(levels(drawn.image) - levels(target.images)).max(axis=3) > 0
        seeds = target.landmarks[:, list(SEEDS[region]), :2]
        away = torch.cdist(pixel_centres(SIDE).view(1, -1, 2).expand(2, -1, -1), seeds).amin(dim=2)
        far = away.view(2, SIDE, SIDE).numpy() > 0.5
        assert far.mean() > 0.2
        assert not changed[far].any(), region
        assert changed[~far].mean() > 0.05, region


@torch.no_grad()
def test_without_strength_the_target_stays(model: Model, source: Faces, target: Faces) -> None:
    fused, nothing = model.fused(source, target), Strength(0.0, 0.0)
    for shown in (source, None):
        none = model.decode(fused, shown, nothing)
        np.testing.assert_array_equal(levels(none.image), levels(target.images))
    whole = model.swap(source, target)
    shape = model.swap(source, target, strength=Strength(detail=0.0))
    detail = model.swap(source, target, strength=Strength(shape=0.0))
    assert whole.landmarks is not None
    assert shape.landmarks is not None
    assert detail.landmarks is not None
    assert shape.share is not None
    assert not shape.share.any()
    assert torch.equal(shape.landmarks, whole.landmarks)
    torch.testing.assert_close(detail.landmarks, target.landmarks)
    assert detail.motion is not None
    assert detail.motion.abs().max() < 1e-5
    # Half the shape is half the way.
    half = model.swap(source, target, strength=Strength(shape=0.5)).landmarks
    assert half is not None
    torch.testing.assert_close(
        half - target.landmarks, 0.5 * (whole.landmarks - target.landmarks), atol=1e-4, rtol=1e-3
    )


@torch.no_grad()
def test_each_of_the_eighteen_latents_modulates_a_layer(
    model: Model, source: Faces, target: Faces
) -> None:
    """Its vector alone is changed: it moves nothing but what the layers decide."""
    decoder = drawing(model)
    assert len(decoder.unet.layers) == 18
    assert all(isinstance(layer, ModulatedConv) for layer in decoder.unet.layers)
    torch.manual_seed(0)
    seen = torch.randn(1, 36, SIDE // 2, SIDE // 2)
    vectors = torch.randn(1, 18, tiny.train_params().latent_dim)
    before = decoder.unet(seen, vectors)
    plan = decoder.plan(model.fused(source, target))
    shown = decoder.blend(plan, power=1.0).image
    for k in range(18):
        changed = vectors.clone()
        changed[:, k] += 1
        share, change = decoder.unet(seen, changed)
        assert (share - before[0]).abs().max() > 1e-5, k
        assert ((change - before[1]).abs().max() > 1e-5) == (k < 15), k  # tone is decided before
        plan.vectors[:, k] += 10
        assert not torch.equal(decoder.blend(plan, power=1.0).image, shown), k
        plan.vectors[:, k] -= 10


@torch.no_grad()
def test_everything_comes_to_rest_at_the_crops_edge(
    model: Model, source: Faces, target: Faces
) -> None:
    rest = at_rest(SIDE)[0, 0]
    assert rest[SIDE // 2, SIDE // 2] == 1
    assert (rest.diff(dim=1)[SIDE // 2, : SIDE // 2] >= 0).all()
    near = Faces(target.images, 1.6 * target.landmarks, target.expression)  # beyond the crop
    drawn = model.swap(source, near)
    edge = pixel_centres(SIDE).abs().amax(dim=2) > 1 - 1.5 / SIDE
    for field in (drawn.share, drawn.tone, drawn.motion):
        assert field is not None
        assert field.abs().max() > 1e-3
        assert field[..., edge].abs().max() < 1e-6
    np.testing.assert_array_equal(
        levels(drawn.image)[:, edge.numpy()], levels(near.images)[:, edge.numpy()]
    )


@torch.no_grad()
def test_known_landmarks_are_drawn_instead_of_predicted_ones(
    model: Model, source: Faces, target: Faces
) -> None:
    decoder, z = drawing(model), model.fused(source, target)
    known = target.landmarks + torch.tensor([0.0, 0.05, 0.0])
    plan = decoder.plan(z, known)
    assert plan.landmarks is known
    column, row = ((known[0, NOSE, :2] + 1) / 2 * SIDE).long().tolist()
    assert plan.target_motion[0, :, row, column].tolist() == pytest.approx([0.0, -0.05], abs=1e-4)


@torch.no_grad()
def test_what_others_in_the_batch_show_changes_nothing(
    model: Model, source: Faces, target: Faces
) -> None:
    together = model.swap(source, target).image
    for k in range(2):
        alone = model.swap(source[k : k + 1], target[k : k + 1]).image
        torch.testing.assert_close(alone, together[k : k + 1], atol=1e-4, rtol=0)


def test_training_reaches_every_layer(model: Model, source: Faces, target: Faces) -> None:
    decoder = drawing(model)
    z = model.fused(source, target)
    drawn = decoder(z, source, power=1.0)
    (drawn.image - target.images).square().mean().backward()
    idle = [
        name
        for name, parameter in decoder.unet.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    model.zero_grad()
    assert not idle


def test_a_change_of_one_vector_alone_exchanges_no_region(model: Model, target: Faces) -> None:
    """Which regions are taken is told by shape and detail, not by what the vectors say."""
    with torch.no_grad():
        z = model.encoder(target)
        other = z.roll(1, dims=0)
        layout = model.layout
        weights = source_weights(layout, {"nose"})
        fused = fuse(layout, other, z, weights)
        start = sum(layout.sizes[: layout.identity["nose"][0]])
        only = z.clone()
        only[:, start : start + layout.vector] = fused[:, start : start + layout.vector]
        assert not torch.equal(only, z)
        np.testing.assert_array_equal(levels(model.decode(only).image), levels(target.images))
