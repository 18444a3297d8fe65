"""Stage `data`: have data/ on disk in the version that data.dvc records, or render it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from filelock import FileLock

from facegraft.adapters import albums, lineage, store
from facegraft.adapters.lineage import UNKNOWN, LineageError
from facegraft.adapters.store import DataError
from facegraft.core.atomic import replacing
from facegraft.core.config import Params
from facegraft.core.progress import Progress
from facegraft.core.project import Project
from facegraft.stages.rendering import MARKER, recipe_digest, render_dataset, rendering_recipe

Source = Literal["cached", "pulled", "rendered"]


@dataclass(frozen=True)
class DataVersion:
    """The dataset in use.

    Attributes:
        md5: DVC's version of what lies in data/.
        images: rows of the manifest.
        source: "cached": it was there, or in DVC's local cache; "pulled": from the remote;
            "rendered": drawn just now.
        recorded: whether data.dvc names this version.
    """

    md5: str
    images: int
    source: Source
    recorded: bool


def data(
    project: Project, params: Params, report: Progress, *, rerender: bool = False
) -> DataVersion:
    """Make sure that data/ can be used, and say which version it is.

    In this order: data/ as it is, if it matches data.dvc and `params.data`; the version in
    data.dvc from DVC's local cache or its remote; a fresh rendering beside the albums of imported
    pictures, recorded with DVC unless data.dvc names a rendering of the same recipe already. A
    data/ that this stage did not make is used as it is, and no unrecorded change to data/ is ever
    lost.

    Args:
        rerender: draw the dataset anew even if data/ is in order.

    Raises:
        DataError: data/ is unusable, holds changes that a rendering would lose, or the remote
            cannot deliver.
    """
    project.build.mkdir(parents=True, exist_ok=True)
    with FileLock(project.build / "data.lock"):
        source = _ensure(project, params, report, rerender=rerender)
        version = lineage.folder_md5(project.data)
        _note_version(project, version)
        _note_params(project, params)
        return DataVersion(
            md5=version,
            images=len(store.read_manifest(project.data, ("key",))),
            source=source,
            recorded=version == lineage.data_version(project.root),
        )


def _ensure(project: Project, params: Params, report: Progress, *, rerender: bool) -> Source:
    present = project.data.exists() and any(project.data.iterdir())
    if rerender:
        return _render(project, params, report)
    return (_use if present else _fetch)(project, params, report)


def _use(project: Project, params: Params, report: Progress) -> Source:
    """data/ is there: keep it, bring it to the recorded version, or render for new params."""
    version = lineage.folder_md5(project.data)
    recorded = lineage.data_version(project.root)
    made_with = _made_with(project.data)
    if made_with is not None and made_with != rendering_recipe(params.data):
        return _render(project, params, report)
    if version == recorded:
        return "cached"
    if version == _last_rendered(project):
        _record_rendering(project, params, report)
    elif recorded == UNKNOWN:
        record(project, report)
    elif made_with is not None and lineage.is_cached(project.root, version):
        # An older version, kept by DVC: data.dvc has moved on, e.g. by `git pull`.
        return _fetch(project, params, report)
    else:
        report(0, 1, "data/ differs from data.dvc: used as it is; `dvc add data` records it")
    return "cached"


def _fetch(project: Project, params: Params, report: Progress) -> Source:
    """data/ is absent or of another version: DVC's cache, its remote, else render."""
    recorded = lineage.data_version(project.root)
    if recorded == UNKNOWN:
        return _render(project, params, report)
    if lineage.is_cached(project.root, recorded):
        report(0, 1, f"checking out data version {recorded}")
        source: Source = "cached"
        _through_dvc(lineage.dvc_checkout, project)
    elif lineage.has_remote(project.root):
        report(0, 1, f"pulling data version {recorded}")
        source = "pulled"
        _through_dvc(lineage.dvc_pull, project)
    else:
        return _render(project, params, report)
    if _made_with(project.data) in (None, rendering_recipe(params.data)):
        return source
    return _render(project, params, report)


def _render(project: Project, params: Params, report: Progress) -> Source:
    """Draw beside data/, then take its place in one step, then record."""
    _refuse_to_lose(project)
    drawn = project.build / "rendering"
    render_dataset(drawn, params.data, report, params.runtime.threads)
    albums.carry_over(project.data, drawn)
    with replacing(_rendered_note(project)) as temporary:
        temporary.write_text(json.dumps({"md5": lineage.folder_md5(drawn)}), encoding="utf-8")
    replaced = project.build / "replaced-data"
    shutil.rmtree(replaced, ignore_errors=True)
    if project.data.exists():
        project.data.rename(replaced)
    drawn.rename(project.data)
    shutil.rmtree(replaced, ignore_errors=True)
    _record_rendering(project, params, report)
    return "rendered"


def _refuse_to_lose(project: Project) -> None:
    """A rendering replaces data/ only where its content is the stage's own or kept by DVC."""
    if not project.data.exists() or not any(project.data.iterdir()):
        return
    version = lineage.folder_md5(project.data)
    kept = lineage.is_cached(project.root, version) or version == _last_rendered(project)
    if _made_with(project.data) is None or not kept:
        raise DataError(
            f"{project.data}: holds files that DVC does not keep, and rendering would replace "
            "them; run `dvc add data` or move the folder away"
        )


def _record_rendering(project: Project, params: Params, report: Progress) -> None:
    """Record what was drawn, unless data.dvc names a rendering of the same recipe.

    Then this processor rounded otherwise, and a file under git would change for nothing.
    """
    root, digest, drawn = project.root, recipe_digest(params.data), lineage.folder_md5(project.data)
    imported = bool(albums.album_names(project.data))
    same = lineage.recorded_recipe(root) == digest and not imported
    recorded = lineage.data_version(root)
    if same and drawn != recorded:
        report(1, 1, f"data.dvc stays at {recorded}: what was drawn differs by rounding alone")
        return
    record(project, report)
    if not same and not imported and lineage.data_version(root) == drawn:
        lineage.note_recipe(root, digest)


def _note_version(project: Project, version: str) -> None:
    """What lies in data/, for the stages of dvc.yaml and for what is stamped with it."""
    with replacing(project.data_version) as temporary:
        temporary.write_text(json.dumps({"md5": version}) + "\n", encoding="utf-8")
    lineage.note_data_in_use(project.root, version)


def _note_params(project: Project, params: Params) -> None:
    """What dvc.yaml's stages depend on: params.yaml need not name a section, and a default that
    moved with the code is a change as much as one in params.yaml."""
    with replacing(project.params_in_use) as temporary:
        text = yaml.safe_dump(params.model_dump(by_alias=True, mode="json"), sort_keys=False)
        temporary.write_text(text, encoding="utf-8")


def record(project: Project, report: Progress) -> None:
    """Record data/ in data.dvc; without DVC or git the road goes on, and says so."""
    report(0, 1, "recording data/ with DVC")
    try:
        lineage.dvc_add(project.root)
    except LineageError as error:
        report(1, 1, f"data/ is not recorded: {error}")
    else:
        report(1, 1, f"recorded data version {lineage.data_version(project.root)}")


def _through_dvc(verb: Callable[[Path], None], project: Project) -> None:
    try:
        verb(project.root)
    except LineageError as error:
        raise DataError(
            f"{project.root / 'data.dvc'}: {error}, or remove data.dvc to render the default set"
        ) from error


def _made_with(folder: Path) -> object:
    """The params that the stage left in the folder, or None: somebody else made it."""
    try:
        return json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(
            f"{folder / MARKER}: no JSON; delete it to keep data/ as it is, or delete data/"
        ) from error


def _last_rendered(project: Project) -> str:
    """The version that this stage drew last, perhaps killed before it could record it."""
    try:
        note = json.loads(_rendered_note(project).read_text(encoding="utf-8"))
        return str(note["md5"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return UNKNOWN


def _rendered_note(project: Project) -> Path:
    return project.build / "rendered.json"
