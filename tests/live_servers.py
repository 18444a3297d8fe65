"""Real servers over a small real project, spoken to as the dashboard does."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import yaml

from facegraft.core.project import Project
from flows.addresses import Addresses
from flows.services import services

FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
CRON = {"FACEGRAFT_CRON_SWAP_QUEUE": "* * * * *", "FACEGRAFT_CRON_RETRAIN": ""}
"""The queue fires every minute, so that a test can see it do so."""


@dataclass(frozen=True)
class Live:
    """A project whose servers are up."""

    project: Project
    addresses: Addresses
    http: httpx.Client

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return self.http.post(f"{self.addresses.prefect}/api{path}", json=body)

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment by name, as the API describes it."""
        path = f"{self.addresses.prefect}/api/deployments/name/{name}/{name}"
        return self.http.get(path).raise_for_status().json()

    def trigger(self, name: str, parameters: dict[str, Any]) -> httpx.Response:
        """What the dashboard's Run button sends; again while the server says that it is busy.

        On SQLite under load Prefect answers 5xx now and then; its own clients try again too.
        """
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        return wait_for(
            lambda: (
                answer
                if (answer := self.post(path, {"parameters": parameters})).status_code < 500
                else None
            ),
            30.0,
        )

    def run(self, run_id: str) -> dict[str, Any]:
        return self.http.get(f"{self.addresses.prefect}/api/flow_runs/{run_id}").json()

    def finish(self, run_id: str, seconds: float = 180.0) -> dict[str, Any]:
        """The flow run once it has ended."""
        return wait_for(
            lambda: found if (found := self.run(run_id))["state_type"] in FINAL else None, seconds
        )

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        identity = self.deployment(deployment)["id"]
        body = {"deployments": {"id": {"any_": [identity]}}, "sort": "START_TIME_DESC"}
        return self.post("/flow_runs/filter", body).json()

    def task_states(self, run_id: str) -> list[str]:
        """The states of a flow run's tasks."""
        body = {"flow_runs": {"id": {"any_": [run_id]}}}
        return [one["state_type"] for one in self.post("/task_runs/filter", body).json()]

    def artifacts(self, run_id: str) -> dict[str, dict[str, Any]]:
        """The flow run's artifacts by key."""
        body = {"flow_runs": {"id": {"any_": [run_id]}}}
        return {one["key"]: one for one in self.post("/artifacts/filter", body).json()}


def wait_for(look: Callable[[], Any], seconds: float) -> Any:
    """What `look` gives once it gives something.

    Raises:
        TimeoutError: nothing came.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found is not None and found is not False and found != [] and found != {}:
            return found
        time.sleep(0.25)
    raise TimeoutError(f"nothing after {seconds:.0f} s")


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; an ended one that nobody has reaped yet does not."""
    running = []
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                running.append(one)
    return running


@contextmanager
def start(project: Project) -> Iterator[Live]:
    """Servers, deployments and worker; everything is stopped again."""
    tune_longer(project)
    before = {name: os.environ.get(name) for name in CRON}
    os.environ.update(CRON)
    try:
        with (
            services(project, ports=(0, 0), tell=lambda _: None) as served,
            httpx.Client(trust_env=False, timeout=30.0) as http,
        ):
            yield Live(project, served.addresses, http)
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def tune_longer(project: Project) -> None:
    """Swaps of some seconds, so that one can be killed at work."""
    params = yaml.safe_load(project.params.read_text(encoding="utf-8"))
    params["swap"].update(budget_steps=30, check_every=1)
    project.params.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
