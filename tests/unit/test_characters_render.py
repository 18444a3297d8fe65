"""Rendering: pure, labelled exactly, anatomically sound."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from facegraft.characters import (
    Attributes,
    CharacterError,
    Identity,
    canonical_landmarks,
    load_assets,
    render,
    sample_attributes,
    sample_identity,
)
from facegraft.data.grids import FACE_REGIONS, REGIONS

LABEL = {name: value for value, name in enumerate(REGIONS)}
BLINK = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}


@pytest.fixture(scope="module")
def assets():
    return load_assets()


@pytest.fixture(scope="module")
def people(assets):
    return [sample_identity(assets, np.random.default_rng(seed)) for seed in range(12)]


def _digest(rendering):
    parts = (rendering.image, rendering.regions, rendering.landmarks, rendering.depth)
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def _share(rendering, region):
    return float((rendering.regions == LABEL[region]).mean())


def test_the_same_arguments_give_the_same_bytes(assets, people):
    attributes = sample_attributes(np.random.default_rng(4))
    first, again = (render(assets, people[0], attributes, 48) for _ in range(2))
    assert _digest(first) == _digest(again)
    assert _digest(render(assets, people[1], attributes, 48)) != _digest(first)


def test_another_process_with_more_threads_gives_the_same_bytes(assets):
    code = """
import hashlib, sys
import numpy as np, torch
from facegraft.characters import load_assets, render, sample_attributes, sample_identity
torch.set_num_threads(int(sys.argv[1]))
assets, rng, digest = load_assets(), np.random.default_rng(5), hashlib.sha256()
for _ in range(3):
    drawn = render(assets, sample_identity(assets, rng), sample_attributes(rng), 64)
    for part in (drawn.image, drawn.regions, drawn.landmarks, drawn.depth):
        digest.update(part.tobytes())
print(digest.hexdigest())
"""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, threads], stdout=subprocess.PIPE, env=os.environ
        )
        for threads in ("1", "3")
    ]
    digests = {process.communicate(timeout=120)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0]
    assert len(digests) == 1


def test_shapes_types_and_labels(assets, people):
    drawn = render(assets, people[0], Attributes(), 40)
    assert drawn.image.shape == (40, 40, 3)
    assert drawn.image.dtype == drawn.regions.dtype == np.uint8
    assert drawn.landmarks.shape == (5, 2)
    assert drawn.landmarks.dtype == drawn.depth.dtype == np.float32
    assert int(drawn.regions.max()) < len(REGIONS)
    assert (np.isinf(drawn.depth) == (drawn.regions == 0)).all()
    assert np.isin(drawn.regions, FACE_REGIONS).mean() > 0.25


def test_every_region_shows_in_a_frontal_portrait(assets, people):
    drawn = render(assets, people[0], Attributes(glasses="square"), 160, framing="portrait")
    assert set(np.unique(drawn.regions)) == set(range(len(REGIONS)))


@pytest.mark.parametrize("size", [0, 15, 1025])
def test_a_bad_size_is_refused(assets, people, size):
    with pytest.raises(CharacterError, match=f"size is {size}"):
        render(assets, people[0], Attributes(), size)


def test_a_bad_framing_or_supersample_is_refused(assets, people):
    with pytest.raises(CharacterError, match="unknown framing 'wide'; choose from crop"):
        render(assets, people[0], Attributes(), 32, framing="wide")
    with pytest.raises(CharacterError, match="supersample is 5"):
        render(assets, people[0], Attributes(), 32, supersample=5)


def test_the_crop_is_filled_by_the_face(assets, people):
    heights = []
    for person in people:
        drawn = render(assets, person, Attributes(hair_style="bald"), 64)
        chin = np.flatnonzero(np.isin(drawn.regions, FACE_REGIONS).any(axis=1)).max()
        brow = np.flatnonzero((drawn.regions == LABEL["brows"]).any(axis=1)).min()
        heights.append((chin - brow) / 64)
    assert 0.65 < np.mean(heights) < 0.85
    assert min(heights) > 0.45
    assert max(heights) < 0.95


def test_landmarks_lie_on_their_features(assets, people):
    hits = 0
    for person in people:
        drawn = render(assets, person, Attributes(hair_style="bald"), 128, supersample=1)
        found = drawn.regions[tuple(drawn.landmarks.round().astype(int).T[::-1])]
        names = [REGIONS[label] for label in found]
        hits += names[:2] == ["eyes", "eyes"]
        assert names[2] == "nose"
        assert drawn.landmarks[0, 0] < drawn.landmarks[1, 0]
        mouth = np.argwhere(drawn.regions == LABEL["mouth"])[:, 1]
        assert abs(drawn.landmarks[3, 0] - mouth.min()) < 6
        assert abs(drawn.landmarks[4, 0] - mouth.max()) < 6
    assert hits >= len(people) - 1


def test_the_mean_face_lies_on_the_canonical_points(assets):
    names = assets.identity_names
    drawn = render(assets, Identity(names, np.zeros(len(names), np.float32)), Attributes(), 64)
    assert np.abs(drawn.landmarks - canonical_landmarks(64)).max() < 1.5


def test_eyelids_close(assets, people):
    for person in people[:8]:
        opened = render(assets, person, Attributes(), 64)
        closed = render(assets, person, Attributes(expression=BLINK), 64)
        assert _share(opened, "eyes") > 0.004
        assert _share(closed, "eyes") < 0.1 * _share(opened, "eyes")


def test_the_mouth_opens_on_a_dark_inside(assets, people):
    attributes = Attributes(expression={"jawOpen": 0.8})
    for person in people:
        shut, wide = (
            render(assets, person, Attributes(), 192),
            render(assets, person, attributes, 192),
        )
        assert _share(wide, "mouth") > 1.3 * _share(shut, "mouth")
        inside = wide.image[wide.regions == LABEL["mouth"]].mean(axis=1)
        assert inside.min() < 60  # the hollow beside the tongue, a pixel wide at 96 px


def test_the_background_of_a_swap_is_the_targets(assets, people):
    attributes = sample_attributes(np.random.default_rng(1))
    first, second = (render(assets, person, attributes, 64) for person in people[:2])
    both = (first.regions == 0) & (second.regions == 0)
    inner = both.copy()
    for step in np.ndindex(3, 3):
        inner &= np.roll(both, (step[0] - 1, step[1] - 1), (0, 1))
    assert inner.sum() > 50
    assert (first.image[inner] == second.image[inner]).all()


@pytest.mark.parametrize(
    ("region", "landmark", "reach"), [("nose", 2, 26), ("mouth", 3, 34), ("brows", 0, 30)]
)
def test_a_partial_swap_changes_only_the_neighbourhood(assets, people, region, landmark, reach):
    attributes = Attributes(hair_style="bald")
    plain = render(assets, people[0], attributes, 64)
    mixed = render(assets, people[0].mix(people[1], [region]), attributes, 64)
    changed = np.argwhere((plain.image != mixed.image).any(axis=2))
    assert len(changed) > 20
    centre = plain.landmarks[landmark, ::-1]
    if region in ("mouth", "brows"):
        centre = plain.landmarks[[landmark, landmark + 1]].mean(axis=0)[::-1]
    assert np.abs(changed - centre).max() < reach


@pytest.mark.parametrize(("angle", "axis", "sign"), [("yaw", 0, 1), ("pitch", 1, 1)])
def test_pose_turns_the_nose(assets, people, angle, axis, sign):
    straight = render(assets, people[0], Attributes(), 64, framing="portrait").landmarks
    turned = render(
        assets, people[0], Attributes(**{angle: 15.0}), 64, framing="portrait"
    ).landmarks
    assert sign * (turned[2, axis] - straight[2, axis]) > 2


def test_roll_leans_the_head_to_the_right(assets, people):
    drawn = render(assets, people[0], Attributes(roll=10.0), 64)
    left, right = drawn.landmarks[:2]
    assert np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0])) == pytest.approx(
        10, abs=3
    )


def test_no_part_of_the_costume_shows_skin_below_the_neckline(assets, people):
    for seed, person in enumerate(people[:6]):
        attributes = replace(
            sample_attributes(np.random.default_rng(seed)), costume_style="turtleneck"
        )
        drawn = render(assets, person, attributes, 96, framing="portrait")
        bottom = drawn.regions[-12:]
        assert not np.isin(bottom, [LABEL["skin"], LABEL["neck"]]).any()
        assert (bottom == LABEL["costume"]).mean() > 0.6


def test_bald_heads_have_no_hair_and_others_do(assets, people):
    bald = render(assets, people[0], Attributes(hair_style="bald"), 64, framing="portrait")
    assert _share(bald, "hair") == 0
    for style in ("short", "long", "afro", "buzz"):
        drawn = render(assets, people[0], Attributes(hair_style=style), 64, framing="portrait")
        assert _share(drawn, "hair") > 0.01, style


def test_the_seed_changes_only_the_clouds(assets, people):
    plain = Attributes(background_style="checks")
    assert _digest(render(assets, people[0], plain, 32, seed=1)) == _digest(
        render(assets, people[0], plain, 32, seed=2)
    )
    clouds = Attributes(background_style="clouds")
    assert _digest(render(assets, people[0], clouds, 32, seed=1)) != _digest(
        render(assets, people[0], clouds, 32, seed=2)
    )
