"""Errors as application/problem+json (RFC 9457): a reason, no stack trace, no password."""

from __future__ import annotations

import http
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, JsonValue, ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from lookout.service.core.errors import (
    BrokenMessageError,
    ConflictError,
    LookoutError,
    NoRoomError,
    NotFoundError,
    RequestError,
    RoleError,
    SourceError,
    Value,
)
from lookout.service.core.throttle import Throttle
from lookout.service.core.urls import mask
from lookout.service.storage.redis.connect import UNAVAILABLE

log = logging.getLogger(__name__)

STATUS = {
    RoleError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    NoRoomError: 507,
    RequestError: 422,
    SourceError: 422,
    BrokenMessageError: 500,
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
MOST_ERRORS = 20  # of one request that its answer names
RETRY_AFTER_S = 2
AWAY_LINE_EVERY_S = 60.0
AWAY_LINES_AT_ONCE = 10


class FieldProblem(BaseModel):
    """A field of the request that is wrong."""

    loc: list[str]
    msg: str
    type: str = Field(description="a name of the reason that stays; `refused`: it has none")
    values: dict[str, str | float] = Field(default={}, description="that its sentence holds")


class Problem(BaseModel):
    """An error as application/problem+json (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str
    status: int
    detail: str = Field(description="the reason, in one line and without passwords")
    code: str | None = Field(
        default=None, description="a name of the reason that stays, where it has one"
    )
    values: dict[str, str | int] | None = Field(
        default=None, description="of a `code`: what stands in its sentence"
    )
    errors: list[FieldProblem] | None = Field(default=None, description="of a 422 or 409")
    missing: list[str] | None = Field(default=None, description="of /readyz")
    current: dict[str, JsonValue] | None = Field(
        default=None, description="of a 412: the camera as it is now"
    )
    sent: dict[str, JsonValue] | None = Field(
        default=None, description="of a 412: the fields of the change that was not made"
    )


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"


def problem(
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    *,
    code: str | None = None,
    values: Mapping[str, Value] | None = None,
    **more: Any,
) -> ProblemResponse:
    """Return an error; `code` and `values` as LookoutError has them, `more`: further members."""
    title = http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else "Error"
    body = {"type": "about:blank", "title": title, "status": status, "detail": mask(detail), **more}
    if code is not None:
        body |= {"code": code, "values": masked(values or {})}
    return ProblemResponse(body, status, dict(headers or {}))


def masked(values: Mapping[str, Any]) -> dict[str, str | float]:
    """Return the numbers and texts among values, without passwords."""
    return {
        name: mask(value) if isinstance(value, str) else value
        for name, value in values.items()
        if isinstance(value, (str, int, float))
    }


def install(app: FastAPI) -> None:
    """Answer every error of `app` as a problem."""
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(LookoutError, on_lookout_error)
    away = outage_handler(Throttle(AWAY_LINE_EVERY_S, AWAY_LINES_AT_ONCE))
    for kind in UNAVAILABLE:
        app.add_exception_handler(kind, away)
    app.add_exception_handler(Exception, on_unexpected_error)


def on_http_error(request: Request, error: Exception) -> ProblemResponse:
    """Answer an error of the framework; 405 names every method of the path in `Allow`."""
    assert isinstance(error, HTTPException)  # noqa: S101  for mypy: handlers take any exception
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(allowed_methods(request))
    return problem(error.status_code, str(error.detail), headers)


def allowed_methods(request: Request) -> list[str]:
    """Return the methods of a request's path; HEAD is one wherever GET is."""
    routes = [route for route in request.app.router.routes if not isinstance(route, Mount)]
    found = [
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes
        )
    ]
    if not found:  # a mounted folder of files
        found = ["GET"]
    if "GET" in found:
        found.insert(found.index("GET") + 1, "HEAD")
    return found


def on_invalid_request(_request: Request, error: Exception) -> ProblemResponse:
    """Answer a request that does not fit its schema with the first MOST_ERRORS wrong fields."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    # What was sent is not repeated: it may hold a password.
    found = error.errors()
    errors = [
        {
            "loc": [mask(str(part)) for part in e["loc"]],
            "msg": mask(str(e["msg"])),
            "type": e["type"],
            "values": masked(e.get("ctx", {})),
        }
        for e in found[:MOST_ERRORS]
    ]
    texts = [f"{field_path(e['loc'])}: {e['msg']}" for e in errors]
    if len(found) > MOST_ERRORS:
        texts.append(f"and {len(found) - MOST_ERRORS} more")
    return problem(422, "; ".join(texts), errors=errors)


def invalid_fields(error: ValidationError) -> RequestValidationError:
    """Return the refusal of a change whose fields do not fit what is stored."""
    wrong = [{**part, "loc": ("body", *part["loc"])} for part in error.errors()]
    return RequestValidationError(wrong)


def field_path(location: Sequence[str]) -> str:
    """Return the dotted path of a field, without the part of the request that it is in."""
    return ".".join(location[1:]) or location[0]


def on_lookout_error(_request: Request, error: Exception) -> ProblemResponse:
    """Answer an error that Lookout explains in one line."""
    assert isinstance(error, LookoutError)  # noqa: S101
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    more: dict[str, Any] = {}
    if error.field is not None:
        wrong = {"loc": ["body", error.field], "msg": mask(str(error))}
        named = {"type": error.code or "refused", "values": masked(error.values)}
        more["errors"] = [wrong | named]
    return problem(status, str(error), code=error.code, values=error.values, **more)


def outage_handler(throttle: Throttle) -> Callable[[Request, Exception], ProblemResponse]:
    """Return a handler that logs few lines, since every open page asks every few seconds."""

    def answer(request: Request, error: Exception) -> ProblemResponse:
        throttle.note()
        unlogged = throttle.due()
        if unlogged is not None:
            log.warning(
                "%s %s: Redis is away or refuses: %s%s",
                request.method,
                request.url.path,
                error,
                unlogged,
            )
        return problem(
            503,
            "the database is away or refuses; try again",
            {"Retry-After": str(RETRY_AFTER_S)},
            code="unavailable",
        )

    return answer


def on_unexpected_error(request: Request, error: Exception) -> ProblemResponse:
    """Answer a bug."""
    log.error("%s %s failed: %r", request.method, request.url.path, error)
    reason = "something went wrong that should not; the log of the API says more"
    return problem(500, reason, code="internal")
