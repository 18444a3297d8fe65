"""Take this folder's pictures from servers that run (`make serve`) after a retrain and a queue.

Also of the pages that facegraft itself writes, as far as they are there: report (`make demo`),
gate, drift and benchmark. Run in the project folder:
PYTHONPATH=. python docs/screenshots/take.py [FOLDER]. Needs chromium and chromium-driver.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from facegraft.core.project import Project
from flows.services import Addresses, running

FOLDER = Path(__file__).parent
SECONDS = 10.0
"""Both dashboards load their data after the page."""

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-proxy-server", "--window-size=1400,1000"),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # the pages need no network
)

CLOSE_ASSISTANT = """
for (const button of document.querySelectorAll('button')) {
  if (/close|dismiss/i.test(button.getAttribute('aria-label') || '')) { button.click(); break; }
}
"""


def main() -> int:
    project = Project(Path.cwd())
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    addresses = running(project)
    if addresses is None:
        print("no servers of this project run; start them with `make serve`", file=sys.stderr)
        return 1
    with browser() as chrome, httpx.Client(trust_env=False, timeout=30.0) as http:
        for name, url in (*pages(addresses, http), *own_pages(project)):
            chrome.get("about:blank")  # else a change behind the # does not load a new page
            chrome.get(url)
            time.sleep(SECONDS)
            chrome.execute_script(CLOSE_ASSISTANT)
            time.sleep(1.0)
            chrome.save_screenshot(str(folder / name))
            shrink(folder / name)
            print(folder / name)
    return 0


def pages(addresses: Addresses, http: httpx.Client) -> Iterator[tuple[str, str]]:
    """File name and address of every picture."""
    prefect, mlflow = addresses.prefect, addresses.mlflow
    swap = http.get(f"{prefect}/api/deployments/name/swap/swap").raise_for_status().json()
    yield "prefect-swap-form.png", f"{prefect}/deployments/deployment/{swap['id']}/run"
    newest = {one["key"]: one for one in artifacts(prefect, http)}
    retrain = newest["sample-swaps"]
    yield "prefect-retrain-run.png", f"{prefect}/runs/flow-run/{retrain['flow_run_id']}"
    for key in ("sample-swaps", "benchmark", "swap-queue-pictures"):
        yield f"prefect-{key}.png", f"{prefect}/artifacts/artifact/{newest[key]['id']}"
    runs = http.post(f"{mlflow}/api/2.0/mlflow/runs/search", json={"experiment_ids": ["1"]}).json()
    trained = (one["info"] for one in runs["runs"] if one["info"]["run_name"].startswith("train-"))
    run = next(trained)["run_id"]
    classic = "?workflowType=machine_learning"
    yield "mlflow-experiment.png", f"{mlflow}/#/experiments/1/runs{classic}"
    yield "mlflow-run.png", f"{mlflow}/#/experiments/1/runs/{run}{classic}"
    yield "mlflow-model.png", f"{mlflow}/#/models/facegraft{classic}"


def own_pages(project: Project) -> Iterator[tuple[str, str]]:
    """The same for the pages in build/."""
    for name, folder in (
        ("report.png", project.build / "report"),
        ("gate.png", project.validation),
        ("drift.png", project.build / "drift"),
        ("benchmark.png", project.benchmark / "base"),
    ):
        if (folder / "index.html").exists():
            yield name, (folder / "index.html").resolve().as_uri()


def artifacts(prefect: str, http: httpx.Client) -> list[dict[str, Any]]:
    """Every artifact, oldest first."""
    body = {"sort": "CREATED_DESC", "limit": 200}
    found = http.post(f"{prefect}/api/artifacts/filter", json=body).raise_for_status().json()
    return list(reversed(found))


def shrink(path: Path) -> None:
    """256 colours are enough for a screenshot."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(256)
    small.save(path, optimize=True)


@contextmanager
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        chrome = Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            yield chrome
        finally:
            chrome.quit()


if __name__ == "__main__":
    raise SystemExit(main())
