"""How often the same thing is said: at most once in a while, and then how many times it went unsaid."""

from __future__ import annotations

import time


class Rarely:
    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._said_at: float | None = None
        self._unsaid = 0

    def unsaid(self) -> int | None:
        """Note that there is something to say. How many went unsaid since the last time; None: this one does too."""
        now = time.monotonic()
        if self._said_at is not None and now - self._said_at < self._every_s:
            self._unsaid += 1
            return None
        unsaid, self._said_at, self._unsaid = self._unsaid, now, 0
        return unsaid
