"""What a foreign page, a foreign host name and a caller's job variables get: a refusal."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.live_servers import Live, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PAIR = {"source": "test-000/i00/a00", "target": "test-000/i01/a01"}
EVIL = "https://evil.example"


def sent(live: Live, path: str, body: dict[str, Any]) -> httpx.Response:
    """The answer, once the server does not say that it is busy (as its SQLite file may be)."""
    return wait_for(
        lambda: answer if (answer := live.post(path, body)).status_code < 500 else None, 60.0
    )


def foreign_headers(address: str) -> list[dict[str, str]]:
    port = int(address.rpartition(":")[2])
    return [
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{port + 1}"},
        {"Host": f"evil.example:{port}"},
        {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"},
    ]


def test_prefect_refuses_a_foreign_page_and_a_foreign_name(live: Live) -> None:
    prefect = live.addresses.prefect
    url = f"{prefect}/api/deployments/{live.deployment('swap')['id']}/create_flow_run"
    body: dict[str, Any] = {"parameters": PAIR}
    before = len(live.runs("swap"))
    for headers in foreign_headers(prefect):
        assert live.http.post(url, json=body, headers=headers).status_code == 403, headers
        # What a page may send without asking first.
        simple = {**headers, "Content-Type": "text/plain"}
        assert live.http.post(url, content=b"{}", headers=simple).status_code == 403, headers
        assert live.http.get(f"{prefect}/api/version", headers=headers).status_code == 403
        asked = {**headers, "Access-Control-Request-Method": "POST"}
        answer = live.http.options(url, headers=asked)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    assert len(live.runs("swap")) == before


def test_the_dashboard_may_use_prefect_by_both_of_its_names(live: Live) -> None:
    prefect = live.addresses.prefect
    for name in ("127.0.0.1", "localhost"):
        origin = prefect.replace("127.0.0.1", name)
        answer = live.http.get(f"{prefect}/api/version", headers={"Origin": origin})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == origin
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        assert live.http.options(f"{prefect}/api/flows/filter", headers=asked).status_code == 200


def test_no_caller_chooses_command_environment_or_folder(live: Live) -> None:
    deployment = live.deployment("swap")
    file = live.project.root / "PWNED"
    before = len(live.runs("swap"))
    for variables in (
        {"command": f"touch {file}"},
        {"env": {"PYTHONPATH": str(live.project.root)}},
        {"env.PYTHONPATH": str(live.project.root)},
        {"working_dir": str(live.project.root)},
        {"name": "other", "labels": {}},
    ):
        body = {"parameters": PAIR, "job_variables": variables}
        created = sent(live, f"/deployments/{deployment['id']}/create_flow_run", body)
        assert created.status_code == 422, (variables, created.text)
    assert len(live.runs("swap")) == before
    assert live.deployment("swap")["enforce_parameter_schema"] is True


def test_a_run_that_was_given_variables_all_the_same_does_not_use_them(live: Live) -> None:
    """Prefect checks the variables of a deployment's runs; those of others only our template."""
    deployment = live.deployment("swap")
    file = live.project.root / "PWNED"
    body = {
        "flow_id": deployment["flow_id"],
        "deployment_id": deployment["id"],
        "parameters": PAIR,
        "work_pool_name": "facegraft",
        "job_variables": {"command": f"touch {file}", "env": {"FACEGRAFT_X": "1"}},
        "state": {"type": "SCHEDULED"},
    }
    created = sent(live, "/flow_runs/", body)
    assert created.status_code == 201, created.text
    assert live.finish(created.json()["id"], 600.0)["state_type"] == "COMPLETED"
    assert not file.exists()


def test_mlflow_refuses_a_foreign_page_and_a_foreign_name(live: Live) -> None:
    mlflow = live.addresses.mlflow
    artifact = f"{mlflow}/api/2.0/mlflow-artifacts/artifacts/test/x.txt"
    for headers in foreign_headers(mlflow):
        assert live.http.put(artifact, content=b"evil", headers=headers).status_code == 403
        search = f"{mlflow}/ajax-api/2.0/mlflow/experiments/search"
        assert live.http.post(search, json={}, headers=headers).status_code == 403
        assert live.http.get(f"{mlflow}/", headers=headers).status_code == 403
    assert live.http.get(artifact).status_code >= 400
    own = {"Origin": mlflow.replace("127.0.0.1", "localhost")}
    assert live.http.put(artifact, content=b"ours", headers=own).status_code == 200
    assert live.http.get(artifact).text == "ours"
