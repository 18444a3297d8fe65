"""The pages in a real browser: a picture's name is text there, whatever it holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from facegraft.adapters import store
from facegraft.core.params_file import load_params
from facegraft.core.progress import silent
from facegraft.core.project import Project
from facegraft.stages.import_pictures import Terms, import_pictures
from facegraft.stages.validate import ValidationFailed, validate
from tests.photographs import people

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCRIPT = "<script>window.ran=1</script>"
"""As a path: the folder `<script>window.ran=1<` with the file `script>`."""


def test_a_picture_called_script_is_shown_and_does_not_run(
    copy_project: Project, browser: Chrome, tmp_path: Path
) -> None:
    imported, gate = _import(copy_project, tmp_path / "faces"), _gate(copy_project)
    for page, names in ((imported, (f"{SCRIPT}1.pgm", f"{SCRIPT}bad.png")), (gate, (SCRIPT,))):
        browser.get(page.as_uri())
        shown = browser.execute_script("return document.body.innerText")
        assert all(name in shown for name in names), page
        assert browser.execute_script("return window.ran") is None, page
        assert not browser.execute_script("return document.scripts.length"), page
        assert _broken_pictures(browser) == 0
        if folder := os.environ.get("FACEGRAFT_SHOTS"):
            browser.save_screenshot(f"{folder}/{page.parent.name}.png")


def _import(project: Project, source: Path) -> Path:
    """The report of an import of one person by that name, with one file that is no picture."""
    identity = source / SCRIPT.split("/")[0]
    people(source, range(1, 2), range(1, 4))
    identity.mkdir()
    for picture in sorted((source / "s1").iterdir()):
        picture.rename(identity / f"{SCRIPT.split('/')[1]}{picture.name}")
    (source / "s1").rmdir()
    (identity / f"{SCRIPT.split('/')[1]}bad.png").write_bytes(b"no picture")
    terms = Terms("real_person", "the database's terms", "LicenseRef-ORL")
    params = load_params(project.params)
    report = import_pictures(project, params, source, terms, silent, album="odd")
    assert (report.count("new"), report.count("refused")) == (3, 1)
    return project.imports / "odd" / "index.html"


def _gate(project: Project) -> Path:
    """A red gate, for a picture of another name than its place."""
    manifest = store.read_manifest(project.data).copy()
    manifest.loc[0, "key"] = SCRIPT
    manifest.loc[0, "sha256"] = "0" * 64
    store.write_manifest(project.data, manifest)
    with pytest.raises(ValidationFailed):
        validate(project, load_params(project.params), silent)
    return project.validation / "index.html"


def _broken_pictures(browser: Chrome) -> int:
    return int(
        browser.execute_script(
            "return [...document.images].filter(i => i.src && !i.naturalWidth).length"
        )
    )
