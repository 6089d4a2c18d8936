"""Limits on how often the same thing is tried or logged."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

CALM_S = 5.0
"""An outage is over after so long without a failure. A server that refuses writes only looks well
at every read between.
"""


def backoff_s(first_s: float, most_s: float, failures: int) -> float:
    """Return the wait after so many failures in a row: twice the last one, at most `most_s`.

    Any number of failures will do, unlike in redis-py's back-off, whose power of two overflows.
    """
    return min(most_s, first_s * 2.0 ** min(failures - 1, 64))


class Throttle:
    """Allows `burst` lines, then one in `every_s`; after a calm the burst is there again."""

    def __init__(
        self, every_s: float, burst: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._every_s = every_s
        self._burst = float(burst)
        self._clock = clock
        self._room = self._burst
        self._checked_at = clock()
        self._noted = 0

    def note(self) -> None:
        """Note that there is something to log."""
        self._noted += 1

    @property
    def waiting(self) -> bool:
        """Whether something that was noted has not been logged yet."""
        return self._noted > 0

    def due(self) -> str | None:
        """Return None where nothing is to be logged now.

        Otherwise return the end of the line, which counts the lines left out before it.
        """
        now = self._clock()
        self._room = min(self._burst, self._room + (now - self._checked_at) / self._every_s)
        self._checked_at = now
        if not self._noted or self._room < 1:
            return None
        unsaid = self._noted - 1
        self._noted = 0
        self._room -= 1
        return f" (and {unsaid} more that went unsaid)" if unsaid else ""


class OutageLog:
    """Decides when an outage is logged: once at its start and once at recovery."""

    def __init__(self, calm_s: float = CALM_S) -> None:
        self._calm_s = calm_s
        self._failed_at: float | None = None

    def failed(self) -> bool:
        """Note a failure; return True for the first of an outage, which is the one to log."""
        is_first = self._failed_at is None
        self._failed_at = time.monotonic()
        return is_first

    def worked(self) -> bool:
        """Note a success; return True, once, when the outage is over."""
        if self._failed_at is None or time.monotonic() - self._failed_at < self._calm_s:
            return False
        self._failed_at = None
        return True


class OnceLog:
    """Remembers what was logged, so that a list read again and again logs each trouble once.

    Bounded: the oldest of more than `kept` is forgotten, and logged again.
    """

    def __init__(self, kept: int = 1000) -> None:
        self._kept = kept
        self._logged: OrderedDict[str, None] = OrderedDict()

    def is_new(self, subject: str) -> bool:
        """Return True where `subject` was not logged yet, and remember it."""
        if subject in self._logged:
            return False
        self._logged[subject] = None
        if len(self._logged) > self._kept:
            self._logged.popitem(last=False)
        return True
