"""Layers before every route: hosts, other sites, large bodies, queries, HEAD, safe headers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from lookout.service.api.problems import problem
from lookout.service.api.root_path import route_path
from lookout.service.core.settings import Settings

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1", "[::1]")
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
ANOTHER_HOST = (
    "the request's Host is none of this service's names (LOOKOUT_ALLOWED_HOSTS adds some)"
)
IS_HEAD = "lookout.is_head"  # in a request's scope
FOREIGN = "this request comes from a page of another site"
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
SAFE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def allowed_hosts(settings: Settings) -> list[str]:
    """Return the names that a request's `Host` may have.

    A page may make its own name resolve to 127.0.0.1 (DNS rebinding); its requests then carry that
    name. With a token such a page lacks the login, so any name is allowed unless some are set.
    """
    if settings.allowed_hosts is None and settings.token is not None:
        return ["*"]
    names = (settings.allowed_hosts or "").split(",")
    configured = [name.strip() for name in (*names, settings.host) if name.strip()]
    return [*LOOPBACK_NAMES, *configured]


class HostMiddleware:
    """Refuse with 400 what is not addressed to one of `hosts`.

    `open_paths` answer under any name: supervisors and Prometheus ask by address.
    """

    def __init__(self, app: ASGIApp, hosts: list[str], open_paths: Container[str]) -> None:
        self._app = app
        self._hosts = hosts
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or route_path(scope) in self._open_paths:
            await self._app(scope, receive, send)
            return
        is_ours = False

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal is_ours
            is_ours = True
            await self._app(scope, receive, send)

        async def send_of_ours(message: Message) -> None:
            if is_ours:
                await send(message)

        await TrustedHostMiddleware(app, self._hosts, www_redirect=False)(
            scope, receive, send_of_ours
        )
        if not is_ours:  # the framework's own answer is plain text
            await problem(400, ANOTHER_HOST, code="another_host")(scope, receive, send)


class SameOriginMiddleware:
    """Refuse with 403 what a page of another site asks.

    Browsers send `Origin` with each WebSocket and each request that changes something; they keep
    the responses to other requests from that page. Programs send no `Origin`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_checked = scope["type"] == "websocket" or (
            scope["type"] == "http" and scope["method"] not in SAFE_METHODS
        )
        if not is_checked or is_same_origin(Headers(scope=scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(1008, FOREIGN)(scope, receive, send)  # not accepted yet: HTTP 403
        else:
            await problem(403, FOREIGN, code="foreign")(scope, receive, send)


def is_same_origin(headers: Headers) -> bool:
    """Return whether a request comes from our own page, or from no page."""
    origin = headers.get("origin")
    if origin is None:
        return True
    # The page's scheme: a proxy in front may use https where we do not.
    scheme = origin.partition(":")[0].lower()
    address = host_and_port(origin, scheme)
    return address is not None and address == host_and_port(f"//{headers.get('host', '')}", scheme)


def host_and_port(url: str, scheme: str) -> tuple[str, int | None] | None:
    """Return host and port of a URL; None where it names no host, as "null", a file's origin."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(scheme)
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return parts.hostname, port


class BodyLimitMiddleware:
    """Refuse a body larger than the limit with 413, by its stated length or while it is read.

    The framework's own limit answers in plain text. PUT, which uploads, has a limit of its own.
    """

    def __init__(self, app: ASGIApp, limit_bytes: int, put_limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes
        self._put_limit_bytes = max(limit_bytes, put_limit_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit_bytes = self._limit_bytes
        if scope["method"] == "PUT":
            limit_bytes = self._put_limit_bytes
        reason = f"the body is larger than {limit_bytes} bytes"
        stated = Headers(scope=scope).get("content-length", "0")
        if stated.isdecimal() and int(stated) > limit_bytes:
            large = problem(413, reason, code="too_large", values={"most": limit_bytes})
            await large(scope, receive, send)
            return
        read_bytes = 0

        async def receive_limited() -> Message:
            nonlocal read_bytes
            message = await receive()
            read_bytes += len(message.get("body", b""))
            if read_bytes > limit_bytes:
                raise HTTPException(413, reason)
            return message

        await self._app(scope, receive_limited, send)


class QueryMiddleware:
    """Refuse with 400 a parameter that stands twice in a query: one of the two would be ignored."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["query_string"]:
            names = [name for name, _ in QueryParams(scope["query_string"]).multi_items()]
            counts = Counter(names)
            if len(counts) < len(names):
                name = next(name for name, count in counts.items() if count > 1)[:64]
                await problem(400, f"query: {name!r} stands twice")(scope, receive, send)
                return
        await self._app(scope, receive, send)


class HeadMiddleware:
    """Answer HEAD as GET; the server leaves the body out (RFC 9110, 9.3.2).

    Such a request is marked with IS_HEAD, for answers that never end.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET", IS_HEAD: True}
        await self._app(scope, receive, send)


class SafeHeadersMiddleware:
    """Add SAFE_HEADERS to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
