"""The alert policy: threshold with hysteresis and minimum duration on the live value.

Time is the frames' own `captured_at`, so that a replay of the same scores opens the same alerts.
Alerting runs the policy on live scores, evaluation on the values of test clips.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

SLACK_S = 0.001
"""Half a second at ten frames a second is five frames, whatever is lost in rounding their times."""

PEAK_EVERY_S = 1.0
"""A rising peak is reported at most this often."""


class TimedValue(Protocol):
    """The part of a score that the policy reads."""

    @property
    def session(self) -> int: ...
    @property
    def captured_at(self) -> float: ...  # s; ascending within a session
    @property
    def value(self) -> float | None: ...  # in [0, 1], higher is more abnormal; None while learning


@dataclass(frozen=True, slots=True)
class AlertOpened:
    """The policy is met: the value lasted at the threshold for the minimum duration."""

    at: float  # captured_at of the score that met it
    since: float  # captured_at of the score that reached the threshold
    peak_value: float
    peak_at: float


@dataclass(frozen=True, slots=True)
class PeakRaised:
    """The value of the open alert rose above its former peak."""

    peak_value: float
    peak_at: float


@dataclass(frozen=True, slots=True)
class AlertClosed:
    """The value stayed low for long enough, or the scores broke off."""

    at: float
    low_since: float | None  # captured_at of the first score of the last low stretch; None: not low
    peak_value: float
    peak_at: float


PolicyEvent = AlertOpened | PeakRaised | AlertClosed


@dataclass(frozen=True, slots=True)
class PolicyState:
    """The policy's state between two scores of one camera: plain values, so that it can be
    stored. All times are `captured_at` of a score.
    """

    session: int | None = None
    last_at: float | None = None  # the last score
    above_since: float | None = None  # reached the threshold then, was never low since
    below_since: float | None = None  # low since then
    peak_value: float = 0.0  # highest value since `above_since`
    peak_at: float = 0.0
    is_open: bool = False
    reported_at: float = 0.0  # the last event of the open alert
    peak_pending: bool = False  # the peak rose since
    closed_at: float | None = None  # when the last alert closed, where a cool-down follows it


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """An alert opens once the value, having reached the threshold, has not been low for
    `min_duration_s` and is at the threshold. It closes once the value has been low for
    `clear_after_s`, with a new session, or after `quiet_after_s` without a score. So rises that
    are nearer to each other than `clear_after_s` are one alert. For `cooldown_s` after one has
    closed none opens; a rise that outlasts it opens one at its end.

    A value is low below threshold - hysteresis. A score without a value (while the camera learns
    its bounds) counts as 0: it neither opens nor holds an alert.
    """

    threshold: float = 0.5
    hysteresis: float = 0.1
    min_duration_s: float = 0.5
    clear_after_s: float = 2.0
    quiet_after_s: float = 15.0
    cooldown_s: float = 0.0

    @property
    def low(self) -> float:
        """Values below this are low."""
        return self.threshold - self.hysteresis

    def initial(self) -> PolicyState:
        """Return the state before a camera's first score."""
        return PolicyState()

    def step(self, state: PolicyState, score: TimedValue) -> tuple[PolicyState, list[PolicyEvent]]:
        """Take one score; return the new state and what happened, in order."""
        events: list[PolicyEvent] = []
        if self.breaks_off(state, score):
            state, events = self.close(state)
        now = score.captured_at
        value = score.value or 0.0
        state = self.track(replace(state, session=score.session, last_at=now), value)
        if not state.is_open:
            since = state.above_since
            if since is not None and self.is_met(state, value, now):
                events.append(AlertOpened(now, since, state.peak_value, state.peak_at))
                state = replace(state, is_open=True, reported_at=now, peak_pending=False)
        elif lasts(state.below_since, now, self.clear_after_s):
            events.append(AlertClosed(now, state.below_since, state.peak_value, state.peak_at))
            state = replace(self.after_alert(now), session=state.session, last_at=now)
        elif state.peak_pending and not 0 <= now - state.reported_at < PEAK_EVERY_S:
            events.append(PeakRaised(state.peak_value, state.peak_at))
            state = replace(state, reported_at=now, peak_pending=False)
        return state, events

    def close(self, state: PolicyState) -> tuple[PolicyState, list[PolicyEvent]]:
        """Close an open alert at the last score and forget a rise: the scores broke off."""
        if not state.is_open or state.last_at is None:
            return replace(self.initial(), closed_at=state.closed_at), []
        closed = AlertClosed(state.last_at, state.below_since, state.peak_value, state.peak_at)
        return self.after_alert(state.last_at), [closed]

    def after_alert(self, closed_at: float) -> PolicyState:
        """Return the state after an alert that closed then."""
        if not self.cooldown_s:
            return self.initial()
        return replace(self.initial(), closed_at=closed_at)

    def is_met(self, state: PolicyState, value: float, now: float) -> bool:
        """Return True where an alert opens now: the rise has lasted, and no cool-down holds."""
        if value < self.threshold or not lasts(state.above_since, now, self.min_duration_s):
            return False
        if state.closed_at is None:
            return True
        since_s = now - state.closed_at  # negative where the clock was set back: nothing waits
        return not 0 <= since_s < self.cooldown_s - SLACK_S

    def breaks_off(self, state: PolicyState, score: TimedValue) -> bool:
        """Return True where `score` does not continue the scores of `state`."""
        if state.last_at is None:
            return False
        quiet_s = score.captured_at - state.last_at
        return score.session != state.session or quiet_s > self.quiet_after_s

    def track(self, state: PolicyState, value: float) -> PolicyState:
        """Update how long the value has been high or low, and its peak, at `state.last_at`."""
        now = 0.0 if state.last_at is None else state.last_at
        # A clock that was set back must not delay anything: no time lies after `now`.
        above = state.above_since
        if above is not None:
            above = min(above, now)
        if value < self.low:
            below = now
            if state.below_since is not None:
                below = min(state.below_since, now)
            kept = above if state.is_open else None  # an open alert's peak counts until it closes
            return replace(state, above_since=kept, below_since=below)
        if above is None and value < self.threshold:
            return replace(state, below_since=None)
        if above is None:
            return replace(state, above_since=now, below_since=None, peak_value=value, peak_at=now)
        state = replace(state, above_since=above, below_since=None)
        if value > state.peak_value:
            return replace(state, peak_value=value, peak_at=now, peak_pending=True)
        return state


def lasts(since: float | None, now: float, duration_s: float) -> bool:
    """Return True where what began at `since` (None: nothing) has lasted for `duration_s`."""
    return since is not None and now - since >= duration_s - SLACK_S
