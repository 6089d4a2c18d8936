"""One alarm budget on one camera, and the table of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

import numpy as np

from lookout.models.evaluation.events import ClipValue
from lookout.models.scoring.alarm_budget import AlarmBudget
from lookout.models.scoring.alert_policy import AlertOpened, AlertPolicy, PolicyState
from lookout.models.scoring.budget_report import CHECKABLE, DAY_S, span_words

AFTER_S = 10.0  # an alarm so long after an event is still the event's
FIRST_MONDAY_S = 4 * DAY_S  # 5 January 1970
NEAR = 1.5  # seen is near the budget within this factor


@dataclass
class Watched:
    """One budget on one camera, score by score."""

    name: str
    per_day: float
    policy: AlertPolicy = field(default_factory=AlertPolicy)
    zone: tzinfo | None = None  # of the hours that the threshold knows
    seen: int = 0
    false: int = 0
    delays_s: list[float] = field(default_factory=list)
    events: int = 0

    def __post_init__(self) -> None:
        self.budget = AlarmBudget(self.per_day, self.policy, self.zone)
        self.state: PolicyState = self.policy.initial()
        self._event_since: float | None = None
        self._event_until = -1e9
        self._is_noticed = False

    def see(self, score: ClipValue, *, is_abnormal: bool) -> None:
        """Take the next score."""
        now = score.captured_at
        if is_abnormal:
            if self._event_since is None or now > self._event_until + AFTER_S:
                self._event_since = now
                self._is_noticed = False
                self.events += 1
            self._event_until = now
        self.state, events = self.budget.step(self.state, score)
        for event in events:
            if not isinstance(event, AlertOpened):
                continue
            self.seen += 1
            if self._event_since is None or now > self._event_until + AFTER_S:
                self.false += 1
            elif not self._is_noticed:
                self._is_noticed = True
                self.delays_s.append(now - self._event_since)

    @property
    def is_near(self) -> bool:
        """Whether the alarms seen are within NEAR of those expected."""
        expected = self.budget.report().expected
        return expected / NEAR <= self.seen <= expected * NEAR

    @property
    def is_lowest(self) -> bool:
        """Whether no larger budget would have a lower threshold."""
        return self.budget.threshold_for(1e9) >= self.budget.rule.threshold

    def row(self) -> str:
        """Return the row of the table."""
        report = self.budget.report()
        recall = "no events"
        if self.events:
            recall = f"{len(self.delays_s)} of {self.events} events"
        if self.delays_s:
            recall += f", {np.median(self.delays_s):.1f} s"
        if self.is_lowest:
            recall += ", lowest"
        interval = f"{report.seen_per_day_low:.3g} to {report.seen_per_day_high or 0:.3g} a day"
        return (
            f"{self.name:20} {self.per_day:4g} a day {span_words(report.footage_minutes * 60):>12}"
            f"  expected {report.expected:6.1f}  seen {self.seen:3}, {self.false:3} false"
            f"  ({interval})  {recall}"
        )


def table(watched: Sequence[Watched]) -> Iterator[str]:
    """Yield a row for each, and how many are near their budget where it can be told."""
    yield from (one.row() for one in watched)
    for per_day in sorted({one.per_day for one in watched}, reverse=True):
        reports = [(one, one.budget.report()) for one in watched if one.per_day == per_day]
        known = [
            (one, report)
            for one, report in reports
            if report.expected >= CHECKABLE and not one.is_lowest
        ]
        if known:
            near = sum(one.is_near for one, _ in known)
            ratios = np.array([one.seen / report.expected for one, report in known])
            yield (
                f"{per_day:g} a day: {near} of {len(known)} cameras within a factor {NEAR:g}; "
                f"seen over expected {np.median(ratios):.2f} (median), "
                f"{ratios.min():.2f} to {ratios.max():.2f}"
            )
