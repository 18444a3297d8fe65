"""The attribute probes, trained once and kept beside the renders that taught them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from facegraft import probes as method
from facegraft import readings
from facegraft.atomic import replacing
from facegraft.config import BenchmarkParams
from facegraft.probes import Probes, train_probes
from facegraft.project import Project
from facegraft.stages.benchmark_data import probe_grids
from facegraft.stages.progress import Progress


def attribute_probes(project: Project, params: BenchmarkParams, report: Progress) -> Probes:
    """Probes of this code, these params and this renderer; trained where they are not there yet.

    Raises:
        DataError: a render process died.
    """
    grids = probe_grids(project, params, report)
    kept = project.benchmark_data / "probes" / f"probes-{_recipe(params)}.safetensors"
    try:
        probes = Probes()
        probes.load_state_dict(load_file(kept))
        return probes.eval().requires_grad_(False)
    except (FileNotFoundError, SafetensorError):  # new, or a file that was cut off
        trained = train_probes(grids, params.probe_epochs, params.seed, report)
    with replacing(kept) as path:
        save_file(trained.state_dict(), path)
    return trained


def _recipe(params: BenchmarkParams) -> str:
    """Names what the weights depend on beside the folder's renders."""
    digest = hashlib.sha256(f"{params.seed} {params.probe_epochs}".encode())
    for module in (method, readings):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()[:12]
