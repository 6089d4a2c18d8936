"""An alarm budget: so many false alarms a day, in place of a threshold.

The threshold follows from the camera's own values. `AlarmCounts` knows how many alarms each
threshold would have had, `PeakCurve` carries that on to thresholds that were never reached, and
here the threshold is set anew as footage comes, never while an alert is open or about to be.
Causal and deterministic: the same scores give the same alarms, live and offline, and a state that
is stored and loaded between any two scores changes nothing.

With a time zone, normal knows the hour: values are made even between hours of day and kinds of day
(`hour_levels`), the counts are of even values, and the threshold of an hour is what its level makes
of the one even threshold.

A rate is one of footage: hours without a score, and jumps of the clock, count for nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import tzinfo
from math import exp, isfinite
from typing import Any

from lookout.models.scoring.alarm_counts import AlarmCounts
from lookout.models.scoring.alarm_tail import PeakCurve
from lookout.models.scoring.alert_policy import (
    AlertOpened,
    AlertPolicy,
    PolicyEvent,
    PolicyState,
    TimedValue,
)
from lookout.models.scoring.budget_report import DAY_S, BudgetReport
from lookout.models.scoring.calibration import squash, unsquash
from lookout.models.scoring.hour_levels import SLOTS, HourLevels

UPDATE_EVERY_S = 60.0
UPDATE_EVERY_SHARE = 1 / 500
"""Footage after which the threshold is set anew: a minute, or this share of what is remembered, if
that is more. It is set after each alert as well."""

REMEMBERED_ALARMS = 20.0
"""The memory is as long as so many alarms of the budget take, so that it can be met at all and a
slow drift is followed. A shorter one would chase chance."""

SHORTEST_MEMORY_S = DAY_S
"""A day has a night and a rush hour."""

LONGEST_MEMORY_S = 30 * DAY_S

PRIOR_ALARMS = 3.0
"""Weight, in alarms, of the belief that as many alarms are seen as are expected."""

CORRECTIONS = (0.5, 3.0)
"""Factors by which the alarms asked of the tail may differ from the budget. Real events count as
alarms: however many there are, they ask for no less than half of the budget."""

HIGHEST = 1 - 1e-9
"""A threshold that nothing usual reaches."""

LARGEST_OFFSET = unsquash(HIGHEST)


@dataclass(frozen=True, slots=True)
class EvenValue:
    """A value that was made even between the hours."""

    session: int
    captured_at: float
    value: float | None


class AlarmBudget:
    """The threshold of one camera: follows its scores, `update` by `update`."""

    def __init__(self, per_day: float, policy: AlertPolicy, zone: tzinfo | None = None) -> None:
        """per_day: alarms a day of footage. policy: of the alarms; its threshold is not read.

        zone: of the camera's hours; None: one threshold for all hours.

        Raises ValueError for a budget that is not a finite number above 0.
        """
        if not (isfinite(per_day) and per_day > 0):
            raise ValueError("a budget must be a finite number of alarms a day, above 0")
        self._per_day = per_day
        self._policy = policy
        self._rule = policy
        self._counts = AlarmCounts(policy)
        self._levels = None
        if zone is not None:
            self._levels = HourLevels(zone)
        self._learned_s = 0.0  # footage since the first score
        self._block_s = 0.0  # since the threshold was set
        self._has_alerted = False  # since the threshold was set
        self._footage_s = 0.0  # since the budget was set
        self._seen = 0  # alarms since the budget was set
        self._expected_lately = 0.0  # alarms that the budget allowed, after forgetting
        self._seen_lately = 0.0  # alarms since the budget was set, after forgetting
        self._offset = LARGEST_OFFSET  # the even threshold, on the scale of the bounds
        self._set_threshold()

    @property
    def per_day(self) -> float:
        """The alarms a day of footage that are asked for."""
        return self._per_day

    @property
    def footage_s(self) -> float:
        """Footage since the budget was set: with values, and without an open alert."""
        return self._footage_s

    @property
    def rule(self) -> AlertPolicy:
        """The policy, with the threshold as it is now."""
        return self._rule

    def step(self, state: PolicyState, score: TimedValue) -> tuple[PolicyState, list[PolicyEvent]]:
        """Take one score as the policy does, with the threshold as it is now, and learn from it."""
        state, events = self._rule.step(state, score)
        self.update(score, state, sum(isinstance(event, AlertOpened) for event in events))
        return state, events

    def update(self, score: TimedValue, state: PolicyState, opened: int) -> None:
        """Learn from a score that the policy has taken.

        state: of the policy, after the score. opened: alerts that it opened.
        """
        self._seen += opened
        self._seen_lately += opened
        self._has_alerted = self._has_alerted or opened > 0
        counts_to = self._counts_to if state.is_open else None
        is_busy = state.is_open or state.above_since is not None
        offset = None
        is_other_hour = False
        if self._levels is not None and score.value is not None:
            offset = unsquash(min(max(score.value, 1 - HIGHEST), HIGHEST))
            is_other_hour = not is_busy and self._levels.move_to(score.captured_at)
            value = squash(self._levels.even(offset))
            score = EvenValue(score.session, score.captured_at, value)
        passed_s = self._counts.update(score, alert_counts_to=counts_to)
        if self._levels is not None and offset is not None and not state.is_open:
            self._levels.learn(offset, passed_s)
        self._learned_s += passed_s
        self._footage_s += passed_s
        self._block_s += passed_s
        self._expected_lately += self._per_day / DAY_S * passed_s
        if is_busy:
            return
        memory_s = min(self._learned_s, self._memory_s)
        every_s = max(UPDATE_EVERY_S, UPDATE_EVERY_SHARE * memory_s)
        if self._block_s >= every_s or (self._has_alerted and memory_s > 0):
            # Until the memory is full, a score counts by its age: the first ones, of a scorer that
            # has seen little itself, fade.
            share = exp(-self._block_s / memory_s)
            self._counts.forget(share)
            self._expected_lately *= share
            self._seen_lately *= share
            self._block_s = 0.0
            self._has_alerted = False
            self._set_threshold()
        elif is_other_hour:
            self._set_rule()

    @property
    def _memory_s(self) -> float:
        """Footage that is remembered: its weight falls to a third in this time."""
        asked_s = REMEMBERED_ALARMS * DAY_S / self._per_day
        return min(max(asked_s, SHORTEST_MEMORY_S), LONGEST_MEMORY_S)

    def _set_threshold(self) -> None:
        peaks = self._peaks()
        self._offset = min(peaks.offset_for(self._allowed(self._per_day)), LARGEST_OFFSET)
        # An event that is real counts as an alarm like any other, but may be of any height: it
        # must not lift the threshold by more than a usual peak would.
        self._counts_to = self._believable(squash(self._offset + peaks.fit().scale))
        self._set_rule()

    def _set_rule(self) -> None:
        self._rule = replace(self._policy, threshold=self._threshold_at(self._offset))

    def _threshold_at(self, offset: float, slot: int | None = None) -> float:
        """Return the threshold that an even one is in an hour; slot: None: the present one.

        An alert can close at the even threshold: most values lie below it by the hysteresis. In a
        still hour the values lie closer together than that, so that the threshold must also be as
        far above what the even closing level is there.
        """
        even = self._believable(squash(offset))
        if self._levels is None:
            return even
        hysteresis = self._policy.hysteresis
        closing = squash(self._levels.uneven(unsquash(even - hysteresis), slot))
        threshold = squash(self._levels.uneven(offset, slot))
        return self._believable(max(threshold, closing + hysteresis))

    def threshold_for(self, per_day: float) -> float:
        """Return the threshold of another budget after the same scores: lower for a larger one."""
        offset = self._peaks().offset_for(self._allowed(per_day))
        return self._threshold_at(min(offset, LARGEST_OFFSET))

    def hour_thresholds(self) -> list[float]:
        """Return the threshold of each of the 48 slots of `HourLevels`; none without hours."""
        if self._levels is None:
            return []
        return [self._threshold_at(self._offset, slot) for slot in range(SLOTS)]

    def _allowed(self, per_day: float) -> float:
        """Return the alarms to ask of the footage behind the counts.

        A fit to few peaks, and a scene that changes, leave the alarms that are seen beside those
        expected, mostly below. The ratio of the two, shrunk to 1, corrects what is asked, so that
        in the long run the budget is met whatever the tail is (as in adaptive conformal inference,
        Gibbs and Candès, NeurIPS 2021).
        """
        least, most = CORRECTIONS
        ratio = (self._expected_lately + PRIOR_ALARMS) / (self._seen_lately + PRIOR_ALARMS)
        return per_day / DAY_S * self._counts.footage_s * min(max(ratio, least), most)

    def _peaks(self) -> PeakCurve:
        counts = self._counts
        return PeakCurve.of(
            counts.alarms, counts.times_s(), counts.footage_s, self._policy.hysteresis
        )

    def _believable(self, threshold: float) -> float:
        """Return a threshold in (0, 1) under which an alert can close."""
        least = self._policy.hysteresis + 0.01 * (1 - self._policy.hysteresis)
        return min(max(threshold, least), HIGHEST)

    def report(self) -> BudgetReport:
        """Return the budget beside what was seen."""
        return BudgetReport.of(self._per_day, self._rule.threshold, self._footage_s, self._seen)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON-able values, about 5 kB, and 2 kB of the hours."""
        rule = asdict(self._policy)
        del rule["threshold"]
        return {
            "per_day": self._per_day,
            "rule": rule,
            "counts": self._counts.state_dict(),
            "learned_s": self._learned_s,
            "block_s": self._block_s,
            "has_alerted": self._has_alerted,
            "footage_s": self._footage_s,
            "seen": self._seen,
            "expected_lately": self._expected_lately,
            "seen_lately": self._seen_lately,
            "threshold": self._rule.threshold,
            "counts_to": self._counts_to,
            "offset": self._offset,
            "levels": self._levels.state_dict() if self._levels else None,
        }

    @classmethod
    def of_state(cls, state: dict[str, Any], zone: tzinfo) -> AlarmBudget:
        """Return the budget of `state_dict`'s result, with the policy that it has there.

        zone: in which its hours count. Raises ValueError, TypeError or KeyError for anything else.
        """
        policy = AlertPolicy(**state["rule"], threshold=float(state["threshold"]))
        budget = cls(float(state["per_day"]), policy, zone)
        budget.load_state_dict(state)
        return budget

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`'s result.

        Another budget keeps what was learned and counts its own alarms from here; another rule
        (hysteresis and durations) starts again, since its alarms are others.
        Raises ValueError, TypeError or KeyError for anything else.
        """
        rule = asdict(self._policy)
        del rule["threshold"]
        if state["rule"] != rule:
            return
        counts = AlarmCounts(self._policy)
        counts.load_state_dict(state["counts"])
        threshold = float(state["threshold"])
        if not 0 < threshold < 1:
            raise ValueError("a threshold lies between 0 and 1")
        self._counts = counts
        self._learned_s = float(state["learned_s"])
        self._block_s = float(state["block_s"])
        self._has_alerted = bool(state["has_alerted"])
        self._rule = replace(self._policy, threshold=threshold)
        self._counts_to = float(state["counts_to"])
        # Neither is in states of older versions.
        self._offset = float(state.get("offset", unsquash(threshold)))
        if self._levels is not None and state.get("levels") is not None:
            self._levels.load_state_dict(state["levels"])
        if state["per_day"] != self._per_day:
            self._set_threshold()
            return
        self._footage_s = float(state["footage_s"])
        self._seen = int(state["seen"])
        # Not in states of older versions.
        self._expected_lately = float(state.get("expected_lately", 0.0))
        self._seen_lately = float(state.get("seen_lately", 0.0))
