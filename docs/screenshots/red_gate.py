"""Take the pictures of a gate that stopped a `retrain` flow: the run's page, and the gate's.

Run in the repository: PYTHONPATH=. python docs/screenshots/red_gate.py. In a temporary folder it
renders a small dataset, puts copies of training pictures into the test split and spoils some
others, starts real servers on free ports, lets `retrain` run from its deployment, and follows the
link that the failed run leaves. Needs chromium and chromium-driver; some minutes.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image, ImageFilter
from selenium.webdriver import Chrome
from take import CLOSE_ASSISTANT, FOLDER, SECONDS, browser, shrink

from facegraft.adapters import store
from facegraft.core.params_file import load_params
from facegraft.core.progress import console
from facegraft.core.project import Project
from facegraft.stages.data import data
from tests.live_servers import Live, start
from tests.tiny_pipeline import new_project

SIZES = {
    "size": 128,
    "supersample": 2,
    "identities": 4,
    "attributes": 4,
    "mixes": 0,
    "grids": {"train": 3, "validation": 1, "test": 1},
}
MINUTES = 20
WIDTH, HEIGHT = 1100, 1560


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        project = new_project(Path(temporary) / "project")
        set_sizes(project)
        with console("data") as report:
            data(project, load_params(project.params), report)
        spoil(project)
        record(project)
        with start(project) as live:
            run = live.trigger("retrain", {"reason": "new pictures"}).json()["id"]
            ended = live.finish(run, MINUTES * 60)
            print(f"{ended['name']}: {ended['state']['type']}, {ended['state']['message']}")
            assert ended["state_type"] == "FAILED", "the gate let spoilt data pass"
            take(live, run)


def set_sizes(project: Project) -> None:
    """Pictures in which the detector finds faces; few heads show no rule about their turns."""
    params = yaml.safe_load(project.params.read_text(encoding="utf-8"))
    params["data"].update(SIZES)
    project.params.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def spoil(project: Project) -> None:
    """Recompressed copies in the test split, a blurred column and an overexposed one."""
    for row in range(3):
        replace(
            project,
            f"test-000/i{row:02d}/a{row:02d}",
            recompressed(project, f"train-000/i{row:02d}/a{row:02d}"),
        )
    for row in range(4):
        for key, change in (
            (f"train-001/i{row:02d}/a01", lambda p: p.filter(ImageFilter.GaussianBlur(4))),
            (f"train-002/i{row:02d}/a02", lambda p: p.point(lambda level: min(255, level * 2.2))),
        ):
            replace(project, key, change(picture(project, key)))


def picture(project: Project, key: str) -> Image.Image:
    cell = store.load_image(project.data, key)
    return Image.fromarray(np.ascontiguousarray(cell.transpose(1, 2, 0)))


def recompressed(project: Project, key: str) -> Image.Image:
    stream = io.BytesIO()
    picture(project, key).save(stream, "JPEG", quality=80)
    return Image.open(stream)


def replace(project: Project, key: str, image: Image.Image) -> None:
    """Put another picture in a key's place, its sha256 put right."""
    grid, row, column = key.split("/")
    cell = np.asarray(image).transpose(2, 0, 1)
    path = project.data / store.shard_name(grid)
    shard = np.load(path)
    shard[int(row[1:]), int(column[1:])] = cell
    np.save(path, shard)
    manifest = store.read_manifest(project.data)
    manifest.loc[manifest["key"] == key, "sha256"] = store.sha256(np.ascontiguousarray(cell))
    store.write_manifest(project.data, manifest)


def record(project: Project) -> None:
    command = [sys.executable, "-m", "dvc", "add", "--quiet", "data"]
    subprocess.run(command, cwd=project.root, check=True)


def take(live: Live, run: str) -> None:
    """The failed run as Prefect shows it, and the page that it links."""
    linked = re.search(r"\((file://\S+)\)", live.artifacts(run)["data-gate-page"]["data"])
    assert linked, "the run links no page"
    with browser() as chrome:
        chrome.get(f"{live.addresses.prefect}/runs/flow-run/{run}")
        time.sleep(SECONDS)
        chrome.execute_script(CLOSE_ASSISTANT)
        time.sleep(1.0)
        save(chrome, "prefect-red-gate.png")
        chrome.get(linked.group(1))
        time.sleep(1.0)
        chrome.set_window_size(WIDTH, HEIGHT)
        time.sleep(1.0)
        save(chrome, "data-gate.png")


def save(chrome: Chrome, name: str) -> None:
    chrome.save_screenshot(str(FOLDER / name))
    shrink(FOLDER / name)
    print(FOLDER / name)


if __name__ == "__main__":
    main()
