"""The demo's main job, once both servers answer: retrain, the job list, the report page."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from facegraft.adapters.tracking import experiment_url
from facegraft.core.project import Project
from facegraft.stages.swap import finished_below
from facegraft.stages.swap_queue import list_folder
from flows.report import write_report
from flows.retrain import retrain
from flows.swap_queue import DEFAULT_LIST, swap_queue


def road(project: Project) -> bool:
    """Run both flows in this process; True if both completed."""
    _heading("2/3 retrain: data, validation, training, evaluation, promotion")
    trained = retrain("demo", return_state=True)
    if not trained.is_completed():
        print(f"demo: retrain stopped: {trained.message}", file=sys.stderr)
        return False
    _heading(f"3/3 swap-queue: the pairs of {DEFAULT_LIST}, each fine-tuned until it passes")
    swapped = swap_queue(DEFAULT_LIST, limit=None, return_state=True)
    _where_to_look(project, list_folder(project, project.root / DEFAULT_LIST))
    if not swapped.is_completed():
        print(f"demo: swap-queue stopped: {swapped.message}", file=sys.stderr)
    return bool(swapped.is_completed())


def _where_to_look(project: Project, swaps: Path) -> None:
    dashboard = f"{os.environ['PREFECT_API_URL'].removesuffix('/api')}/dashboard"
    experiment = experiment_url(project)
    links = {"MLflow experiment": experiment, "Prefect dashboard": dashboard}
    page = write_report(project, swaps, links, title="facegraft: the demo's report")
    _heading("where to look")
    print(f"report              {page}")
    print(f"data gate           {project.validation / 'index.html'}")
    print(f"data drift          {project.build / 'drift' / 'index.html'}")
    print(f"MLflow experiment   {experiment}")
    print(f"Prefect dashboard   {dashboard}")
    for result in finished_below(swaps):
        record = result.record
        pair = f"{record.source.given} on {record.target.given}"
        print(f"{record.verdict}  {pair}: {record.reason}; {result.image}")


def _heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    raise SystemExit(0 if road(Project(Path.cwd())) else 1)
