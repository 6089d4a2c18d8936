"""The OpenAPI document: FastAPI's own, with every error as a problem (RFC 9457)."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from lookout.service.api.auth.access import least_role
from lookout.service.api.idempotency import HEADER, KEY_FORM
from lookout.service.api.problems import Problem

BINARY = {"type": "string", "format": "binary"}
REFERENCE = "#/components/schemas/{model}"
CHANGING = {"post", "put", "patch", "delete"}
KEY_PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "of your own making, such as a UUID: the same request sent again with it is not "
    "done twice, and gets its first answer",
    "schema": {"type": "string", "pattern": KEY_FORM},
}
REASONS = {
    400: "the request cannot be read, or `Host` is not an allowed name",
    401: "the token is needed, or is wrong",
    403: "the request comes from a page of another site, or a larger role is needed",
    404: "not there",
    405: "the path has no such method",
    408: "the request did not come in time",
    409: "it exists already, another request changed it meanwhile, or one with the same "
    "`Idempotency-Key` is still running",
    412: "it was changed meanwhile: `If-Match` names another version; both are in the answer",
    413: "the body is too large",
    422: "the request is not valid",
    429: "too many wrong tokens from this address",
    503: "the database or a stage is away",
    507: "the disk takes nothing more",
}


def install(app: FastAPI) -> None:
    """Serve the document with its errors; it is made once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title, summary=app.summary, version=app.version, routes=app.routes
            )
            app.openapi_schema = with_problems(made)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with role and errors of each operation."""
    schemas = document["components"]["schemas"]
    made = Problem.model_json_schema(ref_template=REFERENCE)
    schemas |= made.pop("$defs")
    schemas["Problem"] = made
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = {"schema": {"$ref": REFERENCE.format(model="Problem")}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if (role := least_role(method, path)) is not None:
                operation["x-least-role"] = role
            if takes_key(method, operation):
                operation.setdefault("parameters", []).append(KEY_PARAMETER)
            for status in error_statuses(method, operation):
                operation["responses"][str(status)] = {
                    "description": REASONS[status],
                    "content": {"application/problem+json": problem},
                }
    return document


def takes_key(method: str, operation: dict[str, Any]) -> bool:
    """Tell whether an operation makes something for a known sender: all POSTs but the login's."""
    return method == "post" and "security" in operation


def error_statuses(method: str, operation: dict[str, Any]) -> list[int]:
    """Return which errors an operation may answer with."""
    found = {400, 405, *(int(status) for status in operation["responses"] if status >= "4")}
    if "security" in operation:
        found |= {401, 403, 429, 503}
    if method in CHANGING:
        found |= {403}
    if takes_key(method, operation):
        found |= {409, 422}
    if "requestBody" in operation:
        found |= {413, 422}
    if any(parameter["in"] == "path" for parameter in operation.get("parameters", [])):
        found |= {404}
    return sorted(found)


def operation_id(route: APIRoute) -> str:
    """Return a short id: the name of the endpoint's function."""
    return route.name
