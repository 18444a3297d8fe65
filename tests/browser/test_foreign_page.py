"""A page of another origin, in a real browser, against both servers; and the dashboard's own form.

`docs/screenshots/foreign-page-refused.png` is what the first test sees; FACEGRAFT_SCREENSHOTS=1
takes it anew.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.live_servers import Live, wait_for

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [pytest.mark.browser, pytest.mark.e2e, pytest.mark.slow]

SCREENSHOT = Path(__file__).parents[2] / "docs/screenshots/foreign-page-refused.png"

HIDDEN = "the answer is hidden from the page"
"""So it is where a page did not ask first, whatever the answer says."""

PAGE = """<!doctype html><meta charset="utf-8"><title>a foreign page</title>
<style>body{font:18px sans-serif;margin:2em} td{padding:.3em 1em;border:1px solid #999}</style>
<h1>A page of <span id="origin"></span></h1>
<table id="tries"></table>
<p>Prefect: the same by a form; its answer:
<form id="form" method="post" enctype="text/plain" target="frame"></form>
<iframe name="frame" width="900" height="60"></iframe>
<script>
const say = (what, how) =>
  document.getElementById('tries').insertRow().innerHTML = `<td>${what}<td>${how}`;
document.getElementById('origin').textContent = location.origin;
const body = JSON.stringify(BODY);
const json = {'Content-Type': 'application/json'};
const text = {'Content-Type': 'text/plain'};
const tries = {
  'Prefect: run a command': () => fetch(RUN, {method: 'POST', headers: json, body}),
  'Prefect: the same without asking first':
    () => fetch(RUN, {method: 'POST', mode: 'no-cors', headers: text, body}),
  'Prefect: without a content type':
    () => fetch(RUN, {method: 'POST', mode: 'no-cors', body: new Blob([body])}),
  'Prefect: read its flows': () => fetch(FLOWS, {method: 'POST', headers: json, body: '{}'}),
  'Prefect: listen to its events': () => new Promise((yes, no) => {
    const socket = new WebSocket(EVENTS);
    socket.onopen = () => yes({type: 'open', status: 101});
    socket.onerror = () => no(new Error('closed'));
  }),
  'MLflow: change an artifact': () => fetch(ARTIFACT, {method: 'PUT', body: 'evil'}),
  'MLflow: search, without asking first':
    () => fetch(EXPERIMENT, {method: 'POST', mode: 'no-cors', headers: text, body: '{}'}),
};
(async () => {
  const done = {};
  for (const [what, attempt] of Object.entries(tries)) {
    try {
      const answer = await attempt();
      done[what] = answer.type === 'opaque' ? HIDDEN : answer.type + ' ' + answer.status;
    }
    catch (error) { done[what] = 'refused: ' + error.message; }
    say(what, done[what]);
  }
  const form = document.getElementById('form');
  document.querySelector('iframe').onload = () => { window.tried = done; };
  form.action = RUN; form.submit();
})();
</script>
"""


@contextmanager
def foreign_page(folder: Path, text: str) -> Iterator[str]:
    """A page on another port of loopback; for a browser that is another origin."""
    (folder / "index.html").write_text(text, encoding="utf-8")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def test_a_foreign_page_gets_nowhere(live: Live, browser: Chrome, tmp_path: Path) -> None:
    prefect, mlflow = live.addresses.prefect, live.addresses.mlflow
    file = live.project.root / "PWNED"
    artifact = f"{mlflow}/ajax-api/2.0/mlflow-artifacts/artifacts/foreign/x.txt"
    words: dict[str, Any] = {
        "BODY": {
            "parameters": {"source": "test-000/i00/a00", "target": "test-000/i01/a01"},
            "job_variables": {"command": f"touch {file}"},
        },
        "RUN": f"{prefect}/api/deployments/{live.deployment('swap')['id']}/create_flow_run",
        "FLOWS": f"{prefect}/api/flows/filter",
        "EVENTS": f"{prefect.replace('http', 'ws')}/api/events/out",
        "ARTIFACT": artifact,
        "HIDDEN": HIDDEN,
        "EXPERIMENT": f"{mlflow}/ajax-api/2.0/mlflow/experiments/search",
    }
    constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in words.items())
    before = len(live.runs("swap"))
    with foreign_page(tmp_path, PAGE.replace("<script>", f"<script>\n{constants}")) as url:
        browser.get(url)
        done = wait_for(lambda: browser.execute_script("return window.tried"), 60.0)
        if os.environ.get("FACEGRAFT_SCREENSHOTS"):
            browser.save_screenshot(str(SCREENSHOT))
        browser.switch_to.frame("frame")
        assert f"a page of {url.rstrip('/')} may not use this server" in browser.page_source
        browser.switch_to.default_content()
    assert all(how == HIDDEN or how.startswith("refused") for how in done.values()), done
    assert len(live.runs("swap")) == before
    assert not file.exists()
    assert httpx.get(artifact, trust_env=False).status_code >= 400


def test_the_dashboards_own_form_starts_a_swap(live: Live, browser: Chrome) -> None:
    from selenium.webdriver.common.by import By

    deployment = live.deployment("swap")
    before = {run["id"] for run in live.runs("swap")}
    browser.get(f"{live.addresses.prefect}/deployments/deployment/{deployment['id']}/run")

    def fields() -> list[Any]:
        return browser.find_elements(By.TAG_NAME, "textarea")

    wait_for(lambda: "Source: the face to take" in browser.page_source and len(fields()) > 1, 90.0)
    keys = ("test-000/i02/a01", "test-000/i01/a02")

    def filled() -> bool:
        """The page may draw its form once more, empty, while it is typed into."""
        shown = fields()[: len(keys)]
        for field, key in zip(shown, keys, strict=True):
            if field.get_attribute("value") != key:
                field.clear()
                field.send_keys(key)
        time.sleep(1.0)
        return [field.get_attribute("value") for field in fields()[: len(keys)]] == list(keys)

    def started() -> list[dict[str, Any]]:
        """The runs that were not there before; as long as the form is shown, it is sent."""
        if browser.current_url.endswith("/run") and filled():
            browser.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
            time.sleep(10.0)
        return [run for run in live.runs("swap") if run["id"] not in before]

    run = live.finish(wait_for(started, 90.0)[0]["id"], 600.0)
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    assert run["parameters"]["source"] == "test-000/i02/a01"
