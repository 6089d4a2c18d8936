"""Everything is behind the lock but what is named here: a route that somebody adds is closed until it is."""

from __future__ import annotations

from collections.abc import Container

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from lookout.service.api import page
from lookout.service.api.auth.token import Door


class Lock:
    """401 for whoever shows neither token nor cookie; at / the form that asks for the token."""

    def __init__(self, app: ASGIApp, door: Door, open_paths: Container[str]) -> None:
        self._app = app
        self._door = door
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "lifespan"
            or scope["path"] in self._open
            or scope["path"].startswith(page.FOLDERS)
        ):
            await self._app(scope, receive, send)
            return
        asking = HTTPConnection(scope)
        why = self._door.refusal(asking)
        if why is None:
            await self._app(scope, receive, send)
            return
        answer = await self._door.refuse(why, asking)
        if scope["path"] == page.PATH and scope["type"] == "http" and answer.status_code == 401:
            await page.log_in(answer.headers)(scope, receive, send)
        else:
            await answer(scope, receive, send)
