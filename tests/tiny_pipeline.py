"""A whole project in small: same code, same stages, 32 px and a handful of steps."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import yaml

from facegraft.core.params_file import load_params
from facegraft.core.progress import silent
from facegraft.core.project import Project

ROOT = Path(__file__).parents[1]

PARTS = (
    "src",
    "flows",
    "dvc.yaml",
    "requirements.lock",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
)

JOBS = (
    "source,target,transplant\n"
    "test-000/i00/a00,test-000/i01/a01,\n"
    "test-000/i02/a02,test-000/i03/a03,eyes nose\n"
)

SMALL = {
    # A pool's processes each import torch, which takes longer than all that they do here.
    "runtime": {"threads": 1},
    "data": {
        "size": 32,
        "supersample": 1,
        "identities": 4,
        "attributes": 4,
        "mixes": 1,
        "grids": {"train": 2, "validation": 1, "test": 1},
    },
    # The detector is not made for 32 px, and what it finds is not what is tested here.
    "validate": {
        "min_face_fraction": 0.0,
        "min_face_detected": 0.0,
        "min_identities_agree": 0.0,
        "min_pose_share": 0.0,
    },
    "train": {
        "init": "scratch",
        "channels": 4,
        "decoder_channels": 4,
        "latent_dim": 8,
        "steps": 6,
        "teach_steps": 2,
        "warmup_steps": 1,
        "batch_grids": 1,
        "batch_identities": 2,
        "batch_attributes": 2,
        "batch_pairs": 2,
        "batch_regions": 0,
        "log_every": 1,
        "evaluate_every": 3,
    },
    # Six steps teach nothing: these percentiles let the untaught model be calibrated at all.
    "evaluate": {
        "pairs": 8,
        "calibration_pairs": 40,
        "same_percentile": 1,
        "different_percentile": 99,
    },
    "promote": {"min_values": {}, "max_values": {}},
    "swap": {"budget_steps": 2, "check_every": 1},
}


def new_project(root: Path) -> Project:
    """A git and DVC project with this repository's code and the small params; nothing run yet."""
    for part in PARTS:
        source, target = ROOT / part, root / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg*"))
        else:
            shutil.copyfile(source, target)
    (root / "params.yaml").write_text(yaml.safe_dump(SMALL, sort_keys=False), encoding="utf-8")
    (root / "jobs.csv").write_text(JOBS, encoding="utf-8")
    for command in (
        ("init", "--quiet"),
        ("add", "--all"),
        ("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "tiny"),
    ):
        subprocess.run(("git", *command), cwd=root, check=True, capture_output=True)
    return Project(root)


def run_road(project: Project) -> None:
    """data, validate, train, evaluate, promote: in this process, without servers."""
    from facegraft.stages.data import data
    from facegraft.stages.drift import drift
    from facegraft.stages.evaluate import evaluate
    from facegraft.stages.promote import promote
    from facegraft.stages.train import train
    from facegraft.stages.validate import validate

    params = load_params(project.params)
    data(project, params, silent)
    validate(project, params, silent)
    drift(project, params, silent)
    train(project, params, silent)
    evaluate(project, params, silent)
    promote(project, params, silent)
