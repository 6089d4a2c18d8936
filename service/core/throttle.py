"""How often the same thing is said: some times freely, then once in a while, with how many times it went unsaid."""

from __future__ import annotations

import time
from collections.abc import Callable


class Rarely:
    """`burst` times, then once in `every_s`; after a calm the burst is there again."""

    def __init__(
        self, every_s: float, burst: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._every_s = every_s
        self._burst = float(burst)
        self._clock = clock
        self._room = self._burst
        self._looked_at = clock()
        self._noted = 0

    def note(self) -> None:
        """There is something to say."""
        self._noted += 1

    def due(self) -> str | None:
        """None where nothing is to be said now. Else what the line ends with: how many before it went unsaid."""
        now = self._clock()
        self._room = min(self._burst, self._room + (now - self._looked_at) / self._every_s)
        self._looked_at = now
        if not self._noted or self._room < 1:
            return None
        unsaid, self._noted = self._noted - 1, 0
        self._room -= 1
        return f" (and {unsaid} more that went unsaid)" if unsaid else ""
