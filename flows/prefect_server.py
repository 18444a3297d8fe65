"""The Prefect server behind our guard: `python -m flows.prefect_server PORT`.

It does what `prefect server start` does (the same app, all services in the same process). Prefect
itself answers every Host, and its CORS setting only tells browsers what pages may read.
"""

from __future__ import annotations

import sys

import uvicorn
from prefect.server.api.server import create_app
from prefect.settings import get_current_settings

from facegraft.adapters.own_origin import OwnOriginOnly

HOST = "127.0.0.1"


def serve(port: int) -> None:
    """Serve API, dashboard, scheduler and the other services until SIGTERM."""
    settings = get_current_settings().server
    uvicorn.run(
        OwnOriginOnly(create_app(final=True)),  # a password is Prefect's own matter
        host=HOST,
        port=port,
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
    )


if __name__ == "__main__":
    serve(int(sys.argv[1]))
