"""The alert policy of one camera: its parameters, its stored state, and the alerts it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lookout.models.scoring.alarm_budget import AlarmBudget
from lookout.models.scoring.alert_policy import (
    AlertClosed,
    AlertOpened,
    AlertPolicy,
    PolicyEvent,
    PolicyState,
)
from lookout.service.alerting.conditions import CameraConditions, WatchTime
from lookout.service.alerting.minute_peaks import MinutePeaks
from lookout.service.alerting.silence import IdleTime
from lookout.service.core.camera import AlertSettings, Camera
from lookout.service.core.messages import Alert, AlertEvent, FrameId, Score
from lookout.service.core.settings import Settings
from lookout.service.core.sinks import zone_of
from lookout.service.storage.redis import codec


def policy_of(own: AlertSettings, settings: Settings) -> AlertPolicy:
    """Return a camera's policy: its own parameters, the defaults of `settings` where it has none.

    A hysteresis that is not smaller than the threshold could never close an alert: half the
    threshold takes its place.
    """
    defaults = asdict(default_policy(settings))
    given = own.model_dump(exclude_none=True, exclude={"alarm_budget"})
    policy = AlertPolicy(**(defaults | given))
    if policy.low <= 0:
        policy = replace(policy, hysteresis=policy.threshold / 2)
    return policy


def default_policy(settings: Settings) -> AlertPolicy:
    """Return the policy of a camera without parameters of its own."""
    return AlertPolicy(
        threshold=settings.alert_threshold,
        hysteresis=settings.alert_hysteresis,
        min_duration_s=settings.alert_min_duration_s,
        clear_after_s=settings.alert_clear_after_s,
        quiet_after_s=settings.alert_quiet_after_s,
    )


@dataclass(frozen=True, slots=True)
class CameraAlerts:
    """The state of a camera's policy with its open alert; kept in the store beside the cursor."""

    state: PolicyState = field(default_factory=PolicyState)
    alert: Alert | None = None  # the open one

    def step(self, policy: AlertPolicy, score: Score) -> tuple[CameraAlerts, list[AlertEvent]]:
        """Take one score; return the new state and the alert events it causes."""
        state, changes = policy.step(self.state, score)
        return self.with_changes(state, changes, policy, score)

    def close(self, policy: AlertPolicy) -> tuple[CameraAlerts, list[AlertEvent]]:
        """Close the open alert at the last score: no score follows."""
        state, changes = policy.close(self.state)
        return self.with_changes(state, changes, policy)

    def with_changes(
        self,
        state: PolicyState,
        changes: list[PolicyEvent],
        policy: AlertPolicy,
        score: Score | None = None,
    ) -> tuple[CameraAlerts, list[AlertEvent]]:
        """Turn the policy's events into alert events; `score` is the one that caused them."""
        alert = self.alert
        events: list[AlertEvent] = []
        for change in changes:
            if isinstance(change, AlertOpened) and score is not None:
                alert = Alert(
                    id=f"{score.camera}:{score.id}",
                    camera=score.camera,
                    state="open",
                    opened_at=change.at,
                    closed_at=None,
                    threshold=policy.threshold,
                    peak_value=change.peak_value,
                    peak_at=change.peak_at,
                )
                events.append(AlertEvent("new", alert))
            elif alert is not None:
                alert = replace(alert, peak_value=change.peak_value, peak_at=change.peak_at)
                if isinstance(change, AlertClosed):
                    closed = replace(alert, state="closed", closed_at=change.at)
                    events.append(AlertEvent("end", closed))
                    alert = None
                else:
                    events.append(AlertEvent("update", alert))
        return CameraAlerts(state, alert), events

    def as_json(self) -> dict[str, Any]:
        """Return the stored form. `told_at` and `untold` are the names of its first version."""
        fields = asdict(self.state)
        del fields["is_open"]
        fields["told_at"] = fields.pop("reported_at")
        fields["untold"] = fields.pop("peak_pending")
        fields["alert"] = asdict(self.alert) if self.alert else None
        return fields

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CameraAlerts:
        """Read the stored form.

        Raises TypeError or BrokenMessageError where `data` was not written by `as_json`.
        """
        fields = dict(data)
        alert_data = fields.pop("alert", None)
        alert = codec.checked(Alert, alert_data) if alert_data else None
        for stored, name in (("told_at", "reported_at"), ("untold", "peak_pending")):
            if stored in fields:
                fields[name] = fields.pop(stored)
        state = PolicyState(**fields, is_open=alert is not None)
        return cls(codec.checked(PolicyState, asdict(state)), alert)


@dataclass(slots=True)
class FollowedCamera:
    """A camera that an alerting worker owns."""

    epoch: int  # of its ownership, which every write shows
    policy: AlertPolicy
    alerts: CameraAlerts
    saved: FrameId | None  # the cursor in the store
    budget: AlarmBudget | None = None  # whose threshold stands in for the policy's
    scored_by: str = ""  # model and score behind the budget: it begins again with others
    peak_id: FrameId | None = None  # the frame of the last peak that this worker has seen
    idle: IdleTime = field(default_factory=IdleTime)
    peaks: MinutePeaks = field(default_factory=MinutePeaks)
    conditions: CameraConditions = field(default_factory=CameraConditions)
    watch: WatchTime = field(default_factory=WatchTime)

    @property
    def rule(self) -> AlertPolicy:
        """The policy, with the threshold as it is now."""
        if self.budget is None:
            return self.policy
        return self.budget.rule

    def follow(self, camera: Camera, settings: Settings) -> None:
        """Take over what the camera's settings ask for now."""
        policy = policy_of(camera.alert, settings)
        asked = camera.alert.alarm_budget
        scored_by = f"{camera.model} {camera.score}"
        if asked is None:
            self.budget = None
        elif (
            self.budget is None
            or scored_by != self.scored_by
            or (asked.per_day, policy) != (self.budget.per_day, self.policy)
        ):
            state = self.budget_state()
            self.budget = AlarmBudget(asked.per_day, policy, zone_of(settings.timezone))
            self.scored_by = scored_by
            self.load_budget(state)
        self.policy = policy

    def load_budget(self, state: Mapping[str, Any] | None) -> None:
        """Continue the budget from its stored state, where that is of the same scores.

        Raises ValueError, TypeError, KeyError or AttributeError where it was not written by
        `budget_state`.
        """
        if self.budget is not None and state and state["scored_by"] == self.scored_by:
            self.budget.load_state_dict(state["state"])

    def budget_state(self) -> dict[str, Any] | None:
        """Return the stored form of the budget; None without one."""
        if self.budget is None:
            return None
        return {"scored_by": self.scored_by, "state": self.budget.state_dict()}

    def step(self, score: Score) -> list[AlertEvent]:
        """Take one score; return the alert events it causes."""
        self.idle.restart()
        self.peaks.add(score)
        self.alerts, events = self.alerts.step(self.rule, score)
        if self.alerts.state.peak_at == score.captured_at:
            self.peak_id = score.id
        if self.budget is not None:
            opened = sum(event.event == "new" for event in events)
            self.budget.update(score, self.alerts.state, opened)
        return events
