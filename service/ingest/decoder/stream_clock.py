"""The time at which a live camera filmed a picture, from the stream's own time stamps.

A picture comes some time after it was filmed: by encoder and network at least, by seconds where the
network held it back. Its time stamp says when it was filmed, on a clock whose zero is unknown and
whose pace is not quite ours. The picture that was least under way ties the two clocks together.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

WINDOW_S = 30.0
"""Stream time over which the least delay is known: a hold that is shorter changes no distance."""

BUCKET_S = 5.0  # the window moves in such steps

DRIFT = 0.02
"""A clock that falls behind ours is followed by so many seconds a second of its own."""

SETTLE_S = 10.0
"""What all pictures of a window are late by is worn off in about this time, where DRIFT is less."""

CATCH_UP = 1.5
"""Pictures that were held back are due at so many times the pace at which they were filmed."""

TICK_S = 1e-6  # between two pictures at least: no two bear one time


class Arrival(NamedTuple):
    """A picture's times on the clock on which arrivals are measured (s)."""

    captured_s: float  # when it was filmed, as well as this end can tell
    due_s: float  # from when its score may be waited for: its arrival, or later in a burst


@dataclass(slots=True)
class StreamClock:
    """Maps stream time to our monotonic clock, one picture after the other.

    Captured times ascend, and are never later than the arrival (by TICK_S at most). The rules:

    - The offset between the clocks is the least delay seen, so that pictures held back by the
      network bear the times at which they were filmed once they come.
    - A smaller delay than ever counts at once: a stream that runs fast, or was joined late, is
      never ahead of its arrival.
    - Delays that grow and stay grown over WINDOW_S (the stream runs slow) are followed slowly.
    - A picture without a time stamp of its own, or at which the stream's clock jumped, ties the
      clocks anew: it counts as filmed when it came.
    """

    _offset_s: float | None = None  # our clock minus the stream's
    _least_delays: deque[tuple[int, float]] = field(default_factory=deque)  # bucket, s; ascending
    _at_s: float = 0.0  # the last picture's stream time
    _last: Arrival | None = None

    def take(self, at_s: float, arrived_s: float, *, stamped: bool) -> Arrival:
        """Return the times of the next picture.

        at_s: its stream time in seconds, never less than the last one's. arrived_s: when it came,
        on our monotonic clock. stamped: `at_s` is from its own time stamp.
        """
        delay_s = arrived_s - at_s
        if self._offset_s is None or not stamped:
            self._least_delays.clear()
            self._offset_s = delay_s
        self._note_delay(at_s, delay_s)
        offset_s = min(self._offset_s, delay_s)
        excess_s = min(least for _, least in self._least_delays) - offset_s
        if excess_s > 0:
            share = max(DRIFT, excess_s / SETTLE_S)
            offset_s += min(excess_s, share * (at_s - self._at_s))
        self._offset_s = offset_s
        self._at_s = at_s
        self._last = self._next_arrival(min(at_s + offset_s, arrived_s), arrived_s)
        return self._last

    def _note_delay(self, at_s: float, delay_s: float) -> None:
        bucket = int(at_s // BUCKET_S)
        delays = self._least_delays
        if delays and delays[-1][0] == bucket:
            delays[-1] = (bucket, min(delays[-1][1], delay_s))
        else:
            delays.append((bucket, delay_s))
        while delays[0][0] < bucket - WINDOW_S / BUCKET_S:
            delays.popleft()

    def _next_arrival(self, captured_s: float, arrived_s: float) -> Arrival:
        if self._last is None:
            return Arrival(captured_s, arrived_s)
        captured_s = max(captured_s, self._last.captured_s + TICK_S)
        filmed_s = captured_s - self._last.captured_s
        return Arrival(captured_s, max(arrived_s, self._last.due_s + filmed_s / CATCH_UP))
