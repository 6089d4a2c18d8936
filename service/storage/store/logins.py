"""Browsers' logins that were ended before their time: a bounded list that expires."""

from __future__ import annotations

import secrets
import time

from lookout.service.storage.redis import keys
from lookout.service.storage.store.mending import SettingAside

FIRST_GENERATION = "0"
MAX_ENDED = 1000
"""Beyond, every login ends: nobody forgets that one was."""


class EndedLogins(SettingAside):
    """Names of logins, of the signed cookie of a browser."""

    def end_login(self, name: str, expires_at: float) -> None:
        """Keep `name` until `expires_at` (s, UTC epoch), when its cookie ends by itself."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.zremrangebyscore(keys.ENDED_LOGINS, "-inf", time.time())
            pipe.zadd(keys.ENDED_LOGINS, {name: expires_at})
            pipe.zcard(keys.ENDED_LOGINS)
            *_, many = pipe.execute()
        if many > MAX_ENDED:
            self.end_all_logins()

    def end_all_logins(self) -> None:
        """Begin another generation of logins, and forget the names of the one before."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(keys.LOGIN_GENERATION, secrets.token_hex(8))
            pipe.delete(keys.ENDED_LOGINS)
            pipe.execute()

    def ended_logins(self) -> tuple[str, frozenset[str]]:
        """Return the generation of valid logins, and the names of those that are ended."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.get(keys.LOGIN_GENERATION)
            pipe.zrangebyscore(keys.ENDED_LOGINS, time.time(), "+inf")
            generation, names = pipe.execute()
        found = FIRST_GENERATION
        if generation is not None:
            found = generation.decode()
        return found, frozenset(name.decode() for name in names)
