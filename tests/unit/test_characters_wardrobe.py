"""Hair and clothes that the user brings."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from facegraft.characters import (
    Attributes,
    CharacterError,
    attribute_code,
    attribute_values,
    load_assets,
    neutral_head,
    render,
    sample_attributes,
    sample_identity,
)
from facegraft.characters.base_mesh import VERTICES
from facegraft.characters.proxies import read_proxy
from facegraft.characters.raster import Cutout, rasterise
from facegraft.characters.skins import VARIABLE
from facegraft.characters.textures import Texture
from facegraft.characters.wardrobe import fit
from facegraft.characters.wearing import fitted
from facegraft.data.grids import REGIONS
from tests.makehuman_items import base, write_hair, write_shirt

LABEL = {name: value for value, name in enumerate(REGIONS)}
WORN = {"hair_asset": "fringe", "costume_asset": "shirt"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    write_hair(folder / "hair" / "fringe")
    write_shirt(folder / "clothes" / "shirt")
    return folder


@pytest.fixture(scope="module")
def assets(made):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(made))
        return load_assets()


@pytest.fixture
def own(made, tmp_path, monkeypatch):
    """A copy to spoil."""
    shutil.copytree(made, tmp_path / "own")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture(scope="module")
def person(assets):
    return sample_identity(assets, np.random.default_rng(3))


def test_the_renderers_base_mesh_is_makehumans_vertex_for_vertex(assets):
    assert len(base().vertices) == VERTICES == len(assets.base.rest)
    assert (assets.base.rest[torch.from_numpy(assets.base.kept)] == assets.rest).all()


def test_items_are_found_by_name(assets):
    assert assets.own_words == {
        "skin_texture": (), "hair_asset": ("fringe",), "costume_asset": ("shirt",),
    }  # fmt: skip


def test_hair_hides_the_brow_but_not_between_its_strands(assets, person):
    bald = Attributes(hair_style="bald", hair=(0.1, 0.8, 0.2))
    plain = render(assets, person, bald, 192)
    worn = render(assets, person, replace(bald, hair_asset="fringe"), 192)
    hair = worn.regions == LABEL["hair"]
    assert hair.mean() > 0.03
    assert (worn.image[hair][:, 1] > worn.image[hair][:, 0]).mean() > 0.9  # in the hair's tone
    edges = np.abs(np.diff(hair.astype(int), axis=1)).sum(axis=1)
    assert edges.max() >= 12  # strands and what shows between them
    same = (plain.regions == worn.regions) & ~hair
    assert same.mean() > 0.8


def test_a_shirt_replaces_the_painted_costume_and_hides_what_it_covers(assets, person):
    look = Attributes(costume=(0.1, 0.2, 0.9))
    painted = render(assets, person, look, 96, framing="portrait")
    worn = render(assets, person, replace(look, costume_asset="shirt"), 96, framing="portrait")
    cloth = worn.regions == LABEL["costume"]
    assert cloth.mean() > 0.08
    assert cloth[-4:].mean() > 0.7
    shown = worn.image[cloth].astype(float).mean(axis=0)
    assert shown.argmax() == 2
    face = painted.regions == LABEL["eyes"]
    assert (worn.image[face] == painted.image[face]).mean() > 0.9


def test_items_follow_identity_expression_and_pose(assets, person):
    item = assets.wardrobe["hair_asset"]["fringe"]
    look = replace(assets, worn=(item,))
    heads = [
        neutral_head(assets, replace(person, axes=axes)) for axes in (person.axes * 0, person.axes)
    ]
    mean, shaped = (fitted(look, head.base, head.neutral)[0] for head in heads)
    used = torch.from_numpy(item.proxy.index[:, 0])
    moved = torch.zeros(VERTICES, 3)
    moved[torch.from_numpy(assets.base.kept)] = heads[1].neutral - heads[0].neutral
    near = np.linalg.norm(item.proxy.offset, axis=1) < 0.1  # a longer offset scales visibly
    assert torch.allclose((shaped - mean)[near], moved[used][near], atol=0.03)
    assert float((shaped - mean).abs().max()) > 0.05
    assert float(item.follows.min()) > 0.95
    shirt = assets.wardrobe["costume_asset"]["shirt"]
    assert float(shirt.follows.min()) == 0.0


def test_the_offset_is_scaled_by_the_head(assets, made):
    proxy = read_proxy(made / "hair" / "fringe" / "fringe.mhclo")
    wide = base().vertices * np.array([2, 1, 1], np.float32)
    plain, broad = (fit(proxy, torch.from_numpy(v)) for v in (base().vertices, wide))
    bound = torch.from_numpy(proxy.index[:, 0])
    before = plain - torch.from_numpy(base().vertices)[bound]
    after = broad - torch.from_numpy(wide)[bound]
    assert torch.allclose(after[:, 0], 2 * before[:, 0], atol=1e-4)
    assert torch.allclose(after[:, 1:], before[:, 1:], atol=1e-5)


def test_headwear_hides_brought_hair(assets, person):
    look = Attributes(headwear="helmet", hair_style="short")
    assert (
        render(assets, person, look, 48).image
        == render(assets, person, replace(look, hair_asset="fringe"), 48).image
    ).all()


def test_what_is_not_worn_changes_no_pixel(assets, person, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    look = sample_attributes(np.random.default_rng(2))
    plain, brought = (render(one, person, look, 48) for one in (load_assets(), assets))
    assert (plain.image == brought.image).all()
    assert (plain.depth == brought.depth).all()


def test_the_same_arguments_give_the_same_pixels(assets, person):
    look = Attributes(**WORN)
    first, second = (render(assets, person, look, 48) for _ in range(2))
    assert (first.image == second.image).all()


def test_sampling_draws_items_and_changes_nothing_else(assets):
    own = assets.own_words
    plain = [sample_attributes(np.random.default_rng(k)) for k in range(30)]
    drawn = [sample_attributes(np.random.default_rng(k), own) for k in range(30)]
    assert {one.hair_asset for one in drawn} == {"none", "fringe"}
    assert {one.costume_asset for one in drawn} == {"none", "shirt"}
    assert [replace(one, hair_asset="none", costume_asset="none") for one in drawn] == plain
    reserved = [sample_attributes(np.random.default_rng(k), own, reserved=True) for k in range(9)]
    assert {one.hair_asset for one in reserved} == {"none"}
    values = attribute_values(replace(plain[0], **WORN), own)
    assert values["hair_asset.fringe"] == values["costume_asset.shirt"] == 1


def test_the_code_names_no_style_that_is_not_seen():
    style, worn = Attributes(), Attributes(**WORN)
    gone = attribute_code(style) - attribute_code(worn)
    assert sorted(gone[gone != 0].tolist()) == [1, 1, 1]


def test_the_nearest_triangle_without_a_hole_is_seen():
    screen = np.array([[0, 0], [0, 40], [40, 0]] * 2, np.float64)
    depth = np.array([5.0] * 3 + [4.0] * 3)
    triangles = np.arange(6).reshape(2, 3)
    both = np.ones(2, bool)
    cutout = Cutout(1, lambda triangle, weights: weights[0] > 0.503)
    seen = rasterise(screen, depth, triangles, both, 16, cutout)
    assert (seen.triangle == (seen.weights[0] > 0.503)).all()
    assert 0 < int(seen.triangle.sum()) < len(seen.triangle)
    assert (rasterise(screen, depth, triangles, both, 16).triangle == 1).all()


def test_a_texture_repeats_and_has_holes():
    alpha = torch.tensor([[1.0, 1.0, 0.0, 0.0]]).repeat(1, 2)
    texture = Texture(torch.ones(3, 8), alpha, 4, 2)
    place = torch.tensor([[0.1, 0.9, 1.1, -0.1], [0.5, 0.5, 0.5, 0.5]])
    assert texture.shows(place).tolist() == [True, False, True, False]


def _swap(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def _row(own, text):
    path = own / "hair" / "fringe" / "fringe.mhclo"
    lines = path.read_text().splitlines()
    lines[lines.index("verts 0") + 1] = text
    path.write_text("\n".join(lines))


HAIR = "hair/fringe/fringe"
SPOILT = {
    "no .mhclo": (lambda own: (own / f"{HAIR}.mhclo").unlink(), "fringe: holds no .mhclo"),
    "no obj": (lambda own: (own / f"{HAIR}.obj").unlink(), "fringe.obj: not found; export"),
    "no material": (lambda own: (own / f"{HAIR}.mhmat").unlink(), "fringe.mhmat: not found"),
    "no picture": (lambda own: (own / f"{HAIR}.png").unlink(), "fringe.png: not found"),
    "broken picture": (
        lambda own: (own / f"{HAIR}.png").write_bytes(b"\x89PNG no"),
        "fringe.png: no PNG or JPEG",
    ),
    "empty picture": (
        lambda own: Image.new("RGBA", (64, 64)).save(own / f"{HAIR}.png"),
        "transparent all over",
    ),
    "no texture": (
        lambda own: (own / f"{HAIR}.mhmat").write_text("name x\n"),
        "names no diffuseTexture",
    ),
    "texture elsewhere": (
        lambda own: (own / f"{HAIR}.mhmat").write_text("diffuseTexture ../../../x.png\n"),
        "outside its folder",
    ),
    "no triangles": (lambda own: (own / f"{HAIR}.obj").write_text("v 0 0 0\n"), "holds no faces"),
    "no coordinates": (
        lambda own: (own / f"{HAIR}.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"),
        "line 4 is no part of a mesh with texture coordinates",
    ),
    "a face too far": (
        lambda own: (own / f"{HAIR}.obj").write_text("v 0 0 0\nvt 0 0\nf 1/1 1/1 7/1\n"),
        "names vertex 7 of 1",
    ),
    "another mesh": (
        lambda own: (own / f"{HAIR}.obj").write_text("v 0 0 0\nvt 0 0\nf 1/1 1/1 1/1\n"),
        "binds .* vertices, but fringe.obj has 1",
    ),
    "a vertex out of range": (lambda own: _row(own, "19158"), "names vertex 19158, but hm08 has"),
    "a short line": (lambda own: _row(own, "1 2 3"), "vertex 0 has 3 numbers, not 1 or 9"),
    "no number": (lambda own: _row(own, "1 2 3 a b c 0 0 0"), "could not convert"),
    "not finite": (lambda own: _row(own, "1 2 3 nan 0 0 0 0 0"), "not finite"),
    "no bindings": (
        lambda own: (own / f"{HAIR}.mhclo").write_text("obj_file fringe.obj\n"),
        "binds no vertices",
    ),
    "another base": (
        lambda own: _swap(own / f"{HAIR}.mhclo", "basemesh hm08", "basemesh alpha_7"),
        "made for another base mesh",
    ),
    "sheared": (
        lambda own: _swap(own / f"{HAIR}.mhclo", "x_scale", "shear_x"),
        "sheared, which is not read",
    ),
    "no scale": (
        lambda own: _swap(own / f"{HAIR}.mhclo", "11998 1.4800", "11998 0"),
        "cannot be scaled by",
    ),
    "the name none": (lambda own: _renamed(own), "the name none is taken"),
    "a hat": (
        lambda own: (own / "hair" / "fringe").rename(own / "clothes" / "fringe"),
        "no part of it is clothes that a portrait shows",
    ),
}


def _renamed(own):
    (own / f"{HAIR}.mhclo").rename(own / "hair" / "fringe" / "none.mhclo")


@pytest.mark.parametrize("name", SPOILT)
def test_an_unusable_item_is_named_with_the_mend(own, name):
    spoil, message = SPOILT[name]
    spoil(own)
    with pytest.raises(CharacterError, match=message) as caught:
        load_assets()
    assert str(own) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_item_is_refused(assets, person):
    with pytest.raises(CharacterError, match="unknown hair_asset 'x'; there are: none, fringe"):
        render(assets, person, Attributes(hair_asset="x"), 32)
