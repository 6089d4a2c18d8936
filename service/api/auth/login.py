"""/session: the login of a browser."""

from __future__ import annotations

import contextlib

from fastapi import APIRouter, Request, Response
from itsdangerous import BadSignature
from pydantic import BaseModel, ConfigDict, Field

from lookout.service.api.auth.token import COOKIE, LOGIN_S
from lookout.service.api.dependencies import ServicesDep
from lookout.service.api.json_body import JsonRoute
from lookout.service.core.errors import NotFoundError

router = APIRouter(prefix="/session", tags=["session"], route_class=JsonRoute)
logins_router = APIRouter(tags=["session"])


class Token(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    token: str = Field(max_length=1024)


class LoginView(BaseModel):
    needed: bool = Field(description="whether this Lookout asks for a token (LOOKOUT_TOKEN)")


@router.get("")
async def get_login(services: ServicesDep) -> LoginView:
    """Return whether a token is needed."""
    return LoginView(needed=services.auth is not None)


@router.post("", status_code=204, responses={401: {}, 404: {}, 429: {}})
async def log_in(body: Token, request: Request, services: ServicesDep) -> Response:
    """Exchange the token for a cookie that no script can read and no other site can use."""
    if services.auth is None:
        raise NotFoundError("there is nothing to log in to: no token is set (LOOKOUT_TOKEN)")
    refusal = services.auth.token_refusal(body.token, request)
    if refusal is not None:
        return await services.auth.refuse(refusal, request)
    # Behind a proxy with TLS, the browser's page is https while our own socket is http.
    forwarded_scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
    page_scheme = request.headers.get("origin", forwarded_scheme)
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        services.auth.new_login(),
        max_age=LOGIN_S,
        path=cookie_path(request),
        httponly=True,
        samesite="strict",
        secure=page_scheme.startswith("https"),
    )
    return response


@router.delete("", status_code=204, responses={503: {}})
def log_out(request: Request, services: ServicesDep) -> Response:
    """End the login of the browser, here and wherever its cookie was copied to."""
    cookie = request.cookies.get(COOKIE)
    if services.auth is not None and services.auth.logins is not None and cookie is not None:
        with contextlib.suppress(BadSignature):
            services.auth.logins.end(services.auth.login_name(cookie), LOGIN_S)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path=cookie_path(request), httponly=True, samesite="strict")
    return response


@logins_router.delete("/logins", status_code=204, responses={404: {}})
def end_logins(services: ServicesDep) -> Response:
    """End the logins of every browser. Programs with the token are not affected."""
    if services.auth is None or services.auth.logins is None:
        raise NotFoundError("there are no logins: no token is set (LOOKOUT_TOKEN)")
    services.auth.logins.end_all()
    return Response(status_code=204)


def cookie_path(request: Request) -> str:
    """Return the path that the cookie is for: other services of the host do not get it."""
    return f"{request.scope['root_path']}/"
