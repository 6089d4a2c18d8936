"""The service below a path of its proxy's host (LOOKOUT_ROOT_PATH), as ASGI's `root_path`."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class RootPathMiddleware:
    """Take requests with and without the root path, and answer with addresses below it.

    A proxy may strip the root path or leave it; both reach the same route, and so does a
    supervisor that asks without a proxy. Every `Location` becomes a path: scheme and host are the
    browser's own, which a proxy with TLS need not tell.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        """`root_path` is empty, or begins with `/` and does not end with one."""
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if self._root_path and scope["type"] == "http" and scope["path"] == self._root_path:
            # The page's addresses are relative to a folder.
            await RedirectResponse(f"{self._root_path}/")(scope, receive, send)
            return

        async def send_below(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if "location" in headers:
                    headers["location"] = self._below(headers["location"])
            await send(message)

        await self._app(self._with_root_path(scope), receive, send_below)

    def _with_root_path(self, scope: Scope) -> Scope:
        if scope["path"].startswith(f"{self._root_path}/"):
            return {**scope, "root_path": self._root_path}
        return {
            **scope,
            "root_path": self._root_path,
            "path": self._root_path + scope["path"],
            "raw_path": self._root_path.encode() + scope.get("raw_path", b""),
        }

    def _below(self, location: str) -> str:
        _, _, path, query, fragment = urlsplit(location)
        if not path.startswith(f"{self._root_path}/"):
            path = self._root_path + path
        # `//name` would be another host's address.
        return urlunsplit(("", "", f"/{path.lstrip('/')}", query, fragment))


def route_path(scope: Scope) -> str:
    """Return the path of a request without the root path: what routes and checks compare."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))
