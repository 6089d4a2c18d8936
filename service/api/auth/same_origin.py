"""A page of another site that is open in the operator's browser reads nothing here and changes nothing.

Browsers name the page a request comes from (`Origin`) with each WebSocket and each request that changes something;
what other sites may read over plain HTTP they keep to themselves already. Scripts send no Origin.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from lookout.service.api.problems import problem

SAFE = {"GET", "HEAD", "OPTIONS"}
REASON = "this request comes from a page of another site"
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class SameOrigin:
    """403 for what a page of another site asks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and _foreign(scope):
            await WebSocketClose(1008, REASON)(
                scope, receive, send
            )  # before it was accepted: HTTP 403
        elif scope["type"] == "http" and scope["method"] not in SAFE and _foreign(scope):
            await problem(403, REASON)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _foreign(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    if origin is None:
        return False
    scheme = origin.partition(":")[
        0
    ].lower()  # of the page: a proxy in front may speak https where we do not
    place = _place(origin, scheme)
    return place is None or place != _place(f"//{headers.get('host', '')}", scheme)


def _place(url: str, scheme: str) -> tuple[str, int | None] | None:
    """Host and port; None where there is no host ("null", the origin of a file, is one)."""
    try:
        parts = urlsplit(url)
        return (parts.hostname, parts.port or DEFAULT_PORTS.get(scheme)) if parts.hostname else None
    except ValueError:
        return None
