"""Passwords of users: Argon2, a few at a time, since each takes 64 MiB and a tenth of a second."""

from __future__ import annotations

import asyncio
import secrets
import threading
from functools import cached_property

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from starlette.concurrency import run_in_threadpool

AT_ONCE = 2
MAX_WAITING = 64  # log-ins; further ones are refused


class TooManyWaitingError(Exception):
    """MAX_WAITING passwords wait to be checked."""


class Passwords:
    """Hashes and checks passwords, AT_ONCE of each."""

    def __init__(self) -> None:
        self._hasher = PasswordHash.recommended()
        self._hashing = threading.BoundedSemaphore(AT_ONCE)
        self._checking = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    def hash(self, password: str) -> str:
        """Return the hash of a new password."""
        with self._hashing:
            return self._hasher.hash(password)

    async def is_right(self, password: str, expected: str | None) -> bool:
        """Tell whether a password is the one of a hash.

        expected: None where there is no such user; it then takes as long. Raises
        TooManyWaitingError.
        """
        if self._waiting >= MAX_WAITING:
            raise TooManyWaitingError
        self._waiting += 1
        try:
            async with self._checking:
                return await run_in_threadpool(self.verify, password, expected)
        finally:
            self._waiting -= 1

    def verify(self, password: str, expected: str | None) -> bool:
        """Tell whether a password is the one of a hash, in this thread."""
        try:
            matches = self._hasher.verify(password, expected or self._of_nobody)
        except UnknownHashError:  # another program wrote it
            return False
        return matches and expected is not None

    @cached_property
    def _of_nobody(self) -> str:
        """A hash that no password has."""
        return self._hasher.hash(secrets.token_urlsafe())
