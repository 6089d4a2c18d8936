"""Roles: which one each endpoint needs, and the layer that lets nobody else pass."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookout.service.api import page
from lookout.service.api.audit import AuditTrail
from lookout.service.api.auth.token import Authenticator
from lookout.service.api.problems import ProblemResponse, problem
from lookout.service.api.root_path import route_path
from lookout.service.core.accounts import Identity, Role
from lookout.service.core.errors import RoleError

API = "/api/v1"
LIVE = "WS"  # in place of a method
LEAST_ROLES: dict[str, Role] = {
    "GET /": "viewer",
    "GET /docs": "viewer",
    "GET /metrics": "viewer",
    "GET /summary": "viewer",
    "GET /system": "admin",
    "GET /cameras": "viewer",
    "POST /cameras": "admin",
    "GET /cameras/{camera}": "viewer",
    "PATCH /cameras/{camera}": "operator",  # of OPERATOR_FIELDS alone; others: admin
    "DELETE /cameras/{camera}": "admin",
    "POST /cameras/{camera}/arm": "operator",
    "POST /cameras/{camera}/test-alert": "operator",
    "GET /cameras/{camera}/events": "viewer",
    "GET /cameras/{camera}/scores": "viewer",
    "GET /cameras/{camera}/history": "viewer",
    "GET /cameras/{camera}/offered-masks": "viewer",
    "GET /cameras/{camera}/suppressions": "viewer",
    "DELETE /cameras/{camera}/suppressions/{suppression}": "operator",
    "GET /cameras/{camera}/heatmap": "viewer",
    "GET /cameras/{camera}/frame": "viewer",
    "GET /cameras/{camera}/copy": "operator",
    "GET /cameras/{camera}/live.mjpeg": "viewer",
    "GET /recordings": "operator",
    "PUT /recordings/{name}": "operator",
    "DELETE /recordings/{name}": "operator",
    "POST /cameras/{camera}/learn": "operator",
    "POST /cameras/{camera}/rollback": "operator",
    "GET /jobs": "viewer",
    "POST /jobs": "operator",
    "GET /jobs/{job}": "viewer",
    "DELETE /jobs/{job}": "operator",
    "GET /jobs/{job}/files/{name}": "viewer",
    "POST /jobs/{job}/promote": "operator",
    "GET /jobs/{job}/left-out": "viewer",
    "GET /jobs/{job}/left-out/{segment}/picture": "viewer",
    "PATCH /jobs/{job}/left-out/{segment}": "operator",
    "GET /alerts": "viewer",
    "GET /alerts/{alert}": "viewer",
    "PATCH /alerts/{alert}": "operator",
    "GET /alerts/{alert}/picture": "viewer",
    "GET /alerts/{alert}/clip": "viewer",
    "POST /acknowledgements": "operator",
    "GET /alert-rule": "viewer",
    "GET /models": "viewer",
    "GET /audit": "admin",
    "GET /sinks": "admin",
    "POST /sinks": "admin",
    "GET /sinks/{sink}": "admin",
    "PATCH /sinks/{sink}": "admin",
    "DELETE /sinks/{sink}": "admin",
    "POST /sinks/{sink}/test": "admin",
    "GET /sinks/{sink}/letters": "admin",
    "POST /sinks/{sink}/resend": "admin",
    "POST /sinks/{sink}/letters/{letter}/send": "admin",
    "DELETE /sinks/{sink}/letters/{letter}": "admin",
    "GET /push-key": "admin",
    "GET /me": "viewer",
    "PATCH /me": "viewer",
    "GET /users": "admin",
    "POST /users": "admin",
    "GET /users/{user}": "admin",
    "PATCH /users/{user}": "admin",
    "DELETE /users/{user}": "admin",
    "DELETE /users/{user}/logins": "admin",
    "GET /tokens": "admin",
    "POST /tokens": "admin",
    "GET /tokens/{token}": "admin",
    "DELETE /tokens/{token}": "admin",
    "DELETE /logins": "admin",
    "GET /openapi.json": "viewer",
    "GET /asyncapi.json": "viewer",
    f"{LIVE} /live": "viewer",
}
"""The least role of each endpoint, below `/api/v1`. One that stands in no line is for admins."""

OPERATOR_FIELDS = frozenset({"enabled"})
"""Fields of a camera that an operator may change."""

OPEN = frozenset(
    {
        "GET /login",
        "GET /healthz",
        "GET /readyz",
        "GET /session",
        "POST /session",
        "DELETE /session",
        "GET /session/oidc",
        "POST /session/oidc",
        "POST /session/oidc/login",
    }
)
"""Endpoints that need no role."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A route of the app: its key in LEAST_ROLES or OPEN, and the form of its paths."""

    method: str
    name: str
    form: re.Pattern[str]


def endpoints(app: FastAPI) -> Iterator[Endpoint]:
    """Yield every endpoint of an app, in the order in which its router tries them."""
    for route in iter_route_contexts(app.routes):
        form = getattr(route, "path_regex", None)
        if form is None or route.path_format is None or route.path_format.endswith("{path}"):
            continue  # a folder of the page's own files
        for method in sorted((route.methods or {LIVE}) - {"HEAD"}):
            yield Endpoint(method, endpoint_name(method, route.path_format), form)


def endpoint_name(method: str, path: str) -> str:
    """Return the key of an endpoint in LEAST_ROLES or OPEN."""
    return f"{method.upper()} {path.removeprefix(API)}"


def least_role(method: str, path: str) -> Role | None:
    """Return the role that an endpoint needs; None where it needs none."""
    name = endpoint_name(method, path)
    return None if name in OPEN else LEAST_ROLES.get(name, "admin")


class AccessMiddleware:
    """Let a request pass whose sender has the role, and the camera in scope.

    401 for a sender who is not known (`/` answers with the login form), 403 with the role that is
    needed, 404 for a camera out of scope, as for one that is not there. Open are `open_paths` and
    the page's own files. The sender is then the request's `identity`, and a change that is made is
    written to the audit before it is answered.
    """

    def __init__(
        self, app: ASGIApp, auth: Authenticator, trail: AuditTrail, open_paths: Container[str]
    ) -> None:
        self._app = app
        self._auth = auth
        self._trail = trail
        self._open_paths = open_paths
        self._endpoints: list[Endpoint] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        path = route_path(scope)
        if path in self._open_paths or path.startswith(page.FOLDERS):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        sender = self._auth.identify(connection)
        if not isinstance(sender, Identity):
            response = await self._auth.refuse(sender, connection)
            is_page = scope["type"] == "http" and path == page.PATH
            if is_page and response.status_code == 401:
                await page.login_form(response.headers)(scope, receive, send)
            else:
                await response(scope, receive, send)
            return
        connection.state.identity = sender
        found = self.find(scope, path)
        refusal = found and refusal_of(sender, *found)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if found is None or found[0].method in ("GET", LIVE):
            await self._app(scope, receive, send)
            return
        action = found[0].name

        async def send_audited(message: Message) -> None:
            is_repeat = getattr(connection.state, "is_repeat", False)
            is_start = message["type"] == "http.response.start"
            if is_start and message["status"] < 400 and not is_repeat:
                target = Headers(raw=message["headers"]).get("location", path)
                fields = getattr(connection.state, "fields", ())
                await self._trail.write(connection, sender, action, target, fields)
            await send(message)

        await self._app(scope, receive, send_audited)

    def find(self, scope: Scope, path: str) -> tuple[Endpoint, Mapping[str, str]] | None:
        """Return the endpoint of a request and its parameters, None where there is none."""
        if not self._endpoints:
            self._endpoints = list(endpoints(scope["app"]))
        method = LIVE
        if scope["type"] == "http":
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
        for endpoint in self._endpoints:
            if endpoint.method == method and (found := endpoint.form.match(path)):
                return endpoint, found.groupdict()
        return None


def refusal_of(
    sender: Identity, endpoint: Endpoint, parameters: Mapping[str, str]
) -> ProblemResponse | None:
    """Return the answer to a request that its sender may not make; None where there is none."""
    role = LEAST_ROLES.get(endpoint.name, "admin")
    if not sender.may(role):
        refused = too_small(role, sender)
        return problem(403, str(refused), code=refused.code, values=refused.values)
    hidden = out_of_scope(sender, parameters)
    if hidden is None:
        return None
    kind, name = hidden
    return problem(404, f"there is no {kind} {name!r}", code=f"no_{kind}", values={kind: name})


def too_small(role: Role, sender: Identity) -> RoleError:
    """Return the reason of a 403."""
    return RoleError(
        f"this needs the role {role!r}; {sender.name} has {sender.role!r}",
        code="role",
        needed=role,
        name=sender.name,
        role=sender.role,
    )


def check_role(sender: Identity, role: Role) -> None:
    """Raise RoleError where the sender's role is too small."""
    if not sender.may(role):
        raise too_small(role, sender)


def check_camera_fields(sender: Identity, change: BaseModel) -> None:
    """Raise RoleError where a change of a camera holds more than its sender may change."""
    if not change.model_fields_set <= OPERATOR_FIELDS:
        check_role(sender, "admin")


def out_of_scope(sender: Identity, parameters: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the kind and name of what a path leads to, where its sender does not see that."""
    for kind, value in parameters.items():
        camera = value
        if kind in ("alert", "job"):
            camera = value.rpartition(":")[0]
        elif kind != "camera":
            continue
        if not sender.sees(camera):
            return kind, value
    return None


async def identity_of(connection: HTTPConnection) -> Identity:
    """Return the sender of a request."""
    return cast(Identity, connection.state.identity)


IdentityDep = Annotated[Identity, Depends(identity_of)]
