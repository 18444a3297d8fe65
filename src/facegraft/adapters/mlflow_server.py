"""MLflow's server behind our guard: what `mlflow server --app-name facegraft` runs.

MLflow's own checks (`--allowed-hosts`, `--cors-allowed-origins`) stay on, but they take every page
of this machine for a friend, whatever its port, and ask for no password.
"""

from __future__ import annotations

import os

from facegraft.adapters.own_origin import OwnOriginOnly

OPEN_PATHS = ("/health", "/version")


def app() -> OwnOriginOnly:
    """The guarded server; with a login if `PREFECT_SERVER_API_AUTH_STRING` holds one."""
    from mlflow.server.fastapi_app import app as server

    login = os.environ.get("PREFECT_SERVER_API_AUTH_STRING") or None
    return OwnOriginOnly(server, login=login, open_paths=OPEN_PATHS)
