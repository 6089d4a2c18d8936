"""/session: the login of a browser."""

from __future__ import annotations

import contextlib
from typing import Self

from fastapi import APIRouter, Request, Response
from itsdangerous import BadSignature
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lookout.service.api.auth.access import API
from lookout.service.api.auth.token import COOKIE, LOGIN_S, REASONS, WRONG_PASSWORD
from lookout.service.api.dependencies import ServicesDep
from lookout.service.api.json_body import JsonRoute
from lookout.service.core.accounts import Identity
from lookout.service.core.errors import NotFoundError, invalid

router = APIRouter(prefix="/session", tags=["session"], route_class=JsonRoute)
logins_router = APIRouter(tags=["session"])


class Credentials(BaseModel):
    """A token, or the name and password of a user."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    token: str = Field(
        default_factory=str, max_length=1024, repr=False, description="LOOKOUT_TOKEN; stands alone"
    )
    user: str = Field(default_factory=str, max_length=64, description="with `password`")
    password: str = Field(default_factory=str, max_length=256, repr=False)

    @model_validator(mode="after")
    def check_form(self) -> Self:
        """Raise ValueError for anything but one of both."""
        if self.model_fields_set not in ({"token"}, {"user", "password"}):
            raise invalid("`token` is needed, or `user` and `password`", code="way_in")
        return self


class LoginView(BaseModel):
    needed: bool = Field(description="whether this Lookout asks for a token or a password")
    oidc: str | None = Field(
        description="name of the OpenID provider that people may log in by; null: none is set"
    )


@router.get("")
async def get_login(services: ServicesDep) -> LoginView:
    """Return whether a login is needed."""
    oidc = services.oidc.provider.name if services.oidc is not None else None
    return LoginView(needed=not services.auth.is_open, oidc=oidc)


@router.post("", status_code=204, responses={401: {}, 404: {}, 429: {}, 503: {}})
async def log_in(body: Credentials, request: Request, services: ServicesDep) -> Response:
    """Exchange a token, or name and password, for a cookie.

    No script can read it, and no other site can use it. An API token is for programs, and gets
    none.
    """
    auth = services.auth
    if auth.is_open:
        raise NotFoundError(
            "there is nothing to log in to: no token is set (LOOKOUT_TOKEN), and there are no "
            "users",
            code="no_logins",
        )
    user = None
    wrong = REASONS["wrong"]
    if "user" in body.model_fields_set:
        wrong = WRONG_PASSWORD
        sender = await auth.of_password(body.user, body.password, request)
        user = body.user
    else:
        sender = auth.of_token(body.token, request)
        if isinstance(sender, Identity) and not auth.matches(body.token):
            sender = "wrong"
    if not isinstance(sender, Identity):
        return await auth.refuse(sender, request, wrong)
    await services.trail.write(request, sender, "POST /session", f"{API}/session")
    response = Response(status_code=204)
    set_cookie(response, request, COOKIE, auth.new_login(user), LOGIN_S)
    return response


@router.delete("", status_code=204, responses={503: {}})
def log_out(request: Request, services: ServicesDep) -> Response:
    """End the login of the browser, here and wherever its cookie was copied to."""
    cookie = request.cookies.get(COOKIE)
    if services.auth.logins is not None and cookie is not None:
        with contextlib.suppress(BadSignature):
            services.auth.logins.end(services.auth.login_name(cookie), LOGIN_S)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path=cookie_path(request), httponly=True, samesite="strict")
    return response


@logins_router.delete("/logins", status_code=204, responses={404: {}})
def end_logins(services: ServicesDep) -> Response:
    """End the logins of every browser. Programs with a token are not affected."""
    if services.auth.is_open or services.auth.logins is None:
        raise NotFoundError(
            "there are no logins: no token is set (LOOKOUT_TOKEN), and there are no users",
            code="no_logins",
        )
    services.auth.logins.end_all()
    return Response(status_code=204)


def set_cookie(response: Response, request: Request, name: str, value: str, max_age_s: int) -> None:
    """Set a cookie that no script can read and no other site can use."""
    # Behind a proxy with TLS, the browser's page is https while our own socket is http.
    forwarded_scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
    page_scheme = request.headers.get("origin", forwarded_scheme)
    response.set_cookie(
        name,
        value,
        max_age=max_age_s,
        path=cookie_path(request),
        httponly=True,
        samesite="strict",
        secure=page_scheme.startswith("https"),
    )


def cookie_path(request: Request) -> str:
    """Return the path that the cookie is for: other services of the host do not get it."""
    return f"{request.scope['root_path']}/"
