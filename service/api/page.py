"""The page at /: three files of ours, and uPlot from its wheel. Nothing comes from the net."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookout.service.core.errors import LookoutError

STATIC = Path(__file__).parent / "static"
PATH = "/"
FOLDERS = (
    "/assets/",
    "/uplot/",
)  # of the page's own files: the same for everybody, and the log-in needs them
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

router = APIRouter(include_in_schema=False)


@router.get(PATH)
def index() -> FileResponse:
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


def log_in(headers: Mapping[str, str]) -> FileResponse:
    """In place of the page: the form that asks for the token. `headers`: of the refusal."""
    kept = {name: headers[name] for name in ("WWW-Authenticate", "Cache-Control")}
    return FileResponse(STATIC / "login.html", status_code=401, headers=kept)


def mount(app: FastAPI) -> None:
    app.include_router(router)
    app.mount("/assets", StaticFiles(directory=STATIC))
    app.mount("/uplot", StaticFiles(directory=_uplot()))


def _uplot() -> Path:
    spec = find_spec("uplot")  # found, not imported: we want its files only
    if spec is None or not spec.submodule_search_locations:
        raise LookoutError(
            "the package uplot-python is not installed: the page has no curves without it"
        )
    return Path(spec.submodule_search_locations[0]) / "static"


class SafeHeaders:
    """Adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)
