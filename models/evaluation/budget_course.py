"""An alarm budget that remembers how the alarms seen went beside those expected."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from math import ceil

import numpy as np

from lookout.models.scoring.alarm_budget import AlarmBudget
from lookout.models.scoring.alert_policy import AlertPolicy, PolicyState, TimedValue
from lookout.models.scoring.budget_report import DAY_S, poisson_interval
from lookout.models.scoring.hour_levels import HOURS

EVERY_S = 60.0
"""Footage between two points of the course, at first."""

MOST_POINTS = 1000
"""With more, every second point is dropped and the distance doubled."""

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class BudgetPoint:
    """A budget beside what was seen up to a moment of the footage."""

    footage_s: float
    expected: float  # alarms that the budget allows in it
    seen: int
    threshold: float  # then, in (0, 1)


@dataclass(frozen=True, slots=True)
class BudgetSpan:
    """A stretch of footage: its alarms beside those expected."""

    first_hour: float  # of footage
    last_hour: float
    expected: float
    seen: int
    low: float  # 95 % interval of the mean of the alarms seen, if they come by chance
    high: float


@dataclass(frozen=True, slots=True)
class BudgetHour:
    """An hour of the day: its alarms beside those expected, on all days together."""

    hour: int  # 0 to 23, of local time
    footage_s: float
    expected: float  # its share of the alarms that the budget allows
    seen: int
    low: float  # 95 % interval of the mean of the alarms seen, if they come by chance
    high: float


class BudgetCourse(AlarmBudget):
    """The budget of one camera, with its course in `points`, from no footage to the last score."""

    def __init__(self, per_day: float, policy: AlertPolicy, zone: tzinfo | None = None) -> None:
        """Take the arguments of `AlarmBudget`."""
        super().__init__(per_day, policy, zone)
        self._zone = zone
        self._hour_s = [0.0] * HOURS
        self._hour_seen = [0] * HOURS
        self._every_s = EVERY_S
        self._points = [self._point()]

    def update(self, score: TimedValue, state: PolicyState, opened: int) -> None:
        """Learn from a score that the policy has taken, and note where the budget stands."""
        before_s = self.footage_s
        super().update(score, state, opened)
        if self._zone is not None:
            hour = datetime.fromtimestamp(score.captured_at, self._zone).hour
            self._hour_s[hour] += self.footage_s - before_s
            self._hour_seen[hour] += opened
        if opened or self.footage_s >= self._points[-1].footage_s + self._every_s:
            self._points.append(self._point())
        if len(self._points) > MOST_POINTS:
            self._points = self._points[::2]
            self._every_s *= 2

    @property
    def points(self) -> list[BudgetPoint]:
        """The course; its last point is of now."""
        return [*self._points, self._point()]

    @property
    def hours(self) -> list[BudgetHour]:
        """The hours of the day that were seen; none without a time zone."""
        return [
            BudgetHour(
                hour,
                footage_s,
                self.per_day * footage_s / DAY_S,
                self._hour_seen[hour],
                *poisson_interval(self._hour_seen[hour]),
            )
            for hour, footage_s in enumerate(self._hour_s)
            if footage_s > 0 or self._hour_seen[hour]
        ]

    def _point(self) -> BudgetPoint:
        report = self.report()
        return BudgetPoint(self.footage_s, report.expected, report.seen, report.threshold)


def spans_of(points: Sequence[BudgetPoint], most: int = 48) -> list[BudgetSpan]:
    """Return the course in spans of one hour of footage each, or of more where there are too many.

    points: a course, not empty. most: spans, about. A course that was thinned is right to its
    distance of points.
    """
    times_s = [point.footage_s for point in points]
    span_s = HOUR_S * max(1, ceil(times_s[-1] / (HOUR_S * most)))
    edges_s = [*np.arange(span_s, times_s[-1], span_s).tolist(), times_s[-1]]
    spans = []
    before = points[0]
    for edge_s in edges_s:
        point = points[bisect_right(times_s, edge_s) - 1]
        expected = point.expected - before.expected
        if expected > 0:
            seen = point.seen - before.seen
            hours = (before.footage_s / HOUR_S, point.footage_s / HOUR_S)
            spans.append(BudgetSpan(*hours, expected, seen, *poisson_interval(seen)))
        before = point
    return spans
