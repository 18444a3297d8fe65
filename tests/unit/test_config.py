"""params.yaml: strict, frozen, and clear about what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from facegraft.core.config import Params, Section
from facegraft.core.params_file import MOVED, ParamsError, load_params
from tests import tiny

FORMER = """
drift: {max_index: 0.25, accept: []}
promote: {min_improvement: 0.0}
train:
  seed: 7
  identity: {face_shape: [5], eyes: [6], brows: [7], nose: [8], mouth: [9]}
  attribute: {background: [0], costume: [1]}
  device: auto
  precision: auto
  weights:
    identity_loss: 0.02
    attribute_loss: 0.01
    mse_loss: 1.0
    perceptual_loss: 0.1
    swap_loss: 1.0
    feature_loss: 0.45
    identity_teacher_loss: 1.0
    attribute_teacher_loss: 1.0
    contrast_loss: 0.1
    consistency_loss: 0.03
"""
"""What of an older params.yaml is no knob, or lies elsewhere, now."""


def write(tmp_path: Path, section: str, changes: dict[str, object]) -> Path:
    raw = yaml.safe_load((tiny.ROOT / "params.yaml").read_text())
    raw.setdefault(section, {}).update(changes)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def test_the_shipped_params_are_the_defaults_and_frozen() -> None:
    params = tiny.params()
    assert params == Params()
    with pytest.raises(ValidationError, match="frozen"):
        params.train.steps = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("section", "changes", "fault"),
    [
        ("train", {"stepz": 3}, r"train\.stepz: no such knob; .facegraft params. lists them"),
        ("train", {"steps": 0}, r"train\.steps: Input should be greater"),
        ("train", {"init": "scratch"}, r"train: .* reads nothing; set teach_steps"),
        ("base", {"init": "scratch", "teach_steps": 0}, r"base: .* reads nothing; set teach_steps"),
        ("runtime", {"device": "gpu"}, r"runtime\.device: Input should be 'auto', 'cpu' or 'cuda'"),
        ("import", {"splits": {"train": 1, "validation": 1, "test": 0}}, "add up to 1"),
        ("data", {"size": 48}, r"data\.size: Input should be 32, 64, 128 or 256"),
        ("swap", {"learning_rate": -1}, r"swap\.learning_rate: "),
        ("validate", {"min_face_detected": 1.5}, r"validate\.min_face_detected: "),
    ],
)
def test_a_fault_names_file_key_and_reason(
    tmp_path: Path, section: str, changes: dict[str, object], fault: str
) -> None:
    path = write(tmp_path, section, changes)
    with pytest.raises(ParamsError, match=fault) as caught:
        load_params(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_knob_has_a_default_within_its_bounds_and_a_meaning() -> None:
    def check(section: Section) -> None:
        for name, field in type(section).model_fields.items():
            assert not field.is_required(), f"{type(section).__name__}.{name}"
            assert field.description, f"{type(section).__name__}.{name}"
            if isinstance(value := getattr(section, name), Section):
                check(value)

    params = Params()
    check(params)
    plain = params.model_dump(by_alias=True, mode="json")
    assert repr(Params.model_validate(plain)) == repr(params), "a default of another type or bound"


def test_what_is_not_named_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    for text in ("", "# all commented out\n", "train:\n  # steps: 3\n"):
        path.write_text(text)
        assert load_params(path) == Params()
    path.write_text("base: {grids: {train: 3}}\nswap: {detail: 0.5}\n")
    params = load_params(path)
    assert params.base.grids.model_dump() == {"train": 3, "validation": 6, "test": 8}
    assert (params.swap.detail, params.swap.shape) == (0.5, 1.0)


def test_plain_vectors_may_start_from_nothing(tmp_path: Path) -> None:
    params = load_params(write(tmp_path, "train", {"init": "scratch", "vector_only": True}))
    assert params.train.teach_steps == 0


def test_each_knob_of_an_older_file_says_where_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(FORMER)
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    told = str(caught.value)
    assert "\n" not in told
    assert told.count(";") >= len(MOVED) - 1
    for key, place in MOVED.items():
        assert told.count(f"{key}: {place}") == 1, key
    assert "train.device: is runtime.device now" in told
    assert "drift.accept: is a command now: facegraft drift --accept VERSION --why TEXT" in told
    for gone in ("no such knob", "Extra inputs"):
        assert gone not in told


def test_no_file_and_no_yaml_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="not found; run from the project folder"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("data: [")
    with pytest.raises(ParamsError, match="not valid YAML"):
        load_params(tmp_path / "params.yaml")
