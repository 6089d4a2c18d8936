"""The page at / and the documents of the API at /docs: our own files, uPlot and Swagger UI from
their wheels. Nothing comes from the net.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, HTMLResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from lookout.service.core.errors import LookoutError

STATIC = Path(__file__).parent / "static"
PATH = "/"
LOGIN_PATH = "/login"  # where an OpenID provider sends a browser back to
FOLDERS = ("/assets/", "/uplot/", "/swagger/")
"""Of the page's own files: the same for everybody, and the log-in needs them."""

DOCS_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Swagger UI sets styles in its elements, and its icons are parts of its style sheet."""

router = APIRouter(include_in_schema=False)


class PageFiles(StaticFiles):
    """The page's own files, which a browser asks for again: after an upgrade they are others."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a file, or 304 where the browser has it."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Service-Worker-Allowed"] = "../"  # of the page, above its files
        return response


@lru_cache(maxsize=1)
def version() -> str:
    """Return a digest of the page's own files, read once."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.iterdir()):
        digest.update(f"{path.name} {path.stat().st_size} ".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


@router.get(PATH)
def index() -> HTMLResponse:
    """Return the page, which names its version; `ETag` is the one that is served now."""
    text = (STATIC / "index.html").read_text().replace("PAGE_VERSION", version())
    return HTMLResponse(text, headers={"Cache-Control": "no-cache", "ETag": f'"{version()}"'})


@router.get(LOGIN_PATH)
def login_page() -> FileResponse:
    return FileResponse(STATIC / "login.html", headers={"Cache-Control": "no-store"})


@router.get("/docs")
def docs() -> FileResponse:
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": DOCS_POLICY}
    return FileResponse(STATIC / "docs.html", headers=headers)


def login_form(headers: Mapping[str, str]) -> FileResponse:
    """Return the form that asks for the token, in place of the page; `headers`: the refusal's."""
    kept = {name: headers[name] for name in ("WWW-Authenticate", "Cache-Control")}
    return FileResponse(STATIC / "login.html", status_code=401, headers=kept)


def mount(app: FastAPI) -> None:
    app.include_router(router)
    app.mount("/assets", PageFiles(directory=STATIC))
    app.mount("/uplot", StaticFiles(directory=static_folder("uplot", "uplot-python")))
    app.mount(
        "/swagger", StaticFiles(directory=static_folder("fastapi_offline", "fastapi-offline"))
    )


def static_folder(module: str, package: str) -> Path:
    """Return the folder of a package's static files. Raises LookoutError where it is missing."""
    spec = find_spec(module)  # not imported: only its files are needed
    if spec is None or not spec.submodule_search_locations:
        raise LookoutError(f"the package {package} is not installed: the page needs its files")
    return Path(spec.submodule_search_locations[0]) / "static"
