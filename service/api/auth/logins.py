"""Logins that were ended before their time, as the store has them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time

from starlette.concurrency import run_in_threadpool

from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.logins import FIRST_GENERATION
from lookout.service.storage.store.store import Store

READ_EVERY_S = 1.0
START_S = 1.0  # so long the API waits for the first reading before it serves


class Logins:
    """Follows the store: a login that is ended at one API process ends at the others in a second.

    A login's name is `<generation>:<id>`. Another generation ends all of them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._generation = FIRST_GENERATION
        self._ended: frozenset[str] = frozenset()
        self._read = asyncio.Event()

    @property
    def are_known(self) -> bool:
        """Return whether the store was read: before, nobody can tell which logins were ended."""
        return self._read.is_set()

    def new_name(self) -> str:
        """Return the name of a new login."""
        return f"{self._generation}:{secrets.token_urlsafe(12)}"

    def is_valid(self, name: str) -> bool:
        """Return whether a login that was signed here is not ended."""
        generation, _, login = name.partition(":")
        return generation == self._generation and bool(login) and name not in self._ended

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
        self._generation, self._ended = self._store.ended_logins()

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
