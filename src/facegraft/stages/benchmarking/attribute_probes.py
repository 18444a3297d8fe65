"""The attribute probes, fitted once and kept beside the renders that taught them."""

from __future__ import annotations

import hashlib

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from facegraft.core.atomic import replacing
from facegraft.core.code_hash import code_hash
from facegraft.core.config import BenchmarkParams
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.evaluation.attribute_probes import Probes, fit_probes
from facegraft.stages.benchmarking.data import probe_grid_params, probe_grids
from facegraft.stages.rendering import renderer_version


def attribute_probes(
    project: Project, params: BenchmarkParams, report: Progress, threads: int = 0
) -> Probes:
    """Probes of this code, these params and this renderer; fitted where they are not there yet.

    Raises:
        WorkerDied: a rendering process was killed.
    """
    kept = project.benchmark_data / f"probes-{_cache_key(params)}.safetensors"
    try:
        return Probes(load_file(kept))
    except (FileNotFoundError, SafetensorError):  # new, or a file that was cut off
        fitted = fit_probes(probe_grids(project, params, report, threads), report)
    with replacing(kept) as path:
        save_file({name: part.contiguous() for name, part in fitted.weights.items()}, path)
    return fitted


def _cache_key(params: BenchmarkParams) -> str:
    """Digest of what the weights depend on: the grids' params, the renderer, the probes' code."""
    rendered = f"{probe_grid_params(params).model_dump_json()} {renderer_version()}"
    names = ("attribute_probes", "attribute_targets", "face_features")
    code = code_hash(*(f"evaluation/{name}.py" for name in names))
    return hashlib.sha256(f"{rendered} {code}".encode()).hexdigest()[:12]
