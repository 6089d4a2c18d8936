"""Logins that were ended before their time, users and API tokens, as the store has them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import threading
import time
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool

from lookout.service.core.accounts import Identity, TokenRecord
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.accounts import KnownAccounts
from lookout.service.storage.store.logins import FIRST_GENERATION
from lookout.service.storage.store.store import Store

READ_EVERY_S = 1.0
START_S = 1.0  # so long the API waits for the first reading before it serves


class Logins:
    """Follows the store: what is changed at one API process holds at the others in a second.

    A login's name is `<generation>:<id>`, and of a user `<generation>:<id>:<user>:<epoch>`; by an
    OpenID provider also `:<end>`, in seconds of UTC. Another generation ends all of them, another
    epoch those of the user.
    """

    def __init__(
        self, store: Store, *, needs_key: bool = False, has_provider: bool = False
    ) -> None:
        """needs_key: no token is set that could sign logins. has_provider: people may come by an
        OpenID provider.
        """
        self._store = store
        self._needs_key = needs_key
        self.has_provider = has_provider
        self._generation = FIRST_GENERATION
        self._ended: frozenset[str] = frozenset()
        self._read = asyncio.Event()
        self._reading = threading.Lock()
        self.are_known = False  # before the store was read, nobody can tell which logins were ended
        self._by_digest: Mapping[str, TokenRecord] = {}
        self.accounts = KnownAccounts()
        self.key: str | None = None  # signs logins

    def new_name(self, user: str | None = None, ends_at: float | None = None) -> str:
        """Return the name of a new login, of LOOKOUT_TOKEN or of a user who is known.

        ends_at: s, UTC epoch, of a user by the OpenID provider.
        """
        name = f"{self._generation}:{secrets.token_urlsafe(12)}"
        if user is not None:
            name = f"{name}:{user}:{self.accounts.users[user].epoch}"
        if ends_at is not None:
            name = f"{name}:{ends_at:.0f}"
        return name

    def identity(self, name: str) -> Identity | None:
        """Return the identity of a login that was signed here; None where it is ended."""
        parts = name.split(":")
        if parts[0] != self._generation or name in self._ended or not parts[1:2]:
            return None
        if len(parts) == 2 and parts[1]:
            return Identity(f"login {parts[1][:6]}", "admin", by="token")
        if len(parts) not in (4, 5):
            return None
        user = self.accounts.users.get(parts[2])
        if user is None or user.epoch != parts[3]:
            return None
        if user.by == "oidc" and not (self.has_provider and time.time() < float(parts[-1])):
            return None
        return user.identity(user.name, user.by)

    def token_identity(self, token: str) -> Identity | None:
        """Return the identity of an API token; None where there is none, or it has expired."""
        record = self._by_digest.get(digest_of(token))
        if record is None or record.expires_at <= time.time():
            return None
        return record.identity(f"token {record.name}", "api_token")

    def end(self, name: str, lifetime_s: float) -> None:
        """End one login, at every API process. Raises one of UNAVAILABLE."""
        self._store.end_login(name, time.time() + lifetime_s)
        self.read()

    def end_all(self) -> None:
        """End every login. Raises one of UNAVAILABLE."""
        self._store.end_all_logins()
        self.read()

    def read(self) -> None:
        """Read the store. Raises one of UNAVAILABLE."""
        with self._reading:  # an older reading never stands in the place of a newer one
            self._generation, self._ended = self._store.ended_logins()
            accounts = self._store.accounts()
            is_closed = accounts.has_users or self.has_provider
            if self._needs_key and self.key is None and is_closed:
                self.key = self._store.login_key()
            self._by_digest = {token.digest: token for token in accounts.tokens.values()}
            self.accounts = accounts
            self.are_known = True

    async def start(self) -> asyncio.Task[None]:
        """Follow the store from now on; return the task to be cancelled at the end."""
        task = asyncio.create_task(self._follow())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._read.wait(), START_S)
        return task

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(*UNAVAILABLE):  # what was read last holds
                await run_in_threadpool(self.read)
                self._read.set()
            await asyncio.sleep(READ_EVERY_S)


def digest_of(token: str) -> str:
    """Return the digest by which an API token is stored."""
    return hashlib.sha256(token.encode()).hexdigest()
