"""Both designs of the model under one budget, and what the independent judge says of each.

Run: python -m benchmarks.designs [--project DIR] [--steps N] [--teach N] [--pairs N]. Trains each
from scratch on the project's data with params.yaml's seed, batches and losses, and measures it on
the held-out pairs. Prints a table and writes it with a sheet of swaps to build/designs. A
design that is there already, for the same budget, is not trained again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from facegraft.adapters.judge import Judge
from facegraft.core.atomic import replacing
from facegraft.core.config import Params
from facegraft.core.params_file import load_params
from facegraft.core.progress import Progress, console
from facegraft.core.project import Project
from facegraft.evaluation.benchmark import (
    draw_heldout_pairs,
    judged_by,
    mean_metrics,
    measure_pairs,
)
from facegraft.evaluation.costs import parameters
from facegraft.evaluation.sheets import swap_sheet
from facegraft.method.checkpoint import load_model, save_model
from facegraft.method.model import Model, ModelConfig
from facegraft.stages.benchmarking.galleries import gallery
from facegraft.stages.landmarks import read_split
from facegraft.training.loop import train
from facegraft.training.state import init_state

DESIGNS: dict[str, dict[str, object]] = {"drawing": {}, "vector_only": {"vector_only": True}}
"""Design -> params.train that differ. drawing: with both faces' pixels, the default; vector_only:
painted from 18 vectors, the patent's literal embodiment."""

METRICS = (
    "psnr_changed", "ssim_face", "judge_similarity_source", "judge_similarity_target",
    "judge_closer_to_source", "judge_retrieval_top1", "judge_retrieval_top5", "identity_loss",
)  # fmt: skip

SHEET_PAIRS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path(), help="folder that holds data/")
    parser.add_argument("--steps", type=int, default=600, help="of which --teach come first")
    parser.add_argument("--teach", type=int, default=300, help="steps of the encoder alone")
    parser.add_argument("--pairs", type=int, default=128, help="held-out pairs")
    options = parser.parse_args()
    project, params = Project(options.project), load_params(Path("params.yaml"))
    params = _budget(params, options.steps, options.teach)
    judge = Judge()
    with console("designs") as report:
        held_out = read_split(project, "test", report)
        pairs = draw_heldout_pairs(held_out, options.pairs, params.evaluate.seed)
        known = gallery(project, held_out, "judge", judge.embed, report)
        judged = judged_by(known, judge.embed)
        table = {}
        for name in DESIGNS:
            model, seconds = trained(project, params, name, report)
            figures = mean_metrics(measure_pairs(model, held_out, pairs, [judged], report))
            table[name] = {**figures, "seconds": seconds, "parameters": parameters(model)}
            with replacing(_folder(project, params, name) / "pairs.png") as path:
                swap_sheet(model, held_out, pairs[:SHEET_PAIRS]).save(path)
    text = as_markdown(table)
    print(text)
    with replacing(project.build / "designs" / "table.md") as path:
        path.write_text(text, encoding="utf-8")


def _budget(params: Params, steps: int, teach: int) -> Params:
    """The base weights' batches and rate, shortened: warm-up and average in proportion."""
    recipe = params.base.model_dump(exclude={"grids"}) | {
        "steps": steps,
        "teach_steps": teach,
        "freeze_convolutions": False,
        "warmup_steps": steps // 20,
        "ema_decay": 0.99,
        "init": "scratch",
    }
    return params.model_copy(update={"train": params.train.model_copy(update=recipe)})


def trained(project: Project, params: Params, name: str, report: Progress) -> tuple[Model, float]:
    """A design's averaged model and the seconds that its training took."""
    folder = _folder(project, params, name)
    note = folder / "note.json"
    if not note.exists():
        section = params.train.model_copy(update=DESIGNS[name])
        grids = read_split(project, "train", report)
        state = init_state(section, ModelConfig.from_params(section, grids), grids[0])
        started = time.perf_counter()
        for step in train(state, grids, section):
            report(step.step, section.steps, name)
        save_model(state.ema, folder)
        with replacing(note) as path:
            path.write_text(json.dumps({"seconds": time.perf_counter() - started}))
    return load_model(folder), float(json.loads(note.read_text())["seconds"])


def _folder(project: Project, params: Params, name: str) -> Path:
    section = params.train
    return project.build / "designs" / f"{name}-{section.teach_steps}-of-{section.steps}"


def as_markdown(table: dict[str, dict[str, float]]) -> str:
    """Designs as columns, the true swap and the copied target beside them."""
    any_design = next(iter(table.values()))
    lines = [
        f"| metric | {' | '.join(table)} | true_swap | copy_target |",
        f"|---|{'---:|' * (len(table) + 2)}",
    ]
    for metric in METRICS:
        cells = [figures.get(f"model/{metric}") for figures in table.values()]
        cells += [any_design.get(f"{row}/{metric}") for row in ("true_swap", "copy_target")]
        shown = ("-" if cell is None else f"{cell:.3f}" for cell in cells)
        lines.append(f"| {metric} | {' | '.join(shown)} |")
    for metric, form in (("seconds", "{:.0f}"), ("parameters", "{:,}")):
        shown = (form.format(figures[metric]) for figures in table.values())
        lines.append(f"| {metric} | {' | '.join(shown)} | - | - |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
