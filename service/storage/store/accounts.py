"""Users and API tokens, and the key that signs logins where no LOOKOUT_TOKEN is set."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

from lookout.service.core.accounts import (
    MAX_TOKENS,
    MAX_USERS,
    AccountRecord,
    TokenRecord,
    UserRecord,
)
from lookout.service.core.errors import ConflictError, NotFoundError
from lookout.service.storage.redis import keys, scripts
from lookout.service.storage.store.camera_secrets import CameraSecrets
from lookout.service.storage.store.mending import SettingAside

log = logging.getLogger(__name__)

A = TypeVar("A", bound=AccountRecord)

GONE, CHANGED, LAST_ADMIN, TOO_MANY = 0, -1, -2, -1
ANY = ""  # whatever the record was before


@dataclass(frozen=True, slots=True)
class KnownAccounts:
    """The users and API tokens of a moment."""

    users: Mapping[str, UserRecord] = field(default_factory=dict)  # by name
    tokens: Mapping[str, TokenRecord] = field(default_factory=dict)  # by name
    unreadable: tuple[str, ...] = ()  # users whose record cannot be read

    @property
    def has_users(self) -> bool:
        """Whether there is a user; one that cannot be read counts, so that no door opens by it."""
        return bool(self.users or self.unreadable)


class Accounts(SettingAside):
    """A hash of users and one of API tokens. A record that cannot be read opens no door."""

    _secrets: CameraSecrets

    def accounts(self) -> KnownAccounts:
        """Return all users and API tokens, in the order of their names."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(keys.USERS)
            pipe.hgetall(keys.API_TOKENS)
            users, tokens = cast(list[dict[bytes, bytes]], pipe.execute())
        known, unreadable = self.read_all(UserRecord, users)
        valid, _ = self.read_all(TokenRecord, tokens)
        return KnownAccounts(known, valid, unreadable)

    def read_all(
        self, kind: type[A], texts: Mapping[bytes, bytes]
    ) -> tuple[dict[str, A], tuple[str, ...]]:
        """Return the records of a hash by name, and the names of those that cannot be read."""
        found: dict[str, A] = {}
        unreadable = []
        for key, text in sorted(texts.items()):
            name = key.decode(errors="replace")
            record: A | None
            try:
                record = kind.model_validate_json(text)
            except (ValueError, RecursionError):
                record = None
            if record is not None and record.name == name:
                found[name] = record
                continue
            unreadable.append(name)
            if self._logged_marks.is_new(f"{kind.__name__} {name}"):
                log.warning("%s %r cannot be read: it opens no door", kind.__name__, name)
        return found, tuple(unreadable)

    def add_user(self, user: UserRecord) -> None:
        """Add a user. Raises ConflictError where the name is taken, or there are MAX_USERS."""
        words = (user.name, user.model_dump_json(), str(MAX_USERS))
        added = self._redis.eval(scripts.ADD_CAMERA, 1, keys.USERS, *words)
        if added == 0:
            raise ConflictError(
                f"there is a user {user.name!r} already", code="user_exists", name=user.name
            )
        if added == TOO_MANY:
            raise ConflictError(
                f"there are {MAX_USERS} users, and no more are taken",
                code="too_many_users",
                most=MAX_USERS,
            )

    def replace_user(self, user: UserRecord, before: UserRecord, *, needs_admin: bool) -> None:
        """Write a user in the place of `before`.

        needs_admin: there must be one left. Raises NotFoundError, ConflictError.
        """
        self.write_user(user.name, before.model_dump_json(), user, needs_admin=needs_admin)

    def remove_user(self, name: str, *, needs_admin: bool) -> None:
        """Forget a user, whose logins end with it.

        needs_admin: while others are there, an admin must be left. Raises NotFoundError,
        ConflictError.
        """
        self.write_user(name, ANY, None, needs_admin=needs_admin)

    def write_user(
        self, name: str, before: str, user: UserRecord | None, *, needs_admin: bool
    ) -> None:
        """Replace a record, or remove it, where it still is `before`."""
        text = user.model_dump_json() if user is not None else ""
        is_admin = user is not None and user.role == "admin"
        words = (name, before, text, str(int(needs_admin)), str(int(is_admin)))
        result = self._redis.eval(scripts.WRITE_USER, 1, keys.USERS, *words)
        if result == GONE:
            raise NotFoundError(f"there is no user {name!r}", code="no_user", name=name)
        if result == CHANGED:
            raise ConflictError(
                f"user {name!r} was changed meanwhile; try again", code="changed_meanwhile"
            )
        if result == LAST_ADMIN:
            raise ConflictError(
                f"{name!r} is the last admin, and no token is set (LOOKOUT_TOKEN): nobody could "
                "change anything any more",
                code="last_admin",
                name=name,
            )

    def add_token(self, token: TokenRecord) -> None:
        """Add an API token. Raises ConflictError: the name is taken, or there are MAX_TOKENS."""
        words = (token.name, token.model_dump_json(), str(MAX_TOKENS))
        added = self._redis.eval(scripts.ADD_CAMERA, 1, keys.API_TOKENS, *words)
        if added == 0:
            raise ConflictError(
                f"there is a token {token.name!r} already", code="token_exists", name=token.name
            )
        if added == TOO_MANY:
            raise ConflictError(
                f"there are {MAX_TOKENS} tokens, and no more are taken",
                code="too_many_tokens",
                most=MAX_TOKENS,
            )

    def remove_token(self, name: str) -> None:
        """Revoke an API token. Raises NotFoundError."""
        if not self._redis.hdel(keys.API_TOKENS, name):
            raise NotFoundError(f"there is no token {name!r}", code="no_token", name=name)

    def login_key(self) -> str:
        """Return the key that signs logins; it is made at the first call, and encrypted."""
        text = cast(bytes | None, self._redis.get(keys.LOGIN_KEY))
        key = self.read_login_key(text)
        if key is not None:
            return key
        made = secrets.token_hex(32)
        sealed = self._secrets.seal(made)
        stored = json.dumps({"key": made} if sealed is None else {"sealed": sealed})
        self._redis.set(keys.LOGIN_KEY, stored, nx=text is None)
        # Another process may have made one at the same time.
        text = cast(bytes | None, self._redis.get(keys.LOGIN_KEY))
        return self.read_login_key(text) or made

    def read_login_key(self, text: bytes | None) -> str | None:
        """Return the key of a record; None where there is none that can be read."""
        try:
            record = json.loads(text or b"{}")
            if "sealed" in record:
                return self._secrets.unseal(str(record["sealed"]))[0]
            return cast(str | None, record.get("key"))
        except (ValueError, AttributeError, TypeError, RecursionError):
            return None
