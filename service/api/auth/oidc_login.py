"""/session/oidc: the login of a browser by an OpenID provider.

The page asks where to go, and keeps the attempt in a signed cookie; the provider sends the browser
to `/login`, whose script hands the code in. No page of another site can begin or end a log-in.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import secrets
import time
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Request, Response
from itsdangerous import BadSignature
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from lookout.service.api.auth.access import API
from lookout.service.api.auth.guesses import client_address
from lookout.service.api.auth.login import cookie_path, set_cookie
from lookout.service.api.auth.oidc import (
    Admission,
    Attempt,
    NoRoleError,
    OidcError,
    OidcLogins,
    Person,
    shown,
)
from lookout.service.api.auth.token import COOKIE, Authenticator
from lookout.service.api.dependencies import Services, ServicesDep
from lookout.service.api.json_body import JsonRoute
from lookout.service.core.accounts import UserRecord
from lookout.service.core.errors import ConflictError, NotFoundError, RequestError
from lookout.service.storage.store.store import Store

router = APIRouter(prefix="/session/oidc", tags=["session"], route_class=JsonRoute)

ATTEMPT_COOKIE = "lookout_oidc"
ATTEMPT_S = 600
BEGIN_AGAIN = "this log-in was not begun in this browser, or more than 10 minutes ago: begin again"


class OidcStart(BaseModel):
    address: str = Field(description="of the provider, where the browser goes now")


class OidcLogOut(BaseModel):
    address: str | None = Field(
        description="where the browser goes after DELETE /session to end the provider's log-in "
        "too; null: nowhere"
    )


class OidcAnswer(BaseModel):
    """The code, or the error, that the provider sent the browser back with."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    state: Annotated[str, Field(max_length=200)] = Field(repr=False)
    code: str = Field(default_factory=str, max_length=4096, repr=False)
    error: str = Field(default_factory=str, max_length=200)


def oidc_of(services: Services) -> OidcLogins:
    """Return the log-ins by the provider. Raises NotFoundError where none is set."""
    if services.oidc is None:
        raise NotFoundError("no OpenID provider is set (LOOKOUT_OIDC_ISSUER)", code="no_provider")
    return services.oidc


@router.get("", operation_id="get_oidc_log_out", responses={404: {}, 503: {}})
async def get_log_out(request: Request, services: ServicesDep) -> OidcLogOut:
    """Return where the provider ends its own log-in."""
    oidc = oidc_of(services)
    try:
        return OidcLogOut(address=await oidc.ask(oidc.provider.log_out_address))
    except OidcError as error:
        return oidc.refuse(error, request)  # type: ignore[return-value]


@router.post("", operation_id="begin_oidc_login", responses={401: {}, 404: {}, 503: {}})
async def begin(request: Request, response: Response, services: ServicesDep) -> OidcStart:
    """Begin a log-in by the OpenID provider: return where the browser goes.

    `Origin` is where the browser comes back to, below it `/login`. A cookie holds the attempt for
    10 minutes.
    """
    oidc = oidc_of(services)
    origin = request.headers.get("origin")
    if origin is None:
        raise RequestError(
            "`Origin` is needed: a page of this Lookout begins a log-in", code="foreign"
        )
    attempt = Attempt(
        state=secrets.token_urlsafe(24),
        nonce=secrets.token_urlsafe(24),
        verifier=secrets.token_urlsafe(48),
        redirect_uri=f"{origin}{cookie_path(request)}login",
    )
    try:
        signed = seal(attempt, services.auth)
        address = await oidc.ask(oidc.provider.address, attempt)
    except BadSignature:  # the store has not been read yet
        return await services.auth.refuse("unverified", request)  # type: ignore[return-value]
    except OidcError as error:
        return oidc.refuse(error, request)  # type: ignore[return-value]
    set_cookie(response, request, ATTEMPT_COOKIE, signed, ATTEMPT_S)
    return OidcStart(address=address)


@router.post(
    "/login",
    status_code=204,
    operation_id="finish_oidc_login",
    responses={401: {}, 404: {}, 409: {}, 429: {}, 503: {}},
)
async def finish(answer: OidcAnswer, request: Request, services: ServicesDep) -> Response:
    """Exchange what the provider sent the browser back with for a cookie, as POST /session does.

    The person becomes a user without a password; role and cameras are the provider's at each
    log-in. Who has no role any more is removed.
    """
    oidc = oidc_of(services)
    auth = services.auth
    if auth.is_unknown or auth.logins is None:
        return await auth.refuse("unverified", request)
    # Counted before it is looked at, like a password.
    address = client_address(request)
    if not auth.password_guesses.failed(address):
        return await auth.refuse("limited", request)
    response: Response
    try:
        attempt = attempt_of(request, answer, auth)
        admission = await oidc.ask(oidc.provider.admit, attempt, answer.code)
        user = await run_in_threadpool(let_in, services.store, admission)
        await run_in_threadpool(auth.logins.read)
    except (OidcError, ConflictError, NotFoundError) as error:
        if isinstance(error, NoRoleError):
            await end_of(error.person, request, services)
        response = oidc.refuse(error, request)
    else:
        auth.password_guesses.was_right(address)
        sender = user.identity(user.name, user.by)
        action = "POST /session/oidc/login"
        await services.trail.write(request, sender, action, f"{API}/users/{user.name}")
        response = Response(status_code=204)
        login_s = oidc.provider.login_s
        login = auth.new_login(user.name, time.time() + login_s)
        set_cookie(response, request, COOKIE, login, int(login_s))
    response.delete_cookie(
        ATTEMPT_COOKIE, path=cookie_path(request), httponly=True, samesite="strict"
    )
    return response


def seal(attempt: Attempt, auth: Authenticator) -> str:
    """Return the cookie of an attempt. Raises BadSignature while there is no key."""
    text = base64.urlsafe_b64encode(json.dumps(asdict(attempt)).encode())
    return auth.signer_of("lookout oidc").sign(text).decode()


def attempt_of(request: Request, answer: OidcAnswer, auth: Authenticator) -> Attempt:
    """Return the attempt that an answer is to.

    Raises OidcError where this browser did not begin it, or the answer is an error.
    """
    signed = request.cookies.get(ATTEMPT_COOKIE, "")
    try:
        text = auth.signer_of("lookout oidc").unsign(signed, max_age=ATTEMPT_S)
        attempt = Attempt(**json.loads(base64.urlsafe_b64decode(text)))
    except (BadSignature, ValueError, OverflowError, OSError):
        raise OidcError(BEGIN_AGAIN, code="oidc_begin_again") from None
    if not hmac.compare_digest(attempt.state.encode(), answer.state.encode()):
        raise OidcError(BEGIN_AGAIN, code="oidc_begin_again")
    if not answer.code:
        reason = shown(answer.error or "no code")
        raise OidcError(
            f"the provider lets nobody in: {reason}", code="oidc_refuses", reason=reason
        )
    return attempt


def let_in(store: Store, admission: Admission) -> UserRecord:
    """Return the user of a person, who is added or changed where that is needed.

    Raises OidcError where the name is another one's, ConflictError, NotFoundError.
    """
    person = admission.person
    known = store.accounts()
    before = known.users.get(person.name)
    if person.name in known.unreadable or (before and before.password_hash != person.digest):
        raise OidcError(
            f"there is a user {person.name!r} already, who is not this person: ask an admin",
            code="oidc_another",
            name=person.name,
        )
    if before is None:
        user = UserRecord(
            name=person.name,
            role=admission.role,
            cameras=admission.cameras,
            password_hash=person.digest,
            epoch=secrets.token_hex(8),
            created_at=time.time(),
        )
        store.add_user(user)
        return user
    user = before.changed({"role": admission.role, "cameras": admission.cameras})
    if user != before:
        store.replace_user(user, before, needs_admin=False)
    return user


async def end_of(person: Person, request: Request, services: Services) -> None:
    """Remove the user of a person who has no role any more; their logins end with it."""
    logins = services.auth.logins
    user = services.store.accounts().users.get(person.name)
    if logins is None or user is None or user.password_hash != person.digest:
        return
    with contextlib.suppress(NotFoundError):
        await run_in_threadpool(services.store.remove_user, user.name, needs_admin=False)
    await run_in_threadpool(logins.read)
    sender = user.identity(user.name, user.by)
    action = "DELETE /users/{user}"
    await services.trail.write(request, sender, action, f"{API}/users/{user.name}")
