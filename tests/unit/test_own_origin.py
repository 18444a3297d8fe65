"""The guard before both servers: whom it lets through, asked as browsers and programs ask."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

from facegraft.adapters.own_origin import OwnOriginOnly

PORT = 4200
OWN = {"host": f"127.0.0.1:{PORT}"}


def answer(
    headers: Mapping[str, str] | list[tuple[str, str]],
    *,
    kind: str = "http",
    path: str = "/api/x",
    login: str | None = None,
) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers: of the server behind the guard (200, or 101 for a WebSocket), or its."""
    sent: list[dict[str, Any]] = []

    async def server(scope: Any, receive: Any, send: Any) -> None:
        if kind == "websocket":
            await send({"type": "websocket.accept"})
            return
        loose = [(b"X-Frame-Options", b"ALLOWALL")]
        await send({"type": "http.response.start", "status": 200, "headers": loose})
        await send({"type": "http.response.body", "body": b"in"})

    async def collect(message: Any) -> None:
        sent.append(message)

    pairs = headers.items() if isinstance(headers, Mapping) else headers
    scope = {
        "type": kind,
        "path": path,
        "server": ("127.0.0.1", PORT),
        "headers": [(name.encode(), value.encode()) for name, value in pairs],
    }
    guard = OwnOriginOnly(server, login=login, open_paths=("/health",))
    asyncio.run(guard(scope, None, collect))  # type: ignore[arg-type]
    first = sent[0]
    if first["type"].startswith("websocket"):
        return {"websocket.accept": 101, "websocket.close": 403}[first["type"]], {}
    return first["status"], dict(first["headers"])


def test_own_pages_and_local_programs_come_in() -> None:
    for headers in (
        {},
        {"origin": f"http://127.0.0.1:{PORT}"},
        {"origin": f"http://localhost:{PORT}"},
        {"host": f"localhost:{PORT}"},
        {"host": f"LOCALHOST:{PORT}", "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},  # a link to the dashboard
    ):
        assert answer({**OWN, **headers})[0] == 200, headers
        assert answer({**OWN, **headers}, kind="websocket")[0] == 101, headers


def test_foreign_pages_and_host_names_stay_out() -> None:
    foreign = [
        {**OWN, "origin": "https://evil.example"},
        {**OWN, "origin": "null"},
        {**OWN, "origin": ""},
        {**OWN, "origin": f"https://127.0.0.1:{PORT}"},
        {**OWN, "origin": f"127.0.0.1:{PORT}"},
        {**OWN, "origin": f"http://127.0.0.1:{PORT + 1}"},
        {**OWN, "origin": f"http://127.0.0.1:{PORT}.evil.example"},
        {**OWN, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {**OWN, "sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
        {"host": f"evil.example:{PORT}"},
        {"host": "127.0.0.1"},
        {"host": f"127.0.0.1:{PORT + 1}"},
        {"host": f"evil.example:{PORT}", "origin": f"http://evil.example:{PORT}"},
        {},
        [("host", OWN["host"]), ("host", "evil.example")],
        [*OWN.items(), ("origin", f"http://127.0.0.1:{PORT}"), ("origin", "https://evil.example")],
    ]
    for headers in foreign:
        for path in ("/api/x", "/health"):
            assert answer(headers, path=path)[0] == 403, headers
        assert answer(headers, kind="websocket")[0] == 403, headers


def test_no_foreign_frame_may_show_an_answer() -> None:
    given = {name.lower(): value for name, value in answer(OWN)[1].items()}
    assert given[b"x-frame-options"] == b"SAMEORIGIN"


def test_where_there_is_a_login_strangers_stay_out() -> None:
    def basic(text: str) -> dict[str, str]:
        return {**OWN, "authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}

    assert answer(basic("anna:secret"), login="anna:secret")[0] == 200
    assert answer(OWN, login="anna:secret", path="/health")[0] == 200
    refused = [OWN, basic("anna:wrong"), basic(""), {**OWN, "authorization": "Basic ?"}]
    refused.append({**OWN, "authorization": "Bearer anna:secret"})
    for headers in refused:
        status, given = answer(headers, login="anna:secret")
        assert status == 401, headers
        assert given[b"www-authenticate"].startswith(b"Basic")
    foreign = {**basic("anna:secret"), "origin": "https://evil.example"}
    assert answer(foreign, login="anna:secret")[0] == 403
