"""/session: a browser's way through the lock."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from lookout.service.api.auth.token import COOKIE, SESSION_S
from lookout.service.api.dependencies import Here
from lookout.service.core.errors import NotFoundError

router = APIRouter(prefix="/session", tags=["session"])


class Token(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    token: str = Field(max_length=1024)


class SessionView(BaseModel):
    needed: bool = Field(description="whether this Lookout asks for a token (LOOKOUT_TOKEN)")


@router.get("")
async def get_session(here: Here) -> SessionView:
    """Whether there is anything to log in to."""
    return SessionView(needed=here.door is not None)


@router.post("", status_code=204, responses={401: {"description": "the token is wrong"}})
async def log_in(given: Token, request: Request, here: Here) -> Response:
    """Exchange the token for a cookie that no script can read and no other site can use."""
    if here.door is None:
        raise NotFoundError("there is nothing to log in to: no token is set (LOOKOUT_TOKEN)")
    if not here.door.knows(given.token):
        return await here.door.refuse("wrong", request)
    answer = Response(status_code=204)
    answer.set_cookie(
        COOKIE,
        here.door.new_session(),
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=_by_tls(request),
    )
    return answer


@router.delete("", status_code=204)
async def log_out() -> Response:
    """Have the browser forget its cookie."""
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _by_tls(request: Request) -> bool:
    """As the browser sees it: behind a proxy that speaks TLS, its `Origin` knows and our own socket does not."""
    return request.headers.get("origin", request.url.scheme).startswith("https")
