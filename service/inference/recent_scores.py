"""The last scores of one camera, for its report: the newest, and the highest of a while that no scrape skips."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from lookout.service.core.messages import Score

PEAK_S = 15.0


@dataclass(slots=True)
class Recent:
    """Holds only what may still become the peak: later scores that are lower, each lower than the one before."""

    newest: float | None = None
    _peaks: deque[tuple[float, float]] = field(default_factory=deque)  # when scored (s), value

    def see(self, score: Score) -> None:
        self.newest = score.value
        if score.value is None:
            return
        while self._peaks and self._peaks[-1][1] <= score.value:
            self._peaks.pop()
        self._peaks.append((score.scored_at, score.value))
        self._forget(score.scored_at)

    def peak(self, now: float) -> float | None:
        """The highest value of the last PEAK_S; None where there is none."""
        self._forget(now)
        return self._peaks[0][1] if self._peaks else None

    def _forget(self, now: float) -> None:
        while self._peaks and now - self._peaks[0][0] > PEAK_S:
            self._peaks.popleft()
