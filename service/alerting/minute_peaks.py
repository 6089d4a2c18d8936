"""The highest score of each minute, collected until the minute is over."""

from __future__ import annotations

from dataclasses import dataclass, field

from lookout.service.core.messages import Score
from lookout.service.storage.store.history import MINUTE_S


@dataclass(slots=True)
class MinutePeaks:
    """The minute of the newest score, and those before it that are not stored yet.

    Minutes are those in which the frames were filmed, counted from the epoch.
    """

    open: tuple[int, float] | None = None  # the newest minute and its peak so far
    closed: dict[int, float] = field(default_factory=dict)

    def add(self, score: Score) -> None:
        """Take a score; one without a value, of a camera that learns, counts as none."""
        if score.value is None:
            return
        minute = int(score.captured_at // MINUTE_S)
        if self.open is None:
            self.open = (minute, score.value)
        elif self.open[0] == minute:
            self.open = (minute, max(self.open[1], score.value))
        else:
            before, peak = self.open
            self.closed[before] = max(peak, self.closed.get(before, peak))
            self.open = (minute, score.value)

    @classmethod
    def from_json(cls, data: object) -> MinutePeaks:
        """Read the stored form of `open`. Raises ValueError or TypeError where it is none."""
        if data is None:
            return cls()
        if not isinstance(data, list | tuple) or len(data) != 2:
            raise ValueError(f"{str(data)[:80]} is no minute and its peak")
        minute = int(data[0])
        peak = float(data[1])
        if minute < 0 or not 0 <= peak <= 1:
            raise ValueError(f"{str(data)[:80]} is no minute and its peak")
        return cls((minute, peak))
