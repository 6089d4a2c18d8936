"""When an alert opens and closes: threshold with hysteresis and minimum duration on the live value. Pure.

Time is the frames' own `captured_at`, so that a replay of the same scores opens the same alerts under the same ids.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from lookout.service.core.messages import Alert, AlertEvent, Score
from lookout.service.core.settings import Settings

SLACK_S = 0.001
"""Half a second at ten frames a second is five frames, whatever is lost in rounding their times."""

TELL_EVERY_S = 1.0
"""A rising peak is told at most so often."""


@dataclass(frozen=True, slots=True)
class Limits:
    threshold: float
    low: float  # threshold minus hysteresis
    min_duration_s: float
    clear_after_s: float
    quiet_after_s: float

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(
            threshold=settings.alert_threshold,
            low=settings.alert_threshold - settings.alert_hysteresis,
            min_duration_s=settings.alert_min_duration_s,
            clear_after_s=settings.alert_clear_after_s,
            quiet_after_s=settings.alert_quiet_after_s,
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """What the rule remembers between two scores of one camera; plain values, kept in the store with the cursor."""

    session: int | None = None
    last_at: float | None = None  # captured_at of the last score
    above_since: float | None = None  # reached the threshold then, and was never below `low` since
    below_since: float | None = None  # of an open alert: below `low` since then
    peak_value: float = 0.0  # of the time since above_since
    peak_at: float = 0.0
    alert: Alert | None = None  # the open one
    told_at: float = 0.0  # when the open alert's peak was told last
    untold: bool = False  # the peak rose since

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, data: dict[str, Any]) -> Rule:
        """Raises TypeError where `data` was not written by `as_json`."""
        alert = data.get("alert")
        return cls(**{**data, "alert": Alert(**alert) if alert else None})


def step(rule: Rule, score: Score, limits: Limits) -> tuple[Rule, list[AlertEvent]]:
    """One score further: the new state, and what there is to tell."""
    events: list[AlertEvent] = []
    if _breaks_off(rule, score, limits):
        rule, events = close(rule)
    rule = replace(rule, session=score.session, last_at=score.captured_at)
    value = (
        score.value if score.value is not None else 0.0
    )  # none while learning: neither opens nor holds
    rule = _watch(rule, value, score.captured_at, limits)
    rule, more = _judge(rule, value, score, limits)
    return rule, events + more


def close(rule: Rule) -> tuple[Rule, list[AlertEvent]]:
    """End what is open and forget what was building up: the camera's line broke off at its last score."""
    if rule.alert is None:
        return Rule(), []
    return Rule(), [
        _ended(rule, rule.alert, rule.last_at if rule.last_at is not None else rule.alert.opened_at)
    ]


def _breaks_off(rule: Rule, score: Score, limits: Limits) -> bool:
    if rule.last_at is None:
        return False
    return score.session != rule.session or score.captured_at - rule.last_at > limits.quiet_after_s


def _watch(rule: Rule, value: float, now: float, limits: Limits) -> Rule:
    """Follow how long the value has been high, or low, and its peak."""
    above, below = _earlier(rule.above_since, now), _earlier(rule.below_since, now)
    if value < limits.low:
        kept = above if rule.alert else None  # an open alert's peak counts until it closes
        return replace(rule, above_since=kept, below_since=now if below is None else below)
    if above is None and value < limits.threshold:
        return replace(rule, below_since=None)
    if above is None:
        return replace(rule, above_since=now, below_since=None, peak_value=value, peak_at=now)
    if value > rule.peak_value:
        return replace(
            rule, above_since=above, below_since=None, peak_value=value, peak_at=now, untold=True
        )
    return replace(rule, above_since=above, below_since=None)


def _earlier(since: float | None, now: float) -> float | None:
    """A clock that was set back must not hold the rule up."""
    return None if since is None else min(since, now)


def _judge(rule: Rule, value: float, score: Score, limits: Limits) -> tuple[Rule, list[AlertEvent]]:
    now = score.captured_at
    if rule.alert is None:
        met = _lasts(rule.above_since, now, limits.min_duration_s)
        return _opened(rule, score, limits) if met and value >= limits.threshold else (rule, [])
    if _lasts(rule.below_since, now, limits.clear_after_s):
        return Rule(session=rule.session, last_at=rule.last_at), [_ended(rule, rule.alert, now)]
    if rule.untold and not 0 <= now - rule.told_at < TELL_EVERY_S:
        alert = replace(rule.alert, peak_value=rule.peak_value, peak_at=rule.peak_at)
        return replace(rule, alert=alert, told_at=now, untold=False), [AlertEvent("update", alert)]
    return rule, []


def _lasts(since: float | None, now: float, duration_s: float) -> bool:
    return since is not None and now - since >= duration_s - SLACK_S


def _opened(rule: Rule, score: Score, limits: Limits) -> tuple[Rule, list[AlertEvent]]:
    alert = Alert(
        id=f"{score.camera}:{score.id}",
        camera=score.camera,
        state="open",
        opened_at=score.captured_at,
        closed_at=None,
        threshold=limits.threshold,
        peak_value=rule.peak_value,
        peak_at=rule.peak_at,
    )
    return replace(rule, alert=alert, told_at=score.captured_at, untold=False), [
        AlertEvent("new", alert)
    ]


def _ended(rule: Rule, alert: Alert, closed_at: float) -> AlertEvent:
    ended = replace(
        alert, state="closed", closed_at=closed_at, peak_value=rule.peak_value, peak_at=rule.peak_at
    )
    return AlertEvent("end", ended)
