"""Users and API tokens, their roles and scopes, and the identity that a request has by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, Field, SecretStr, create_model, field_validator, model_validator

from lookout.service.core.camera import STRICT, CameraId
from lookout.service.core.errors import invalid

Role = Literal["viewer", "operator", "admin"]
WayIn = Literal["nothing", "token", "api_token", "password", "oidc"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Every role may do what those before it may."""

MAX_USERS = 200
MAX_TOKENS = 200
MAX_TOKEN_DAYS = 3650
RESERVED = frozenset({"anybody", "token"})
"""Identities that are no users."""

OF_PROVIDER = "oidc:"
"""In the place of a hash: the user comes by an OpenID provider, and no password is right."""

AccountName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
Password = Annotated[SecretStr, Field(min_length=12, max_length=256)]


@dataclass(frozen=True, slots=True)
class Identity:
    """The sender of a request, as far as it is known."""

    name: str  # of a user; `token NAME` of an API token; `token` or `login …` by LOOKOUT_TOKEN
    role: Role
    cameras: frozenset[str] | None = None  # None: all
    by: WayIn = "password"  # what the sender is known by

    def may(self, role: Role) -> bool:
        """Tell whether what needs `role` is allowed."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def sees(self, camera: str) -> bool:
        """Tell whether a camera is in scope."""
        return self.cameras is None or camera in self.cameras


ANYBODY = Identity("anybody", "admin", by="nothing")
"""The sender of every request to a Lookout without token and users."""


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One change, and who made it. What was sent is not kept: it may hold a password."""

    at: float  # s, UTC epoch
    who: str  # an identity's name
    role: Role
    action: str  # the method and the form of the path: `PATCH /cameras/{camera}`
    target: str  # the path, or the one of what was added
    fields: tuple[str, ...]  # names of those that were sent
    address: str  # of the client


class Access(BaseModel):
    """The fields that users and API tokens share."""

    model_config = STRICT

    role: Role = Field(
        description="`viewer`: sees; `operator`: also answers alerts, pauses cameras and has them "
        "learn; `admin`: everything"
    )
    cameras: Annotated[list[CameraId], Field(min_length=1, max_length=1000)] | None = Field(
        default=None, description="the only cameras that are seen; null: all", examples=[["gate"]]
    )

    @model_validator(mode="after")
    def check_scope(self) -> Self:
        """Raise ValueError for an admin with a scope, which an admin could widen."""
        if self.role == "admin" and self.cameras is not None:
            raise invalid("an admin sees every camera: leave `cameras` out", code="admin_scope")
        return self

    def identity(self, name: str, by: WayIn = "password") -> Identity:
        """Return the identity of whoever comes with this access."""
        cameras = None if self.cameras is None else frozenset(self.cameras)
        return Identity(name, self.role, cameras, by)


class UserSpec(Access):
    """A user, as an admin adds one."""

    name: AccountName = Field(
        description="letters, digits and `. _ @ -`, up to 64", examples=["anna"]
    )
    password: Password = Field(
        description="12 to 256 characters", examples=["four-words-of-a-poem"], repr=False
    )

    @field_validator("name")
    @classmethod
    def check_name(cls, name: str) -> str:
        """Raise ValueError for a name that stands for something else."""
        if name in RESERVED:
            raise invalid(
                "'{name}' is no user's name: it stands for whoever has no name",
                code="name_reserved",
                name=name,
            )
        return name


class AccountRecord(Access):
    """The fields that the store keeps of users and API tokens alike."""

    name: str
    created_at: float  # s, UTC epoch


class UserRecord(AccountRecord):
    """A user as the store keeps it."""

    password_hash: str = Field(repr=False)  # Argon2; or OF_PROVIDER and a digest of the person
    epoch: str  # another one ends the user's logins

    @property
    def by(self) -> WayIn:
        """The way in: a password, or the OpenID provider."""
        return "oidc" if self.password_hash.startswith(OF_PROVIDER) else "password"

    def changed(self, given: dict[str, Any]) -> Self:
        """Return this user with other fields. Raises pydantic.ValidationError.

        Whoever becomes an admin has no scope any more, unless `given` says so.
        """
        fields = self.model_dump() | given
        if given.get("role") == "admin" and "cameras" not in given:
            fields["cameras"] = None
        return type(self).model_validate(fields)


class TokenSpec(Access):
    """An API token, as an admin makes one."""

    name: AccountName = Field(
        description="letters, digits and `. _ @ -`, up to 64", examples=["home-assistant"]
    )
    days: Annotated[float, Field(gt=0, le=MAX_TOKEN_DAYS)] = Field(
        default=365.0, description="days until it expires"
    )


class TokenRecord(AccountRecord):
    """An API token as the store keeps it: not the token itself, but its digest."""

    digest: str = Field(repr=False)  # SHA-256 in hex: 32 random bytes need no slow hash
    created_by: str
    expires_at: float  # s, UTC epoch


def change_model() -> type[BaseModel]:
    """Return the model of a PATCH of a user: every field optional, without the name."""
    fields: dict[str, Any] = {}
    for name, spec in UserSpec.model_fields.items():
        if name != "name":
            info = Field(default_factory=lambda: None, description=spec.description)
            fields[name] = (spec.rebuild_annotation(), info)
    return create_model("UserChange", __config__=STRICT, **fields)


UserChange = change_model()
