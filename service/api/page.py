"""The page at /: our own files, and uPlot from its wheel. Nothing comes from the net."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

from lookout.service.core.errors import LookoutError

STATIC = Path(__file__).parent / "static"
PATH = "/"
FOLDERS = (
    "/assets/",
    "/uplot/",
)  # of the page's own files: the same for everybody, and the log-in needs them
router = APIRouter(include_in_schema=False)


@router.get(PATH)
def index() -> FileResponse:
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


def login_form(headers: Mapping[str, str]) -> FileResponse:
    """Return the form that asks for the token, in place of the page; `headers`: the refusal's."""
    kept = {name: headers[name] for name in ("WWW-Authenticate", "Cache-Control")}
    return FileResponse(STATIC / "login.html", status_code=401, headers=kept)


def mount(app: FastAPI) -> None:
    app.include_router(router)
    app.mount("/assets", StaticFiles(directory=STATIC))
    app.mount("/uplot", StaticFiles(directory=uplot_folder()))


def uplot_folder() -> Path:
    spec = find_spec("uplot")  # not imported: only its files are needed
    if spec is None or not spec.submodule_search_locations:
        raise LookoutError(
            "the package uplot-python is not installed: the page has no curves without it"
        )
    return Path(spec.submodule_search_locations[0]) / "static"
