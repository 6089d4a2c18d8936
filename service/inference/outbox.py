"""Outcomes of one camera's frames on their way to the bus, and the latest for its report."""

from __future__ import annotations

from collections import deque

from lookout.service.core.messages import FrameId, Gap, Score
from lookout.service.storage.bus.outcomes import Outcome

PEAK_S = 15.0
"""Longer than a scrape's interval: no scrape misses a peak."""


class Outbox:
    """Outcomes that the bus has not acknowledged, in order."""

    def __init__(self, acked_id: FrameId | None) -> None:
        self._unsent: list[Outcome] = []
        self._acked_id = acked_id

    @property
    def unsent(self) -> tuple[Outcome, ...]:
        """Outcomes to send, oldest first."""
        return tuple(self._unsent)

    @property
    def acked_id(self) -> FrameId | None:
        """The bus has the outcomes of every frame up to this one."""
        return self._acked_id

    def add(self, outcome: Outcome) -> None:
        """Append an outcome; each follows on the one before."""
        self._unsent.append(outcome)

    def acknowledge(self) -> None:
        """Drop everything unsent: the bus has it."""
        last = self._unsent[-1]
        if isinstance(last, Gap):
            self._acked_id = FrameId(last.session, last.first_seq + last.frames - 1)
        else:
            self._acked_id = last.score.id
        self._unsent.clear()


class RecentScores:
    """The newest value of one camera, and the highest of the last PEAK_S."""

    def __init__(self) -> None:
        self._newest: float | None = None
        # Time (s) and value of what may still become the peak: each lower than the one before.
        self._peaks: deque[tuple[float, float]] = deque()

    @property
    def newest(self) -> float | None:
        """None while the camera learns."""
        return self._newest

    def add(self, score: Score) -> None:
        """Take the next score."""
        self._newest = score.value
        if score.value is None:
            return
        while self._peaks and self._peaks[-1][1] <= score.value:
            self._peaks.pop()
        self._peaks.append((score.scored_at, score.value))
        self._drop_older(score.scored_at)

    def peak(self, now: float) -> float | None:
        """Return the highest value of the last PEAK_S; None where there is none."""
        self._drop_older(now)
        return self._peaks[0][1] if self._peaks else None

    def _drop_older(self, now: float) -> None:
        while self._peaks and now - self._peaks[0][0] > PEAK_S:
            self._peaks.popleft()
