"""/session: the login of a browser."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from lookout.service.api.auth.token import COOKIE, LOGIN_S
from lookout.service.api.dependencies import ServicesDep
from lookout.service.api.json_body import JsonRoute
from lookout.service.core.errors import NotFoundError

router = APIRouter(prefix="/session", tags=["session"], route_class=JsonRoute)


class Token(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    token: str = Field(max_length=1024)


class LoginView(BaseModel):
    needed: bool = Field(description="whether this Lookout asks for a token (LOOKOUT_TOKEN)")


@router.get("")
async def get_login(services: ServicesDep) -> LoginView:
    """Return whether a token is needed."""
    return LoginView(needed=services.auth is not None)


@router.post("", status_code=204, responses={401: {"description": "the token is wrong"}})
async def log_in(body: Token, request: Request, services: ServicesDep) -> Response:
    """Exchange the token for a cookie that no script can read and no other site can use."""
    if services.auth is None:
        raise NotFoundError("there is nothing to log in to: no token is set (LOOKOUT_TOKEN)")
    if not services.auth.matches(body.token):
        return await services.auth.refuse("wrong", request)
    # Behind a proxy with TLS, the browser's Origin is https while our own socket is http.
    page_scheme = request.headers.get("origin", request.url.scheme)
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


@router.delete("", status_code=204)
async def log_out(request: Request) -> Response:
    """Delete the browser's cookie."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path=cookie_path(request), httponly=True, samesite="strict")
    return response


def cookie_path(request: Request) -> str:
    """Return the path that the cookie is for: other services of the host do not get it."""
    return f"{request.scope['root_path']}/"
