"""Stage `benchmark`: one model on the standing benchmark, as a table, figures and pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facegraft.adapters import registry, second_judge
from facegraft.adapters.judge import Judge
from facegraft.core.atomic import replacing
from facegraft.core.config import BenchmarkParams, Params
from facegraft.core.device import set_up
from facegraft.core.errors import FacegraftError
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.evaluation.attribute_probes import Probes, attribute_errors
from facegraft.evaluation.benchmark import (
    Pair,
    PairMetric,
    draw_benchmark_pairs,
    draw_region_pairs,
    judged_by,
    measure_pairs,
    measure_regions,
    pair_images,
    pairs_hash,
)
from facegraft.evaluation.bootstrap import Figure
from facegraft.evaluation.bootstrap import figures as with_intervals
from facegraft.evaluation.costs import Costs, costs
from facegraft.evaluation.latent_ablation import DimensionReport, dimension_report
from facegraft.evaluation.reading_errors import read_by, share_of_the_way, sharpness
from facegraft.evaluation.sheets import swap_sheet
from facegraft.evaluation.tables import as_markdown, as_text, metric_table, titles
from facegraft.method.base_model import BASE, load_base
from facegraft.method.checkpoint import CONFIG, WEIGHTS, CheckpointError, load_model
from facegraft.method.model import Model
from facegraft.presenting.pages import BenchmarkPage, Picture, Table, html
from facegraft.stages.benchmarking.attribute_probes import attribute_probes
from facegraft.stages.benchmarking.data import BenchmarkData, benchmark_data
from facegraft.stages.benchmarking.dimension_pictures import HEAT_MAP, ROWS, write_dimensions
from facegraft.stages.benchmarking.galleries import gallery
from facegraft.stages.benchmarking.unpaired_sources import avatars, photographs
from facegraft.stages.inputs import FaceReaders
from facegraft.stages.landmarks import read_crop

SHEET_PAIRS, SHEET_REGIONS = 64, 6
"""Swaps on the sheet, drawn by the seed; rows of each sub-dimension on the other."""

SECOND_JUDGE = "second_judge (dlib ResNet)"
NOT_INSTALLED = "not installed"

PAGE = "index.html"

PICTURES = {
    "swaps.jpg": "Swaps, none picked.",
    "regions.jpg": "One sub-dimension at a time.",
    "photographs.jpg": "Photographs onto characters, none picked.",
    "avatars.jpg": "Drawn avatars onto characters, none picked.",
    HEAT_MAP: "What each latent moves, where the source's alone is put into the target's.",
    ROWS: "The same as pictures.",
}
"""Files beside the page, which shows those that there are."""


class BenchmarkRefused(FacegraftError):
    """The benchmark cannot be run as asked for; one line with the mend."""


@dataclass(frozen=True)
class Outcome:
    """A finished benchmark.

    Attributes:
        folder: holds benchmark.json, README.md, index.html and the pictures.
        text: the table and what else a terminal shows.
    """

    folder: Path
    text: str


@dataclass(frozen=True)
class BenchmarkResult:
    """All that was found out about one model."""

    name: str
    sha256: str
    version: str
    pairs_hash: str
    pairs: int
    figures: dict[str, Figure]
    notes: dict[str, str]
    costs: Costs
    dimensions: DimensionReport
    sheets: dict[str, Image.Image]


def benchmark(
    project: Project,
    params: Params,
    reference: str,
    report: Progress,
    *,
    out: Path | None = None,
    pairs: int | None = None,
    resamples: int | None = None,
) -> Outcome:
    """Measure a model on the benchmark's own characters.

    Args:
        reference: `base`, a folder of a model, or a version or alias of the registry.
        out: where the results go; by default a folder below build/benchmark.
        pairs: the first so many pairs only; by default all.
        resamples: of the pairs, for the intervals; by default as in params.

    Raises:
        BenchmarkRefused, CheckpointError, RegistryError, DataError: one line with the mend.
    """
    _refuse_counts(pairs=pairs, resamples=resamples)
    section = params.benchmark
    device, threads = set_up(params.runtime), params.runtime.threads
    model, folder = find_model(project, reference)
    model.to(device)
    sha256 = registry.fingerprint(folder)  # now: the folder may be replaced in the meantime
    data = benchmark_data(project, section, model.config.size, report, threads)
    chosen = _first(draw_benchmark_pairs(data.people, section.seed), pairs)
    probes = attribute_probes(project, section, report, threads)
    measured = _measured(
        project, params, reference, sha256, model, data, chosen, probes, resamples, report
    )
    target = out or project.benchmark / _folder_name(reference)
    _write(target, section, model, data, chosen, measured)
    return Outcome(target, _text(measured))


def find_model(project: Project, reference: str) -> tuple[Model, Path]:
    """The model that a user names, and its folder.

    Raises:
        CheckpointError, RegistryError: there is none; one line with the mend.
    """
    if reference == "base":
        return load_base(), BASE
    path = Path(reference)
    if path.is_dir() or path.name != reference:
        if not path.is_dir():
            raise CheckpointError(
                f"{path}: not found; give `base`, a folder with {WEIGHTS} and {CONFIG}, or a "
                "version or alias of the registry, e.g. champion"
            )
        return load_model(path), path
    _, folder = registry.fetch(project, reference)
    return load_model(folder), folder


def _refuse_counts(**asked: int | None) -> None:
    """Before the characters are rendered, which takes minutes."""
    for name, count in asked.items():
        if count is not None and count < 1:
            raise BenchmarkRefused(f"--{name} {count}: give at least 1")


def _first(pairs: Sequence[Pair], count: int | None) -> Sequence[Pair]:
    if count is None:
        return pairs
    if count > len(pairs):
        raise BenchmarkRefused(f"--pairs {count}: the benchmark has 1 to {len(pairs)} pairs")
    return pairs[:count]


def _measured(
    project: Project,
    params: Params,
    name: str,
    sha256: str,
    model: Model,
    data: BenchmarkData,
    pairs: Sequence[Pair],
    probes: Probes,
    resamples: int | None,
    report: Progress,
) -> BenchmarkResult:
    section, readers = params.benchmark, FaceReaders.opened(params.runtime.threads)
    pair_metrics, notes = _judges(project, data, readers.judge, report)
    pair_metrics.append(attribute_errors(probes, data.people))
    pair_metrics.append(read_by(partial(read_crop, readers.landmarker)))
    pair_metrics.append(sharpness(data.people))
    columns = measure_pairs(model, data.people, pairs, pair_metrics, report)
    for judge in ("judge", "second_judge"):
        columns |= share_of_the_way(columns, judge)
    sheets = {}
    for kind, measure in (("photographs", photographs), ("avatars", avatars)):
        unpaired = measure(project, model, readers, data.people, pairs, section.seed, report)
        if unpaired is None:
            notes[f"{kind}_similarity_source"] = NOT_INSTALLED
        else:
            columns |= unpaired.columns
            sheets[kind] = unpaired.sheet
    regions, unknown = _region_pairs(section, model, data)
    columns |= measure_regions(model, data.regions, regions)
    report(len(pairs), len(pairs), "benchmark: intervals")
    spread = _spread(pairs, section.dimension_pairs)
    dimensions = dimension_report(model, data.people, spread, probes, report)
    first = pair_images(data.people, pairs[0])
    return BenchmarkResult(
        name=name,
        sha256=sha256,
        version=data.version,
        pairs_hash=pairs_hash(data.people, pairs, data.version),
        pairs=len(pairs),
        figures=with_intervals(columns, resamples or section.resamples, section.seed),
        notes=notes | unknown,
        costs=costs(model, first.source, first.target),
        dimensions=dimensions,
        sheets=sheets,
    )


def _spread(pairs: Sequence[Pair], count: int) -> Sequence[Pair]:
    """`count` of the pairs, evenly over the grids."""
    return pairs[:: max(1, len(pairs) // count)][:count]


def _judges(
    project: Project, data: BenchmarkData, judge: Judge, report: Progress
) -> tuple[list[PairMetric], dict[str, str]]:
    """The judge, and the second where it is installed; else a note that it is not."""
    known = gallery(project, data.people, "judge", judge.embed, report)
    judged = [judged_by(known, judge.embed)]
    if not second_judge.installed():
        return judged, {SECOND_JUDGE: NOT_INSTALLED}
    second = second_judge.SecondJudge()
    known = gallery(project, data.people, "second-judge", second.embed, report)
    return [*judged, judged_by(known, second.embed, "second_judge")], {}


def _region_pairs(
    section: BenchmarkParams, model: Model, data: BenchmarkData
) -> tuple[list[Pair], dict[str, str]]:
    """Pairs of the sub-dimensions that the model has, and a note for each that it has not."""
    drawn = draw_region_pairs(data.regions, section.region_pairs, section.seed)
    known = [pair for pair in drawn if pair.region in model.layout.identity]
    unknown = sorted({str(pair.region) for pair in drawn} - set(model.layout.identity))
    return known, {f"psnr_changed_{region}": "no such dimension" for region in unknown}


def _folder_name(reference: str) -> str:
    name = Path(reference).resolve().name if Path(reference).is_dir() else reference
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name) or "model"


def _write(
    folder: Path,
    section: BenchmarkParams,
    model: Model,
    data: BenchmarkData,
    pairs: Sequence[Pair],
    measured: BenchmarkResult,
) -> None:
    """The pictures first and benchmark.json last: where it is, the rest is."""
    rng = np.random.default_rng((section.seed, 5))
    shown = sorted(rng.permutation(len(pairs))[:SHEET_PAIRS].tolist())
    with replacing(folder / "swaps.jpg") as path:
        sheet = swap_sheet(model, data.people, [pairs[k] for k in shown])
        sheet.save(path, format="JPEG", quality=88)
    regions = _region_rows(_region_pairs(section, model, data)[0])
    if regions:
        with replacing(folder / "regions.jpg") as path:
            swap_sheet(model, data.regions, regions).save(path, format="JPEG", quality=88)
    for name, sheet in measured.sheets.items():
        with replacing(folder / f"{name}.jpg") as path:
            sheet.save(path, format="JPEG", quality=88)
    few = _spread(pairs, section.dimension_pairs)
    write_dimensions(folder, model, data.people, few, measured.dimensions)
    with replacing(folder / "README.md") as path:
        path.write_text(_markdown(measured), encoding="utf-8")
    with replacing(folder / PAGE) as path:
        path.write_text(html(_page(folder, measured)), encoding="utf-8")
    with replacing(folder / "benchmark.json") as path:
        text = json.dumps(_as_json(measured), indent=1, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")


def _page(folder: Path, measured: BenchmarkResult) -> BenchmarkPage:
    head, *rows = metric_table(measured.figures, measured.notes)
    return BenchmarkPage(
        model=measured.name,
        summary=_sentences(measured),
        figures=Table(titles(head), rows, figures=frozenset(range(1, len(head)))),
        objections=_objections(measured),
        pictures=[
            Picture(name, name.split(".")[0].replace("_", " "), note)
            for name, note in PICTURES.items()
            if (folder / name).exists()
        ],
    )


def _region_rows(pairs: Sequence[Pair]) -> list[Pair]:
    """A few of each sub-dimension, evenly over the grids, sub-dimension by sub-dimension."""
    names = dict.fromkeys(pair.region for pair in pairs)
    return [
        pair
        for name in names
        for pair in _spread([one for one in pairs if one.region == name], SHEET_REGIONS)
    ]


def _as_json(measured: BenchmarkResult) -> dict[str, Any]:
    report = measured.dimensions
    return {
        "model": measured.name,
        "model_sha256": measured.sha256,
        "benchmark": measured.version,
        "pairs": measured.pairs,
        "pairs_hash": measured.pairs_hash,
        "figures": {key: one.model_dump() for key, one in measured.figures.items()},
        "notes": measured.notes,
        "costs": measured.costs.model_dump(),
        "dimensions": {
            "names": report.names,
            "whole": _rounded(report.whole),
            "regions": _rounded(report.regions),
            "readings": _rounded(report.readings),
            "objections": report.objections(),
        },
    }


def _rounded(values: np.ndarray) -> Any:
    """Nested lists as JSON holds them: null for NaN."""
    if values.ndim > 1:
        return [_rounded(row) for row in values]
    return [round(float(v), 4) if np.isfinite(v) else None for v in values]


def _summary(measured: BenchmarkResult) -> list[str]:
    """What the figures belong to, and what a swap costs."""
    spent = measured.costs
    return [
        f"model {measured.name} ({measured.sha256[:12]}), benchmark {measured.version}, "
        f"{measured.pairs} pairs, hash {measured.pairs_hash}",
        f"{spent.parameters_encoder / 1e6:.2f} M parameters in the encoder, "
        f"{spent.parameters_decoder / 1e6:.2f} M in the decoder; {spent.flops / 1e9:.2f} GFLOP and "
        f"{spent.seconds * 1000:.0f} ms a pair on {spent.threads} threads of {spent.device}",
    ]


def _sentences(measured: BenchmarkResult) -> list[str]:
    return [f"{line[0].upper()}{line[1:]}." for line in _summary(measured)]


def _objections(measured: BenchmarkResult) -> list[str]:
    found = measured.dimensions.objections()
    return found or ["every named latent moves what its name says"]


def _text(measured: BenchmarkResult) -> str:
    table = as_text(metric_table(measured.figures, measured.notes))
    parts = [*_summary(measured), "", table, "", "dimensions:"]
    return "\n".join([*parts, *(f"  {line}" for line in _objections(measured))])


def _markdown(measured: BenchmarkResult) -> str:
    return "\n".join(
        [
            f"# Benchmark of {measured.name}",
            "",
            *_sentences(measured),
            "",
            "Means over the pairs with 95 % bootstrap intervals. Figures compare only under the "
            "same hash. `true_swap` is the rendered truth; what it shows of an attribute error is "
            "the probe's own.",
            "",
            as_markdown(metric_table(measured.figures, measured.notes)),
            "",
            f"`swaps.jpg`: {min(SHEET_PAIRS, measured.pairs)} swaps, none picked; `regions.jpg`: "
            "one sub-dimension at a time; `photographs.jpg`, `avatars.jpg`: such sources onto "
            "characters, none picked.",
            "",
            "## Dimensions",
            "",
            "`dimensions.png`, `dimension_rows.jpg`: each latent of the source alone in the "
            "target's.",
            "",
            *(f"- {line}" for line in _objections(measured)),
            "",
        ]
    )
