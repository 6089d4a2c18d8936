"""How often something happened in the last hour."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MINUTES = 60


@dataclass(slots=True)
class LastHour:
    """Counts by the minute: 61 numbers at most, however much happens. `now`: s, a clock that only goes forward."""

    _minutes: deque[list[int]] = field(default_factory=deque)  # [minute, count], ascending

    def add(self, now: float) -> None:
        minute = int(now // 60)
        if not self._minutes or self._minutes[-1][0] != minute:
            self._minutes.append([minute, 0])
        self._minutes[-1][1] += 1
        self._forget(now)

    def count(self, now: float) -> int:
        self._forget(now)
        return sum(count for _, count in self._minutes)

    def _forget(self, now: float) -> None:
        while self._minutes and self._minutes[0][0] <= now // 60 - MINUTES:
            self._minutes.popleft()
