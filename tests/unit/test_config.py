"""params.yaml: strict, frozen, and clear about what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from facegraft.core.config import ParamsError, load_params
from tests import tiny

KEPT_NOWHERE = {
    "hair": [13, 14, 16],
    **{k: v for k, v in tiny.params().train.attribute.items() if k not in ("hair", "points")},
}
"""Every latent has a group, and none holds the target's landmarks."""


def write(tmp_path: Path, section: str, changes: dict[str, object]) -> Path:
    raw = yaml.safe_load((tiny.ROOT / "params.yaml").read_text())
    raw[section].update(changes)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def test_the_shipped_params_load_and_are_frozen() -> None:
    params = tiny.params()
    with pytest.raises(ValidationError, match="frozen"):
        params.train.steps = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("section", "changes", "fault"),
    [
        ("train", {"stepz": 3}, r"train\.stepz: Extra inputs"),
        ("train", {"steps": 0}, r"train\.steps: Input should be greater"),
        ("train", {"identity": {"eyes": [6]}}, "name each latent 0 to 17 once"),
        ("train", {"identity": {}}, "name each latent 0 to 17 once"),
        ("train", {"texture": "hair"}, r"train\.texture: Extra inputs are not permitted"),
        ("train", {"attribute": KEPT_NOWHERE}, "attribute lacks points"),
        ("import", {"splits": {"train": 1, "validation": 1, "test": 0}}, "add up to 1"),
        ("data", {"size": 65}, r"data\.size: "),
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


def test_no_file_and_no_yaml_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="not found; run from the project folder"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("data: [")
    with pytest.raises(ParamsError, match="not valid YAML"):
        load_params(tmp_path / "params.yaml")
