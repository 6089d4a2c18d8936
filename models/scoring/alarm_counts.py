"""The number of alarms that a camera's values would have opened, at every threshold at once.

An alarm is an alert that `AlertPolicy` would have opened with that threshold: hysteresis, minimum
duration and clear time are the policy's own. No copy of the policy runs for a threshold: at any
moment the open thresholds are the lowest ones, so that their number is the whole state.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import Any

import numpy as np

from lookout.models.arrays import packed, unpacked
from lookout.models.scoring.alert_policy import SLACK_S, AlertPolicy, TimedValue, lasts
from lookout.models.scoring.calibration import squash

LEAST_OFFSET = 0.1
GROWTH = 1.04
COUNT = 220

OFFSETS = tuple(LEAST_OFFSET * GROWTH**step for step in range(COUNT))
"""Thresholds on the scale of the bounds: 0 at the lower bound, 1 at the upper one, up to some 500.

A step is 4 %, a small part of the spread that a scene's peaks have."""

THRESHOLDS = tuple(squash(offset) for offset in OFFSETS)
"""The same thresholds as values in (0, 1), ascending."""

MOST_WAITING = 256
"""Entries kept of a rise or a fall. Steady footage needs a handful; more only a minimum duration or
clear time of hours does, and those times are then right to a few frames."""


class AlarmCounts:
    """Counts alarms at each of THRESHOLDS, and the time at or above each, with slow forgetting."""

    def __init__(self, policy: AlertPolicy) -> None:
        """policy: its threshold is not read."""
        self._policy = policy
        self.alarms = [0.0] * COUNT
        self._time_s = [0.0] * (COUNT + 1)  # by the number of thresholds that a value reaches
        self._session: int | None = None
        self._last_at = 0.0
        self._break_off()

    def _break_off(self) -> None:
        """Forget what a score that does not continue the former ones ends."""
        self._open = 0  # so many of the lowest thresholds have an alarm that is open
        self._lasted = 0.0  # the highest threshold that has been reached for long enough
        # Begin of a rise → the highest threshold that was reached then and never left since.
        self._rises: deque[tuple[float, float]] = deque()
        # [time, value, time of the next score]: the highest values of the last `clear_after_s`.
        self._falls: deque[tuple[float, float, float | None]] = deque()
        self._begin_at: float | None = None

    @property
    def footage_s(self) -> float:
        """Footage behind the counts, after forgetting."""
        return sum(self._time_s)

    def times_s(self) -> list[float]:
        """Return the time at or above each threshold, after forgetting."""
        left = 0.0
        found = []
        for seconds in reversed(self._time_s[1:]):
            left += seconds
            found.append(left)
        return found[::-1]

    def forget(self, share: float) -> None:
        """Keep `share`, in (0, 1], of every count and time."""
        self.alarms = [count * share for count in self.alarms]
        self._time_s = [seconds * share for seconds in self._time_s]

    def update(self, score: TimedValue, *, alert_counts_to: float | None = None) -> float:
        """Take in the next score; return the footage in s that it adds.

        alert_counts_to: None where no alert is open. An open alert counts as one alarm up to its
            peak, and at no threshold above this one, in (0, 1), however often it rises and falls;
            its time is no footage. A score without a value is none either.
        """
        now = score.captured_at
        value = score.value or 0.0
        passed_s = 0.0
        if self._session == score.session:
            passed_s = min(max(now - self._last_at, 0.0), self._policy.quiet_after_s)
        if self._session != score.session or now - self._last_at > self._policy.quiet_after_s:
            self._break_off()
        self._session = score.session
        self._last_at = now
        lasting = self._lasting(value, now)
        if alert_counts_to is not None:
            lasting = min(lasting, alert_counts_to)
        reached = bisect_right(THRESHOLDS, lasting)
        highest = self._highest_lately(value, now)
        if reached > self._open:
            for number in range(self._open, reached):
                self.alarms[number] += 1
            self._open = reached
        elif highest is not None and alert_counts_to is None:
            self._open = min(self._open, bisect_right(THRESHOLDS, highest))
        if alert_counts_to is not None or score.value is None:
            return 0.0
        self._time_s[bisect_right(THRESHOLDS, value)] += passed_s
        return passed_s

    def _lasting(self, value: float, now: float) -> float:
        """Return the highest threshold at which an alarm opens now, if none is open."""
        ceiling = value + self._policy.hysteresis  # a higher threshold is low now
        self._lasted = min(self._lasted, ceiling)
        rises = self._rises
        since = None
        while rises and rises[-1][1] >= ceiling:
            since = rises.pop()[0]
        if since is not None:
            rises.append((since, ceiling))
        if not rises or value > rises[-1][1]:
            rises.append((now, value))
        if len(rises) > MOST_WAITING:
            since, _ = rises[-2]
            _, level = rises.pop()
            rises[-1] = (since, level)
        while rises and lasts(min(rises[0][0], now), now, self._policy.min_duration_s):
            self._lasted = max(self._lasted, rises.popleft()[1])
        return min(self._lasted, value)

    def _highest_lately(self, value: float, now: float) -> float | None:
        """Return the threshold above which every alarm closes now; None before there is one."""
        falls = self._falls
        if self._begin_at is None or now < self._begin_at:  # a clock that was set back
            self._begin_at = now
        if falls:
            at, before, _ = falls.pop()
            falls.append((at, before, now))
        while falls and falls[-1][1] <= value:
            falls.pop()
        falls.append((now, value, None))
        if len(falls) > MOST_WAITING:
            at, before, _ = falls.popleft()
            falls[0] = (at, before, falls[0][2])
        edge = now - self._policy.clear_after_s + SLACK_S
        while falls[0][2] is not None and falls[0][2] <= edge:
            falls.popleft()
        if self._begin_at > edge:
            return None
        return falls[0][1] + self._policy.hysteresis

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON-able values, about 4 kB."""
        return {
            "alarms": packed(np.array(self.alarms), "<f8"),
            "time_s": packed(np.array(self._time_s), "<f8"),
            "session": self._session,
            "last_at": self._last_at,
            "open": self._open,
            "lasted": self._lasted,
            "rises": list(self._rises),
            "falls": list(self._falls),
            "begin_at": self._begin_at,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`'s result.

        Raises ValueError, TypeError or KeyError for anything else, and then changes nothing.
        """
        alarms = unpacked(state["alarms"], "<f8", (COUNT,)).tolist()
        time_s = unpacked(state["time_s"], "<f8", (COUNT + 1,)).tolist()
        rises = deque((float(at), float(level)) for at, level in state["rises"])
        falls = deque((float(at), float(top), then) for at, top, then in state["falls"])
        self.alarms = alarms
        self._time_s = time_s
        self._session = state["session"]
        self._last_at = float(state["last_at"])
        self._open = int(state["open"])
        self._lasted = float(state["lasted"])
        self._rises = rises
        self._falls = falls
        self._begin_at = state["begin_at"]
