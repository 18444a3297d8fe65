"""Skin textures that the user brings."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from facegraft.characters import (
    Attributes,
    CharacterError,
    attribute_values,
    load_assets,
    render,
    sample_attributes,
    sample_identity,
)
from facegraft.characters.skins import SIDE, VARIABLE, SkinTexture, load_skins, own_folder
from facegraft.data.grids import REGIONS

FACE = np.array([[0.3, 0.4], [0.7, 0.6]], np.float32)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "skins").mkdir()
    return tmp_path / "skins"


def _texture(path, side=300):
    rng = np.random.default_rng(0)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(rng.integers(60, 255, (side, side, 3), np.uint8)).save(path)


def test_no_variable_no_skins(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert load_skins(own_folder(), FACE) == {}


def test_pictures_and_materials_are_found_by_name(folder):
    _texture(folder / "freckles.png")
    _texture(folder / "old" / "skin.jpg")
    (folder / "old" / "wrinkled.mhmat").write_text("name old\ndiffuseTexture skin.jpg\n")
    (folder / "readme.txt").write_text("not a skin")
    assert list(load_skins(own_folder(), FACE)) == ["freckles", "wrinkled"]


def test_a_texture_changes_the_skin_and_keeps_tone_eyes_and_ground(folder):
    _texture(folder / "freckles.png")
    assets, rng = load_assets(), np.random.default_rng(3)
    person, look = sample_identity(assets, rng), sample_attributes(rng)
    plain = render(assets, person, look, 96)
    skin = render(assets, person, replace(look, skin_texture="freckles"), 96)
    assert (plain.regions == skin.regions).all()
    shown = plain.regions == REGIONS.index("skin")
    assert (plain.image != skin.image)[shown].mean() > 0.5
    assert np.abs(plain.image[shown].mean(axis=0) - skin.image[shown].mean(axis=0)).max() < 20
    assert (plain.image == skin.image)[plain.regions == 0].mean() > 0.95  # edges are blended


def test_sampling_draws_textures_and_changes_nothing_else():
    own = {"skin_texture": ("a", "b")}
    plain = [sample_attributes(np.random.default_rng(k)) for k in range(40)]
    drawn = [sample_attributes(np.random.default_rng(k), own) for k in range(40)]
    assert {one.skin_texture for one in drawn} == {"plain", "a", "b"}
    assert [replace(one, skin_texture="plain") for one in drawn] == plain
    assert attribute_values(replace(plain[0], skin_texture="b"), own)["skin_texture.b"] == 1


def test_texels_are_blended_and_the_top_row_is_up():
    factor = torch.zeros(3, SIDE * SIDE)
    factor[0, 0] = 1  # red in the upper left corner
    texture = SkinTexture(factor)
    place = torch.tensor([[0.5, 1.0, 0.5], [0.5, 0.5, SIDE - 0.5]]) / SIDE
    assert texture.at(torch.stack([place[0], 1 - place[1]]))[0].tolist() == pytest.approx(
        [1.0, 0.5, 0.0], abs=0.02
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda skins: (skins / "bad.png").write_bytes(b"no picture"), "no PNG or JPEG"),
        (lambda skins: _texture(skins / "small.png", 100), "less than 256 pixels"),
        (lambda skins: _texture(skins / "plain.png"), "name plain is taken"),
        (lambda skins: _material(skins, "name x\n"), "names no diffuseTexture"),
        (lambda skins: _material(skins, "diffuseTexture gone.png\n"), "gone.png: not found"),
        (lambda skins: _material(skins, "diffuseTexture ../../x.png\n"), "outside its folder"),
        (lambda skins: _black(skins / "black.png"), "black where the face lies"),
    ],
)
def test_an_unusable_file_is_named_with_the_mend(folder, make, message):
    make(folder)
    with pytest.raises(CharacterError, match=message) as caught:
        load_skins(own_folder(), FACE)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_and_an_unknown_name_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(CharacterError, match="unset FACEGRAFT_ASSETS"):
        own_folder()
    monkeypatch.delenv(VARIABLE)
    assets = load_assets()
    person = sample_identity(assets, np.random.default_rng(0))
    with pytest.raises(CharacterError, match="unknown skin texture 'silver'; there are: plain"):
        render(assets, person, Attributes(skin_texture="silver"), 32)


def _material(skins, text):
    (skins / "one").mkdir()
    (skins / "one" / "one.mhmat").write_text(text)


def _black(path):
    Image.new("RGB", (300, 300)).save(path)
