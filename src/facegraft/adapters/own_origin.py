"""A guard in front of a loopback server: only its own pages and local programs may talk to it.

A browser sends requests of every page that it shows, also to 127.0.0.1. What such a page cannot
forge are the headers that this guard reads: `Host`, `Origin` and `Sec-Fetch-*`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

NAMES = ("127.0.0.1", "localhost")
FRAMES = (b"x-frame-options", b"SAMEORIGIN")


class OwnOriginOnly:
    """ASGI middleware that refuses foreign pages, foreign host names and, if asked, strangers.

    Args:
        app: the server, ASGI 3.
        login: `name:password` that requests must send (Basic); None: none is asked for.
        open_paths: paths that are answered without login, e.g. for a health check.
    """

    def __init__(self, app: App, *, login: str | None = None, open_paths: tuple[str, ...] = ()):
        self.app = app
        self.login = login
        self.open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):  # the server's own start and end
            await self.app(scope, receive, send)
            return
        refusal = foreign(scope)
        if refusal is not None:
            await _refuse(scope, send, 403, refusal)
        elif self.login and scope["path"] not in self.open_paths and not self._known(scope):
            await _refuse(scope, send, 401, "name and password are needed")
        else:
            await self.app(scope, receive, _unframed(send))

    def _known(self, scope: Scope) -> bool:
        """Whether the request carries the login."""
        kind, _, given = b"".join(_headers(scope, b"authorization")).partition(b" ")
        if kind.lower() != b"basic":
            return False
        try:
            sent = base64.b64decode(given, validate=True)
        except binascii.Error:
            return False
        return hmac.compare_digest(sent, (self.login or "").encode())


def foreign(scope: Scope) -> str | None:
    """Why this request is not from the server's own pages or a local program; None if it is.

    * `Host` must name this server: a foreign name that resolves to 127.0.0.1 (DNS rebinding)
      would make a foreign page and this server one origin.
    * `Origin`, which browsers add to all that can change something and to WebSockets, must be
      this server's own; "null" is not.
    * Requests without `Origin` that a browser marks as another site's may open a page (a link
      here), but not load or embed anything.
    """
    own = {f"{name}:{scope['server'][1]}" for name in NAMES}
    hosts = [value.decode("latin-1").lower() for value in _headers(scope, b"host")]
    if len(hosts) != 1 or hosts[0] not in own:
        return f"host {', '.join(hosts) or '(none)'} is not this server"
    origins = [value.decode("latin-1").lower() for value in _headers(scope, b"origin")]
    if not {f"http://{name}" for name in own}.issuperset(origins):
        return f"a page of {', '.join(origins)} may not use this server"
    site = b"".join(_headers(scope, b"sec-fetch-site"))
    mode = b"".join(_headers(scope, b"sec-fetch-mode"))
    if not origins and site in (b"cross-site", b"same-site") and mode != b"navigate":
        return "a page of another site may not use this server"
    return None


def _headers(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key.lower() == name]


async def _refuse(scope: Scope, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": text})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="facegraft"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"refused: {text}\n".encode()})


def _unframed(send: Send) -> Send:
    """No foreign page may show this one in a frame and have it clicked."""

    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            others = [pair for pair in message.get("headers", ()) if pair[0].lower() != FRAMES[0]]
            message = {**message, "headers": [*others, FRAMES]}
        await send(message)

    return sent
