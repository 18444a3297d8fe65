"""Runs in MLflow: the only place (with `registry.py`, `stored_version.py`) that talks to it.

The tracking URI is `MLFLOW_TRACKING_URI` where set, else the project's own SQLite file
`mlruns/mlflow.db`; never a file store, which MLflow 3 refuses. Artifacts are always addressed as
`mlflow-artifacts:/...`, which a server resolves below `mlruns/artifacts` and which this module
resolves to the same folder when there is no server. So one run can be written without a server
and read through one, and a checkout can be moved: no absolute path is ever stored.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse
from uuid import uuid4

from facegraft.core.atomic import replacing
from facegraft.core.errors import FacegraftError
from facegraft.core.project import Project

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from PIL.Image import Image

EXPERIMENT = "facegraft"
ARTIFACT_SCHEME = "mlflow-artifacts"
DEFAULT_SERVER = "http://127.0.0.1:5000"
"""Where `make serve` puts the MLflow server; links point here when no server is named."""

CLASSIC = "?workflowType=machine_learning"
"""Without it MLflow opens in its GenAI view, which shows no training metrics."""

BATCH = 100
"""Most params or tags that MLflow takes in one request."""

HEALTH_SECONDS = 10.0

DAMAGED = "; restore the file from a copy, or move it away to start an empty one"
NO_ROOM = "; make room on the disk"
NOT_WRITABLE = "; make the file and its folder writable"
MENDS = {
    "file is not a database": DAMAGED,
    "malformed": DAMAGED,
    "disk is full": NO_ROOM,
    "No space left": NO_ROOM,
    "Disk quota exceeded": NO_ROOM,
    "File too large": "; raise the limit for the size of a file",
    "disk I/O error": "; look at the disk's room, the limit for the size of a file, and the disk",
    "readonly database": NOT_WRITABLE,
    "unable to open database file": NOT_WRITABLE,
    "Read-only file system": NOT_WRITABLE,
    "Permission denied": NOT_WRITABLE,
    "database is locked": "; another program holds the file: end it, or wait",
}
"""Part of an error of SQLite or the system that MLflow hands on -> what to do."""

ADVICE = re.compile(r"\(raised as a result of Query-invoked autoflush[^)]*\)")

LOUD = (
    "alembic",
    "mlflow.store.db.utils",
    "mlflow.system_metrics.system_metrics_monitor",
)
"""They log, over many lines, what they raise too, or what the run's own next figure meets as well:
`one_line` reports it."""

SYSTEM_SECONDS = 10.0
"""Between two records of what the machine is doing; `MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL`
overrules it."""

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a run's description, in Markdown."""


KIND, FOLDER = "kind", "folder"
"""Tags of a run that is one at a time: of what kind, in which folder."""


class TrackingError(FacegraftError):
    """MLflow cannot be reached or refused; one line with the mend."""


@dataclass(frozen=True)
class Run:
    """One open MLflow run, written with an explicit run id (never MLflow's global state)."""

    project: Project
    id: str
    experiment_id: str
    artifact_uri: str

    @property
    def url(self) -> str:
        """The run's page in the MLflow server, in the classic view."""
        return f"{server_address()}/#/experiments/{self.experiment_id}/runs/{self.id}{CLASSIC}"

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """All of `metrics` at `step` in one request; call once per interval."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        batch = [Metric(name, float(value), now, step) for name, value in metrics.items()]
        with one_line():
            client(self.project).log_batch(self.id, metrics=batch)

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set or overwrite tags; values are stored as text."""
        from mlflow.entities import RunTag

        batch = [RunTag(name, str(value)) for name, value in tags.items()]
        with one_line():
            for start in range(0, len(batch), BATCH):
                client(self.project).log_batch(self.id, tags=batch[start : start + BATCH])

    def log_image(self, image: Image, path: str) -> None:
        """Store a picture as the artifact `path`, e.g. "samples/step-000200.png"."""
        target = PurePosixPath(path)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / target.name
            image.save(file)
            self.log_artifact(file, str(target.parent))

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Store one file, or a folder with all below it, under the artifact folder `folder`."""
        inside = None if folder in ("", ".") else folder
        with one_line():
            repository = artifacts(self.project, self.artifact_uri)
            if path.is_dir():
                repository.log_artifacts(str(path), inside)
            else:
                repository.log_artifact(str(path), inside)


@contextmanager
def open_run(
    project: Project,
    *,
    run_name: str,
    experiment: str = EXPERIMENT,
    run_id: str | None = None,
    tags: Mapping[str, object] | None = None,
    params: Mapping[str, Any] | None = None,
    system_metrics: bool = False,
    exclusive_kind: str | None = None,
) -> Iterator[Run]:
    """Start a run, or go on with `run_id` where MLflow still knows it.

    The run ends FINISHED; FAILED when the block raises; KILLED on Ctrl-C or SIGTERM (turned into
    `SystemExit(143)` while the block runs, so that the run does not stay RUNNING). A resumed run
    keeps the params it was started with.

    Args:
        tags: stored as text, beside what `environment` says.
        params: any nesting of mappings, e.g. `params.model_dump(by_alias=True)`; stored flat
            under dotted names.
        system_metrics: also log what the machine is doing, every `SYSTEM_SECONDS`.
        exclusive_kind: a kind of run of which there is one at a time in this folder, by a lock that
            the caller holds. Others of it that are still RUNNING are of killed processes: they end
            KILLED.

    Raises:
        TrackingError: MLflow cannot be reached or refuses; one line.
    """
    with one_line():
        experiment_id = _experiment_id(project, experiment)
        kind = {} if exclusive_kind is None else {KIND: exclusive_kind, FOLDER: _folder_id(project)}
        _close_dead(project, experiment_id, kind, run_id)
        run = _resume(project, run_id) or _create(project, experiment_id, run_name, kind)
        _log_params(project, run.id, flatten(params or {}))
    run.set_tags({**environment(), **(tags or {})})
    try:
        with _sigterm_as_exit(), _watched(run) if system_metrics else nullcontext():
            yield run
    except BaseException as error:
        status = "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"
        with suppress(TrackingError):  # the block's own error is raised, not what followed from it
            _end(run, status)
        raise
    _end(run, "FINISHED")


def _end(run: Run, status: str) -> None:
    with one_line():
        client(run.project).set_terminated(run.id, status)


@contextmanager
def _watched(run: Run) -> Iterator[None]:
    """Processor, memory, disk, network and GPU as metrics `system/...` while the block runs."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(
        run.id,
        sampling_interval=SYSTEM_SECONDS,
        resume_logging=True,
        tracking_uri=tracking_uri(run.project),
    )
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def environment() -> dict[str, str]:
    """What a run's figures were made on: versions, platform, cores."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": str(os.cpu_count()),
        **{name: version(name) for name in ("facegraft", "torch", "numpy")},
    }


def find_run(project: Project, run_id: str | None) -> Run | None:
    """The run as it stands, its status untouched; None where MLflow does not hold it."""
    if run_id is None:
        return None
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

    with one_line():
        _check_server(tracking_uri(project))
        try:
            info = client(project).get_run(run_id).info
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                raise
            return None
    if info.lifecycle_stage == "deleted":
        return None
    return Run(project, run_id, info.experiment_id, info.artifact_uri)


def tracking_uri(project: Project) -> str:
    """`MLFLOW_TRACKING_URI`, or SQLite in the project's `mlruns/`.

    Raises:
        TrackingError: the variable names a file store, which MLflow 3 refuses; or the database
            cannot be opened, which MLflow would try for two minutes, or lies below a `?`.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not named:
        database = database_file(project)
        project.mlruns.mkdir(parents=True, exist_ok=True)
        readable = database.is_file() and os.access(database, os.R_OK)
        if not readable and (database.exists() or not os.access(database.parent, os.W_OK)):
            raise TrackingError(f"{database}: cannot be opened; make it a file that you may write")
        return f"sqlite:///{database}"
    if urlparse(named).scheme in ("", "file"):
        raise TrackingError(
            f"MLFLOW_TRACKING_URI={named}: a folder cannot be used; unset it, or name a server"
            f" such as {DEFAULT_SERVER}"
        )
    return named.rstrip("/")


def database_file(project: Project) -> Path:
    """MLflow's own database in the project.

    Raises:
        TrackingError: its path holds a `?`, at which SQLAlchemy ends a path: the database would be
            made outside of the project.
    """
    database = project.mlruns.resolve() / "mlflow.db"
    if "?" in str(database):
        raise TrackingError(
            f"{project.root.resolve()}: a database cannot be made below a folder with ? in its"
            " name; rename it"
        )
    return database


def server_address() -> str:
    """Address of the MLflow server for links: the one in use, else where `make serve` puts it."""
    named = os.environ.get("MLFLOW_TRACKING_URI", "").strip().rstrip("/")
    return named if named.startswith(("http://", "https://")) else DEFAULT_SERVER


def experiment_url(project: Project, experiment: str = EXPERIMENT) -> str:
    """The experiment's page, in the classic view."""
    with one_line():
        number = _experiment_id(project, experiment)
    return f"{server_address()}/#/experiments/{number}/runs{CLASSIC}"


def client(project: Project) -> MlflowClient:
    """A client bound to the project's tracking URI; no global state, telemetry off.

    Raises:
        TrackingError: the server named by `MLFLOW_TRACKING_URI` does not answer.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    from mlflow import MlflowClient

    uri = tracking_uri(project)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def artifacts(project: Project, uri: str) -> ArtifactRepository:
    """The artifact store behind `uri`: through the server, or the same folder without one.

    Raises:
        TrackingError: `uri` leads out of the project's artifacts.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    tracking = tracking_uri(project)
    parsed = urlparse(uri)
    folder = artifact_folder(project) / parsed.path.lstrip("/")
    ours = folder.resolve().is_relative_to(artifact_folder(project).resolve())
    climbs = ".." in PurePosixPath(unquote(parsed.path)).parts
    if parsed.scheme != ARTIFACT_SCHEME or parsed.netloc or climbs or not ours:
        raise TrackingError(
            f"artifacts at {uri} lie outside of the project, which neither reads nor writes there;"
            f" delete that version, run or experiment in MLflow: ours is {ARTIFACT_SCHEME}:/..."
        )
    if not tracking.startswith("http"):
        folder.mkdir(parents=True, exist_ok=True)
        return LocalArtifactRepository(folder.resolve().as_uri())
    return get_artifact_repository(uri, tracking_uri=tracking, registry_uri=tracking)


def artifact_folder(project: Project) -> Path:
    """Where all artifacts of this project lie."""
    return project.mlruns / "artifacts"


def artifacts_destination(project: Project) -> str:
    """The same for `mlflow server`, which takes a bare path with %20 in it for one with a space."""
    return artifact_folder(project).resolve().as_uri()


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested mappings as dotted names: {"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


@contextmanager
def one_line() -> Iterator[None]:
    """MLflow's, its database's and the network's errors become one `TrackingError` line."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError) as error:
        reason = _reason(error)
        mend = next((mend for sign, mend in MENDS.items() if sign in reason), "")
        raise TrackingError(f"MLflow at {_where()}: {reason}{mend}") from error


def _reason(error: Exception) -> str:
    """The error without what SQLAlchemy adds (the statement, a link, advice), and the first file's
    of all that a download names."""
    message = ADVICE.sub("", str(error).partition("[SQL:")[0])
    head, *files = message.split("##### File ")
    return " ".join((files[0].replace("#####", ":") if files else head).split())


def _where() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or "mlruns/mlflow.db"


def _check_server(uri: str) -> None:
    """MLflow's own client retries for minutes; a server that is not there should say so at once."""
    if not uri.startswith("http"):
        return
    import requests

    try:
        requests.get(f"{uri}/health", timeout=HEALTH_SECONDS).raise_for_status()
    except requests.RequestException as error:
        raise TrackingError(
            f"MLFLOW_TRACKING_URI={uri}: no MLflow server answers there; start one with"
            " `make serve`, or unset the variable to use mlruns/mlflow.db"
        ) from error


def _experiment_id(project: Project, name: str) -> str:
    _check_server(tracking_uri(project))
    mlflow_client = client(project)
    found = mlflow_client.get_experiment_by_name(name)
    if found is None:
        return mlflow_client.create_experiment(name, artifact_location=f"{ARTIFACT_SCHEME}:/{name}")
    if found.lifecycle_stage == "deleted":
        mlflow_client.restore_experiment(found.experiment_id)
    return found.experiment_id


def _create(project: Project, experiment_id: str, name: str, tags: Mapping[str, object]) -> Run:
    info = client(project).create_run(experiment_id, run_name=name, tags=dict(tags)).info
    return Run(project, info.run_id, experiment_id, info.artifact_uri)


def _resume(project: Project, run_id: str | None) -> Run | None:
    """The run to go on with, or None where MLflow no longer holds it (e.g. `mlruns/` is new)."""
    run = find_run(project, run_id)
    if run is not None:
        client(project).update_run(run.id, status="RUNNING")
    return run


def _close_dead(
    project: Project, experiment_id: str, kind: Mapping[str, str], but: str | None
) -> None:
    """End what killed processes left RUNNING of a kind that is one at a time, bar one run."""
    if not kind:
        return
    signs = ["attributes.status = 'RUNNING'", *(f"tags.{k} = '{v}'" for k, v in kind.items())]
    for run in client(project).search_runs([experiment_id], " and ".join(signs)):
        if run.info.run_id != but:
            client(project).set_terminated(run.info.run_id, "KILLED")


def _folder_id(project: Project) -> str:
    """Tells this folder's runs from those of others that write to the same server."""
    path = project.mlruns / "folder-id"
    if not path.exists():
        with replacing(path) as temporary:
            temporary.write_text(uuid4().hex + "\n", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


def _log_params(project: Project, run_id: str, params: Mapping[str, object]) -> None:
    from mlflow.entities import Param

    held = client(project).get_run(run_id).data.params
    batch = [Param(name, str(value)) for name, value in params.items() if name not in held]
    for start in range(0, len(batch), BATCH):
        client(project).log_batch(run_id, params=batch[start : start + BATCH])


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """SIGTERM unwinds the block instead of ending the process under an open run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
