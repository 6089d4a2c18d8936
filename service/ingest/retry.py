"""Retries of a lost camera: the delay before the next one, and how many the last hour saw."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from lookout.service.core.throttle import backoff_s

MINUTES = 60


@dataclass(slots=True)
class Backoff:
    """Exponential back-off with jitter, so that cameras do not reconnect in step.

    The n-th delay is uniform in [first_s * 2^n, first_s * 2^(n+1)], at most `most_s`.
    """

    first_s: float
    most_s: float
    reset_after_s: float
    rng: random.Random = field(default_factory=random.Random)
    failures: int = 0

    def delay_s(self, ran_s: float) -> float:
        """Return the delay after a failure; `ran_s`: seconds that the source ran well before it."""
        if ran_s >= self.reset_after_s:
            self.failures = 0
        self.failures += 1
        high = backoff_s(self.first_s, self.most_s, self.failures + 1)
        return self.rng.uniform(max(self.first_s, high / 2), max(self.first_s, high))


@dataclass(slots=True)
class HourlyCounter:
    """Count events of the last hour by the minute: at most 61 numbers, however many events.

    `now` is a monotonic clock in seconds.
    """

    _minutes: deque[list[int]] = field(default_factory=deque)  # [minute, count], ascending

    def add(self, now: float) -> None:
        """Count one event at `now`."""
        minute = int(now // 60)
        if not self._minutes or self._minutes[-1][0] != minute:
            self._minutes.append([minute, 0])
        self._minutes[-1][1] += 1
        self._expire(now)

    def count(self, now: float) -> int:
        """Return the number of events in the hour before `now`."""
        self._expire(now)
        return sum(count for _, count in self._minutes)

    def _expire(self, now: float) -> None:
        while self._minutes and self._minutes[0][0] <= now // 60 - MINUTES:
            self._minutes.popleft()
