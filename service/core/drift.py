"""Whether a camera's values are still those that it learned: its first day and its last, compared.

Values, not frames: what the camera's score is made of does not matter. A day, so that night is
compared with night.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

BINS = 20
"""Equal parts of the values' range, 0 to 1."""

EDGE_BIN = BINS // 2
"""The first one at 0.5 or above: the edge of what calibration saw."""

HOURS = 24
HOUR_S = 3600.0
MIN_VALUES = 600
"""An hour with fewer values, of one a second, says nothing and is left out."""

RANK_SHIFT = 0.2
"""The values have drifted where the rank differs from 0.5 by so much: 0.7 of pairs are higher."""

ABOVE_PERCENT = 10.0
ABOVE_FACTOR = 3.0
"""They have also drifted where so many are at 0.5 or above, and so many times as many as before."""


@dataclass(frozen=True, slots=True)
class ValueDrift:
    """The values of a camera's last day beside those of its first with the same configuration."""

    revision: int  # of the camera
    rank: float  # chance that a value of the last day is above one of the first; 0.5: as it was
    above_percent: float  # of the last day's values that are at 0.5 or above
    learned_above_percent: float  # of the first day's

    @property
    def is_drifted(self) -> bool:
        """Whether the camera should learn again."""
        return abs(self.rank - 0.5) >= RANK_SHIFT or self.above_percent >= max(
            ABOVE_PERCENT, ABOVE_FACTOR * self.learned_above_percent
        )

    @property
    def sentence(self) -> str:
        """The comparison in one line."""
        return (
            f"its values have drifted since it learned: {self.above_percent:.0f} % of the last "
            f"day's are at 0.5 or above, and {self.learned_above_percent:.0f} % of the first "
            f"day's were; {100 * self.rank:.0f} % of pairs are higher than then: let it learn again"
        )


@dataclass(slots=True)
class DriftState:
    """Counts of values by the hour, 2 kB at most. Every list of counts has BINS of them."""

    revision: int  # of the camera
    learned: list[int] = field(default_factory=lambda: [0] * BINS)  # of its first HOURS
    learned_hours: int = 0
    recent: list[list[int]] = field(default_factory=list)  # each of the HOURS since, at most
    hour: int | None = None  # since the epoch, of `counts`
    counts: list[int] = field(default_factory=lambda: [0] * BINS)

    @property
    def is_usable(self) -> bool:
        """Whether its lists are as they should be: it may come from anywhere."""
        lists = [self.learned, self.counts, *self.recent]
        fits = len(self.recent) <= HOURS and all(len(one) == BINS for one in lists)
        return fits and all(0 <= count < 2**53 for one in lists for count in one)

    def add(self, value: float, at: float) -> bool:
        """Count a value in (0, 1), captured at `at` (s, UTC); return whether an hour ended."""
        hour = int(at // HOUR_S)
        ended = self.hour is not None and hour != self.hour
        if ended:
            self._end_hour()
        self.hour = hour
        self.counts[min(BINS - 1, max(0, int(value * BINS)))] += 1
        return ended

    def _end_hour(self) -> None:
        """Move the counts to the first day, or to the last."""
        if sum(self.counts) >= MIN_VALUES:
            if self.learned_hours < HOURS:
                self.learned_hours += 1
                self.learned = np.add(self.learned, self.counts).tolist()
            else:
                self.recent = [*self.recent, self.counts][-HOURS:]
        self.counts = [0] * BINS

    def drift(self) -> ValueDrift | None:
        """Return the comparison; None before two whole days."""
        if self.learned_hours < HOURS or len(self.recent) < HOURS:
            return None
        before = np.array(self.learned) / sum(self.learned)
        now = np.sum(self.recent, axis=0) / sum(map(sum, self.recent))
        lower = np.cumsum(before) - before
        return ValueDrift(
            revision=self.revision,
            rank=float(np.sum(now * (lower + before / 2))),
            above_percent=100 * float(now[EDGE_BIN:].sum()),
            learned_above_percent=100 * float(before[EDGE_BIN:].sum()),
        )
