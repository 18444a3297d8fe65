"""The command line: `facegraft STAGE`. Every error that a user can mend is one line."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple

from facegraft.adapters.store import SUBJECT_KINDS
from facegraft.core.config import SECTIONS, Params
from facegraft.core.errors import FacegraftError
from facegraft.core.params_file import load_params
from facegraft.core.progress import Progress, console
from facegraft.core.project import Project


class Ending(NamedTuple):
    """The last text that a command prints, and its exit code."""

    text: str
    code: int = 0


Command = Callable[[Project, Params, Progress, argparse.Namespace], str | Ending]
Add = Callable[[str, Command, str], argparse.ArgumentParser]
"""Adds the parser of a command: its name, what it runs, its help."""

DID_NOT_PASS = 3
"""Exit code where all was tried and something did not pass: a swap FAILs, a gate refuses."""

MENDS = {
    errno.ENOSPC: "free some space and run again",
    errno.EDQUOT: "free some space and run again",
    errno.EFBIG: "raise the limit for the size of a file and run again",
    errno.EROFS: "make it writable and run again",
    errno.EACCES: "check the rights and run again",
    errno.EPERM: "check the rights and run again",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Returns:
        0 on success, 1 on a mendable error, 2 on bad usage, `DID_NOT_PASS` on a refusal.
    """
    for stream in (sys.stdout, sys.stderr):  # a file's name may hold what they cannot print
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    options = _parser().parse_args(arguments)
    try:
        project = Project(options.project)
        params = load_params(project.params)
        with console(options.command) as report:
            ending = options.run(project, params, report, options)
        text, code = (ending, 0) if isinstance(ending, str) else ending
        if os.environ.get("RANK", "0") == "0":  # of the processes of a torchrun, one prints
            print(text, flush=True)
    except (FacegraftError, OSError) as error:
        print(f"facegraft {options.command}: {_one_line(error)}", file=sys.stderr)
        return 1
    return code


def _one_line(error: Exception) -> str:
    """The error with its file and mend: ours have them, the system's get them."""
    if not isinstance(error, OSError) or error.strerror is None:
        return " ".join(str(error).splitlines()) or type(error).__name__
    parts = [str(part) for part in (error.filename, error.filename2, error.strerror) if part]
    mend = MENDS.get(error.errno or 0, "mend that and run again")
    return f"{': '.join(parts)}; {mend}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facegraft", description="Transplant facial identity onto game virtual characters."
    )
    parser.add_argument(
        "--project", type=Path, default=Path(), help="folder that holds params.yaml (default: .)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    for add_command in (  # in the order of `facegraft --help`
        *(_add_data, _add_import, _add_validate, _add_drift, _add_train, _add_evaluate),
        *(_add_benchmark, _add_promote, _add_base, _add_params, _add_rollback),
        *(_add_swap, _add_swap_queue),
    ):
        add_command(add)
    return parser


def _add_data(add: Add) -> None:
    parser = add("data", _data, "fetch or render the dataset and record its version")
    parser.add_argument(
        "--rerender",
        action="store_true",
        help="draw the characters anew, e.g. after a facegraft update; imported pictures stay",
    )


def _data(project: Project, params: Params, report: Progress, options: argparse.Namespace) -> str:
    from facegraft.stages.data import data

    version = data(project, params, report, rerender=options.rerender)
    return f"data {version.md5}: {version.images} images, {version.source}"


def _add_import(add: Add) -> None:
    parser = add(
        "import", _import, "take pictures of your own into the dataset: find, align, store faces"
    )
    parser.add_argument(
        "source",
        type=Path,
        help="a folder that holds a folder per identity, or a CSV or Parquet table with the "
        "columns file, identity and, if known, landmarks (10 numbers)",
    )
    parser.add_argument("--kind", required=True, choices=SUBJECT_KINDS, help="who is shown")
    parser.add_argument("--consent", help="reference to the consent; needed for real_person")
    parser.add_argument("--licence", default="NOASSERTION", help="SPDX id of the pictures")
    parser.add_argument("--album", help="name of the set (default: the source's)")
    parser.add_argument(
        "--anew", action="store_true", help="make the album exactly what the source holds now"
    )


def _import(project: Project, params: Params, report: Progress, options: argparse.Namespace) -> str:
    from facegraft.stages.import_pictures import Terms, import_pictures

    terms = Terms(options.kind, options.consent, options.licence)
    outcome = import_pictures(
        project, params, options.source, terms, report, album=options.album, anew=options.anew
    )
    return f"{outcome.table()}\nreport: {project.imports / outcome.album}"


def _add_validate(add: Add) -> None:
    add("validate", _validate, "run the data gate; its page is build/validation/index.html")


def _validate(project: Project, params: Params, report: Progress, _: argparse.Namespace) -> str:
    from facegraft.stages.validate import validate

    validate(project, params, report)
    return f"the data passes; see {project.validation / 'index.html'}"


def _add_drift(add: Add) -> None:
    parser = add("drift", _drift, "compare the data with what the champion was trained on")
    parser.add_argument(
        "--accept", metavar="VERSION", help="this data version's drift was looked at and is meant"
    )
    parser.add_argument("--why", metavar="TEXT", default="", help="the reason, with --accept")


def _drift(project: Project, params: Params, report: Progress, options: argparse.Namespace) -> str:
    from facegraft.stages.drift import accept, drift

    if options.accept is not None:
        accept(project, options.accept, options.why)
    return drift(project, params, report).reason


def _add_train(add: Add) -> None:
    add("train", _train, "train encoder and decoder; goes on where it was interrupted")


def _train(project: Project, params: Params, report: Progress, _: argparse.Namespace) -> str:
    from facegraft.stages.train import train

    outcome = train(project, params, report)
    figures = " ".join(f"{name}={value:.4f}" for name, value in outcome.losses.items())
    return f"trained {outcome.steps} steps, stopped by {outcome.stopped}: {figures}"


def _add_evaluate(add: Add) -> None:
    add("evaluate", _evaluate, "benchmark the trained model and calibrate its thresholds")


def _evaluate(project: Project, params: Params, report: Progress, _: argparse.Namespace) -> str:
    from facegraft.evaluation.tables import as_text, metric_table
    from facegraft.stages.evaluate import evaluate

    return as_text(metric_table(evaluate(project, params, report)))


def _add_benchmark(add: Add) -> None:
    parser = add(
        "benchmark", _benchmark, "measure a model on the standing benchmark, on its own characters"
    )
    parser.add_argument(
        "model", help="`base`, a folder of a model, or a version or alias of the registry"
    )
    parser.add_argument("--out", type=Path, help="folder of the results (build/benchmark/MODEL)")
    parser.add_argument("--pairs", type=int, help="the first so many pairs only")
    parser.add_argument("--resamples", type=int, help="for the 95 %% intervals")


def _benchmark(
    project: Project, params: Params, report: Progress, options: argparse.Namespace
) -> str:
    from facegraft.stages.benchmark import benchmark

    outcome = benchmark(
        project,
        params,
        options.model,
        report,
        out=options.out,
        pairs=options.pairs,
        resamples=options.resamples,
    )
    return f"{outcome.text}\nresults: {outcome.folder}"


def _add_promote(add: Add) -> None:
    add("promote", _promote, "register the model; champion if the gate lets it, else exits with 3")


def _promote(project: Project, params: Params, report: Progress, _: argparse.Namespace) -> Ending:
    from facegraft.stages.promote import promote

    decision = promote(project, params, report)
    verdict = "unchanged" if decision.unchanged else "promoted" if decision.promote else "refused"
    text = f"{verdict}: {'; '.join(decision.reasons)}"
    return Ending(text, DID_NOT_PASS if verdict == "refused" else 0)


def _add_base(add: Add) -> None:
    parser = add(
        "base", _base, "make the shipped base weights anew; exits with 3 if they are no better"
    )
    parser.add_argument("--minutes", type=float, help="stop training in time, weights written")
    parser.add_argument(
        "--pack",
        type=Path,
        metavar="FOLDER",
        help="instead write a folder that makes them elsewhere: `python FOLDER --minutes N` needs "
        "torch, numpy, pandas, pyarrow, pillow, pydantic, pyyaml, safetensors, tqdm and OpenCV",
    )
    parser.add_argument(
        "--from", dest="made", type=Path, metavar="FOLDER", help="judge what a pack has made"
    )


def _base(
    project: Project, params: Params, report: Progress, options: argparse.Namespace
) -> str | Ending:
    from facegraft.method.base_model import BASE
    from facegraft.stages.base import base, pack_base

    if options.pack is not None:
        pack_base(project, params, options.pack, report)
        return f"packed: python {options.pack} --minutes N"
    outcome = base(project, params, report, minutes=options.minutes, made=options.made)
    if outcome.decision is None:
        return f"{outcome.steps} of {outcome.wanted} steps, weights written; run again to go on"
    verdict = f"shipped in {BASE}" if outcome.decision.promote else "not shipped"
    text = f"{verdict}: {'; '.join(outcome.decision.reasons)}"
    return Ending(text, 0 if outcome.decision.promote else DID_NOT_PASS)


def _add_params(add: Add) -> None:
    parser = add("params", _params, "print every knob: in use, default, bounds, meaning")
    parser.add_argument("section", nargs="?", choices=SECTIONS, help="of this section alone")


def _params(project: Project, params: Params, _: Progress, options: argparse.Namespace) -> str:
    from facegraft.stages.params import table

    return table(params, options.section)


def _add_rollback(add: Add) -> None:
    add("rollback", _rollback, "give the alias champion back to the version before")


def _rollback(project: Project, params: Params, report: Progress, _: argparse.Namespace) -> str:
    from facegraft.stages.rollback import rollback

    return str(rollback(project, params, report))


def _add_swap(add: Add) -> None:
    parser = add(
        "swap",
        _swap,
        "swap one pair with the champion, fine-tuned until it passes; exits with 3 if it does not",
    )
    parser.add_argument("source", help="whose face: a picture file or an image key of the dataset")
    parser.add_argument("target", help="who gets it: a picture file or an image key of the dataset")
    parser.add_argument(
        "--only", nargs="+", metavar="PART", help="identity parts to take, e.g. eyes nose"
    )
    parser.add_argument("--detail", type=float, help="share of the source's detail shown, 0 to 1")
    parser.add_argument("--shape", type=float, help="share of the source's shape taken, 0 to 1")
    parser.add_argument("--force", action="store_true", help="swap again even if it was done")
    parser.add_argument(
        "--model",
        default="champion",
        help="version or alias of the registry, e.g. one that was not promoted (default: champion)",
    )


def _swap(
    project: Project, params: Params, report: Progress, options: argparse.Namespace
) -> Ending:
    from facegraft.stages.swap import swap

    result = swap(
        project,
        params,
        options.source,
        options.target,
        report,
        transplant=options.only,
        detail=options.detail,
        shape=options.shape,
        force=options.force,
        reference=options.model,
    )
    verdict = result.record.verdict
    text = f"{verdict} {result.image}: {result.record.reason}"
    return Ending(text, DID_NOT_PASS if verdict == "FAIL" else 0)


def _add_swap_queue(add: Add) -> None:
    parser = add(
        "swap-queue",
        _swap_queue,
        "swap the pending pairs of a job list; exits with 0 if all of the list's pairs passed, "
        "3 if some failed, 1 if some could not be tried",
    )
    parser.add_argument(
        "jobs",
        type=Path,
        help="CSV or Parquet with the columns source, target and, if wanted, job and transplant; "
        "relative paths start at its folder",
    )
    parser.add_argument("--limit", type=int, help="at most this many pairs")


def _swap_queue(
    project: Project, params: Params, report: Progress, options: argparse.Namespace
) -> Ending:
    from facegraft.stages.swap_queue import swap_queue

    outcome = swap_queue(project, params, options.jobs, report, limit=options.limit)
    lines = [f"{one.record.verdict} {one.image}: {one.record.reason}" for one in outcome.done]
    lines += [f"ERROR {one.job}: {one.message}" for one in outcome.failed]
    lines.append(
        f"{len(outcome.done)} done, {len(outcome.failed)} could not be tried, "
        f"{len(outcome.before)} done before, {outcome.pending} pending"
    )
    verdicts = {one.record.verdict for one in (*outcome.before, *outcome.done)}
    code = 1 if outcome.failed else DID_NOT_PASS if "FAIL" in verdicts else 0
    return Ending("\n".join(lines), code)


if __name__ == "__main__":
    raise SystemExit(main())
