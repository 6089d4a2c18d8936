"""/me, /users, /tokens and /audit: who may come in, and what each may do and has done."""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from starlette.concurrency import run_in_threadpool

from lookout.service.api.audit import AuditLineView, AuditList
from lookout.service.api.auth.access import IdentityDep
from lookout.service.api.auth.logins import digest_of
from lookout.service.api.auth.token import TOKEN_PREFIX
from lookout.service.api.dependencies import Services, ServicesDep
from lookout.service.api.json_body import JsonRoute
from lookout.service.api.problems import invalid_fields
from lookout.service.core.accounts import (
    Identity,
    Password,
    Role,
    TokenRecord,
    TokenSpec,
    UserChange,
    UserRecord,
    UserSpec,
    WayIn,
)
from lookout.service.core.camera import STRICT
from lookout.service.core.errors import ConflictError, NotFoundError, RequestError
from lookout.service.core.messages import FRAME_ID, FrameId

router = APIRouter(tags=["accounts"], route_class=JsonRoute)

CONFLICT: dict[int | str, dict[str, Any]] = {409: {}}  # openapi.py describes it
DAY_S = 86_400
WRONG_CURRENT = "`current_password` is wrong"
USER_EXAMPLE: dict[str, JsonValue] = {
    "name": "anna",
    "role": "operator",
    "cameras": ["gate"],
    "created_at": 1767225600.0,
    "by": "password",
}
TOKEN_EXAMPLE: dict[str, JsonValue] = {
    "name": "home-assistant",
    "role": "viewer",
    "cameras": None,
    "created_at": 1767225600.0,
    "created_by": "anna",
    "expires_at": 1798761600.0,
}


class IdentityView(BaseModel):
    """The sender of a request."""

    name: str = Field(
        description="of a user; `token NAME` of an API token; `token` or a login by "
        "LOOKOUT_TOKEN; `anybody` where nobody is asked"
    )
    role: Role
    cameras: list[str] | None = Field(description="the only cameras that it sees; null: all")
    by: WayIn = Field(
        description="what it is known by: `password` of a user, `oidc`: a user's OpenID provider, "
        "`api_token`, `token`: LOOKOUT_TOKEN; `nothing` where nobody is asked"
    )
    is_user: bool = Field(description="it has a password of its own, which PATCH changes")


class UserView(BaseModel):
    """A user. The password is never shown."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [USER_EXAMPLE]})

    name: str
    role: Role
    cameras: list[str] | None = Field(description="the only cameras that are seen; null: all")
    created_at: float
    by: WayIn = Field(
        description="`password`, or `oidc`: role and cameras are the OpenID provider's"
    )


class UserList(BaseModel):
    items: list[UserView]
    unreadable: list[str] = Field(description="users whose record cannot be read: no door opens")


class ApiTokenView(BaseModel):
    """An API token, without the token itself."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [TOKEN_EXAMPLE]})

    name: str
    role: Role
    cameras: list[str] | None = Field(description="the only cameras that are seen; null: all")
    created_at: float
    created_by: str
    expires_at: float


class NewApiToken(ApiTokenView):
    """An API token, the only time that it is shown."""

    token: str = Field(description="send it as `Authorization: Bearer …`; it is not stored")


class ApiTokenList(BaseModel):
    items: list[ApiTokenView]


class PasswordChange(BaseModel):
    """A new password of one's own."""

    model_config = STRICT

    current_password: Annotated[str, Field(max_length=256)] = Field(repr=False)
    password: Password = Field(description="12 to 256 characters", repr=False)


def needs_admin(services: Services) -> bool:
    """Return whether there must be an admin among the users: no token stands in for one."""
    return not services.auth.has_token


def read_again(services: Services) -> None:
    """Let what was changed hold at once in this process; at the others it does in a second."""
    if services.auth.logins is not None:
        services.auth.logins.read()


def user_named(services: Services, name: str) -> UserRecord:
    """Return one user. Raises NotFoundError."""
    user = services.store.accounts().users.get(name)
    if user is None:
        raise NotFoundError(f"there is no user {name!r}", code="no_user", name=name)
    return user


# /me


@router.get("/me")
def get_me(sender: IdentityDep) -> IdentityView:
    """Return who is asking, and what they may do."""
    cameras = sorted(sender.cameras) if sender.cameras is not None else None
    is_user = sender.by == "password"
    return IdentityView(
        name=sender.name, role=sender.role, cameras=cameras, by=sender.by, is_user=is_user
    )


@router.patch(
    "/me", status_code=204, operation_id="change_password", responses={404: {}, **CONFLICT}
)
async def change_own_password(
    change: PasswordChange, request: Request, services: ServicesDep, sender: IdentityDep
) -> Response:
    """Change the sender's own password; every login of the user ends, this one too."""
    before = await run_in_threadpool(user_named, services, sender.name)
    found = await services.auth.of_password(sender.name, change.current_password, request)
    if not isinstance(found, Identity):
        return await services.auth.refuse(found, request, WRONG_CURRENT)
    new = UserChange(password=change.password)
    await run_in_threadpool(replace_user, services, before, new)
    return Response(status_code=204)


def replace_user(services: Services, before: UserRecord, change: BaseModel) -> UserRecord:
    """Change a user; another password ends the user's logins. Return the user.

    Raises RequestError, NotFoundError, ConflictError.
    """
    if before.by == "oidc":
        raise ConflictError(
            f"{before.name!r} comes by the OpenID provider, which says role and cameras",
            code="user_of_provider",
            name=before.name,
        )
    given = change.model_dump(exclude_unset=True)
    password = given.pop("password", None)
    if password is not None:
        given["password_hash"] = services.auth.passwords.hash(password.get_secret_value())
        given["epoch"] = secrets.token_hex(8)
    try:
        new = before.changed(given)
    except ValidationError as error:
        raise invalid_fields(error) from error
    services.store.replace_user(new, before, needs_admin=needs_admin(services))
    read_again(services)
    return new


# /users


@router.get("/users")
def list_users(services: ServicesDep) -> UserList:
    """Return the users, by name."""
    known = services.store.accounts()
    items = [UserView.model_validate(user) for user in known.users.values()]
    return UserList(items=items, unreadable=list(known.unreadable))


@router.post("/users", status_code=201, operation_id="create_user", responses=CONFLICT)
def add_user(
    spec: Annotated[
        UserSpec,
        Body(
            openapi_examples={
                "an operator of one camera": {
                    "value": {
                        "name": "anna",
                        "password": "four-words-of-a-poem",
                        "role": "operator",
                        "cameras": ["gate"],
                    }
                }
            }
        ),
    ],
    response: Response,
    services: ServicesDep,
) -> UserView:
    """Add a user. From the first one on, everybody is asked for a password or a token."""
    is_first = not services.store.accounts().has_users
    if is_first and needs_admin(services) and spec.role != "admin":
        raise ConflictError(
            "the first user is an admin: no token is set (LOOKOUT_TOKEN), and nobody else could "
            "change anything",
            code="first_admin",
        )
    record = UserRecord(
        name=spec.name,
        role=spec.role,
        cameras=spec.cameras,
        password_hash=services.auth.passwords.hash(spec.password.get_secret_value()),
        epoch=secrets.token_hex(8),
        created_at=time.time(),
    )
    services.store.add_user(record)
    read_again(services)
    response.headers["Location"] = f"/api/v1/users/{spec.name}"
    return UserView.model_validate(record)


@router.get("/users/{user}")
def get_user(user: str, services: ServicesDep) -> UserView:
    """Return one user."""
    return UserView.model_validate(user_named(services, user))


@router.patch("/users/{user}", operation_id="update_user", responses=CONFLICT)
def change_user(
    user: str,
    change: Annotated[
        UserChange,  # type: ignore[valid-type]
        Body(openapi_examples={"see all cameras": {"value": {"cameras": None}}}),
    ],
    services: ServicesDep,
) -> UserView:
    """Change role, cameras or password of a user; a new password ends the user's logins."""
    return UserView.model_validate(replace_user(services, user_named(services, user), change))


@router.delete("/users/{user}", status_code=204, operation_id="delete_user", responses=CONFLICT)
def remove_user(user: str, services: ServicesDep) -> None:
    """Remove a user, and end the user's logins. API tokens that the user made stay."""
    services.store.remove_user(user, needs_admin=needs_admin(services))
    read_again(services)


@router.delete(
    "/users/{user}/logins", status_code=204, operation_id="end_user_logins", responses=CONFLICT
)
def end_user_logins(user: str, services: ServicesDep) -> None:
    """End every login of a user, who may log in again; WebSockets of theirs are closed."""
    before = user_named(services, user)
    new = before.changed({"epoch": secrets.token_hex(8)})
    services.store.replace_user(new, before, needs_admin=needs_admin(services))
    read_again(services)


# /tokens


@router.get("/tokens")
def list_tokens(services: ServicesDep) -> ApiTokenList:
    """Return the API tokens, by name, expired ones too."""
    tokens = services.store.accounts().tokens.values()
    return ApiTokenList(items=[ApiTokenView.model_validate(token) for token in tokens])


@router.post("/tokens", status_code=201, operation_id="create_token", responses=CONFLICT)
def add_token(
    spec: Annotated[
        TokenSpec,
        Body(
            openapi_examples={
                "a program that sees all": {"value": {"name": "home-assistant", "role": "viewer"}}
            }
        ),
    ],
    response: Response,
    services: ServicesDep,
    sender: IdentityDep,
) -> NewApiToken:
    """Make an API token for a program. It is shown in this answer and never again."""
    if services.auth.is_open:
        raise ConflictError(
            "nobody is asked for a token here: set one (LOOKOUT_TOKEN), or add a user, first",
            code="nobody_is_asked",
        )
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    now = time.time()
    record = TokenRecord(
        name=spec.name,
        role=spec.role,
        cameras=spec.cameras,
        digest=digest_of(token),
        created_at=now,
        created_by=sender.name,
        expires_at=now + spec.days * DAY_S,
    )
    services.store.add_token(record)
    read_again(services)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Location"] = f"/api/v1/tokens/{spec.name}"
    shown = ApiTokenView.model_validate(record).model_dump()
    return NewApiToken(**shown, token=token)


@router.get("/tokens/{token}", operation_id="get_token")
def get_api_token(token: str, services: ServicesDep) -> ApiTokenView:
    """Return one API token by its name, without the token itself."""
    found = services.store.accounts().tokens.get(token)
    if found is None:
        raise NotFoundError(f"there is no token {token!r}", code="no_token", name=token)
    return ApiTokenView.model_validate(found)


@router.delete("/tokens/{token}", status_code=204, operation_id="delete_token")
def revoke_token(token: str, services: ServicesDep) -> None:
    """Revoke an API token by its name; WebSockets that it opened are closed."""
    services.store.remove_token(token)
    read_again(services)


# /audit


@router.get("/audit", operation_id="list_audit")
def list_audit(
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[
        str | None,
        Query(description="`next` of the page before", json_schema_extra={"pattern": FRAME_ID}),
    ] = None,
) -> AuditList:
    """Return changes and logins, newest first; the last 10,000 are kept."""
    if cursor is not None:
        try:
            cursor = str(FrameId.parse(cursor))
        except ValueError as error:
            raise RequestError(f"cursor: {error}", code="no_cursor") from error
    # One more than asked for tells whether there is a next page.
    found = list(services.store.audit_lines(limit + 1, cursor).items())
    items = [
        AuditLineView.model_validate({"id": name, **asdict(line)}) for name, line in found[:limit]
    ]
    return AuditList(items=items, next=found[limit - 1][0] if len(found) > limit else None)
