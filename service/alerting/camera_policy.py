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
from lookout.models.scoring.alert_tracks import AlertTracks
from lookout.models.scoring.look_alikes import AlertLook
from lookout.service.alerting.conditions import CameraConditions, WatchTime
from lookout.service.alerting.minute_peaks import MinutePeaks
from lookout.service.alerting.silence import IdleTime
from lookout.service.core.camera import AlertSettings, Camera
from lookout.service.core.messages import Alert, AlertEvent, AlertId, FrameId, Score
from lookout.service.core.schedule import zone_of
from lookout.service.core.settings import Settings
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
        cooldown_s=settings.alert_cooldown_s,
    )


@dataclass(frozen=True, slots=True)
class CameraAlerts:
    """The state of a camera's policy with its open alert; kept in the store beside the cursor."""

    state: PolicyState = field(default_factory=PolicyState)
    alert: Alert | None = None  # the open one
    zone: str | None = None  # the watched zone that they are of; None: the whole picture

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
                    id=str(AlertId(score.camera, score.id, self.zone)),
                    camera=score.camera,
                    state="open",
                    opened_at=change.at,
                    closed_at=None,
                    threshold=policy.threshold,
                    peak_value=change.peak_value,
                    peak_at=change.peak_at,
                    zone=self.zone,
                )
                events.append(AlertEvent("new", alert))
            elif alert is not None:
                alert = replace(alert, peak_value=change.peak_value, peak_at=change.peak_at)
                if isinstance(change, AlertClosed):
                    closed = replace(alert, state="closed", closed_at=change.at)
                    events.append(AlertEvent("end", closed))
                    if alert.suppressed_by is not None:  # nobody was told: nothing cools down
                        state = replace(state, closed_at=None)
                    alert = None
                else:
                    events.append(AlertEvent("update", alert))
        return CameraAlerts(state, alert, self.zone), events

    @property
    def suppressed_by(self) -> str | None:
        """The suppression of the open alert; None: it is told, or there is none."""
        return None if self.alert is None else self.alert.suppressed_by

    def marked(self, suppression: str | None) -> CameraAlerts:
        """Return them with the open alert suppressed, or told."""
        if self.alert is None:
            return self
        return replace(self, alert=replace(self.alert, suppressed_by=suppression))

    def as_json(self) -> dict[str, Any]:
        """Return the stored form. `told_at` and `untold` are the names of its first version."""
        fields = asdict(self.state)
        del fields["is_open"]
        if fields["closed_at"] is None:  # so that an earlier version reads it
            del fields["closed_at"]
        fields["told_at"] = fields.pop("reported_at")
        fields["untold"] = fields.pop("peak_pending")
        fields["alert"] = asdict(self.alert) if self.alert else None
        return fields

    @classmethod
    def from_json(cls, data: Mapping[str, Any], zone: str | None = None) -> CameraAlerts:
        """Read the stored form, that of a watched zone where one is named.

        Raises TypeError or BrokenMessageError where `data` was not written by `as_json`.
        """
        fields = dict(data)
        alert_data = fields.pop("alert", None)
        alert = codec.checked(Alert, alert_data) if alert_data else None
        for stored, name in (("told_at", "reported_at"), ("untold", "peak_pending")):
            if stored in fields:
                fields[name] = fields.pop(stored)
        state = PolicyState(**fields, is_open=alert is not None)
        return cls(codec.checked(PolicyState, asdict(state)), alert, zone)


@dataclass(slots=True)
class FollowedPolicy:
    """A policy with its alerts, and the budget that may set its threshold."""

    policy: AlertPolicy
    alerts: CameraAlerts
    budget: AlarmBudget | None = None  # whose threshold stands in for the policy's
    scored_by: str = ""  # model and score behind the budget: it begins again with others
    peak_id: FrameId | None = None  # the frame of the last peak that this worker has seen
    unlike_since: float | None = None  # captured_at: a suppressed alert shows something else
    tracks: AlertTracks = field(default_factory=AlertTracks)  # of the last alert
    looks: list[AlertLook] = field(default_factory=list)  # of the last alert, after its opening

    @property
    def rule(self) -> AlertPolicy:
        """The policy, with the threshold as it is now."""
        if self.budget is None:
            return self.policy
        return self.budget.rule

    def follow_settings(self, own: AlertSettings, scored_by: str, settings: Settings) -> None:
        """Take over what is asked for now; scored_by: model and score."""
        policy = policy_of(own, settings)
        asked = own.alarm_budget
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

    def take(self, score: Score, *, armed: bool) -> list[AlertEvent]:
        """Take one score; return the alert events it causes.

        armed: False: the open alert closes, and none opens; the budget learns on.
        """
        events: list[AlertEvent] = []
        if armed:
            self.alerts, events = self.alerts.step(self.rule, score)
            if self.alerts.state.peak_at == score.captured_at:
                self.peak_id = score.id
        else:
            self.alerts, events = self.alerts.close(self.rule)
            state = PolicyState(session=score.session, last_at=score.captured_at)
            self.alerts = replace(self.alerts, state=state)
        if self.budget is not None:
            opened = sum(event.event == "new" for event in events)
            self.budget.update(score, self.alerts.state, opened)
        return events

    def value_of(self, score: Score) -> float | None:
        """Return the value that the policy follows: of the whole picture, or of its zone."""
        zone = self.alerts.zone
        return score.value if zone is None else score.zones.get(zone)

    def tracks_due(self, score: Score) -> bool:
        """Tell whether the open alert's tracks want the regions of a score.

        Below the value at which the alert may close, noise would be followed.
        """
        alert = self.alerts.alert
        value = self.value_of(score)
        if alert is None or value is None or value < self.rule.low:
            return False
        if self.tracks.alert != alert.id:
            self.tracks = AlertTracks(alert.id)
        return self.tracks.is_due(score.captured_at)

    def tracks_state(self) -> dict[str, Any] | None:
        """Return the stored form of the open alert's tracks; None where there are none."""
        alert = self.alerts.alert
        if alert is None or alert.id != self.tracks.alert:
            return None
        return asdict(self.tracks)

    def load_tracks(self, state: Mapping[str, Any] | None) -> None:
        """Continue the tracks from their stored form. Raises BrokenMessageError."""
        if state is not None:
            self.tracks = codec.checked(AlertTracks, state)

    def close(self) -> list[AlertEvent]:
        """Close the open alert at the last score; return the events of it."""
        self.alerts, events = self.alerts.close(self.rule)
        return events


@dataclass(slots=True, kw_only=True)
class FollowedCamera(FollowedPolicy):
    """A camera that an alerting worker owns: the whole picture, and each watched zone."""

    epoch: int  # of its ownership, which every write shows
    saved: FrameId | None  # the cursor in the store
    idle: IdleTime = field(default_factory=IdleTime)
    peaks: MinutePeaks = field(default_factory=MinutePeaks)
    conditions: CameraConditions = field(default_factory=CameraConditions)
    watch: WatchTime = field(default_factory=WatchTime)
    camera: Camera | None = None  # None: it was removed
    zones: dict[str, FollowedPolicy] = field(default_factory=dict)  # by name

    @property
    def parts(self) -> list[FollowedPolicy]:
        """The whole picture and every watched zone."""
        return [self, *self.zones.values()]

    @property
    def open_ids(self) -> set[str]:
        """The ids of the open alerts of scores."""
        return {part.alerts.alert.id for part in self.parts if part.alerts.alert is not None}

    def follow(self, camera: Camera, settings: Settings) -> list[AlertEvent]:
        """Take over what the camera's settings ask for now.

        Returns the ends of alerts of zones that are watched no more.
        """
        self.camera = camera
        scored_by = f"{camera.model} {camera.score}"
        self.follow_settings(camera.alert, scored_by, settings)
        watched = {zone.name: zone for zone in camera.zones if zone.kind == "watch"}
        events: list[AlertEvent] = []
        for name in self.zones.keys() - watched.keys():
            events += self.zones.pop(name).close()
        for name, zone in watched.items():
            if name not in self.zones:
                self.zones[name] = FollowedPolicy(default_policy(settings), CameraAlerts(zone=name))
            # A budget learns again where the polygon is another: its scores are of other cells.
            own = zone.alert or AlertSettings()
            self.zones[name].follow_settings(own, f"{scored_by} {zone.points}", settings)
        return events

    def step(self, score: Score) -> list[AlertEvent]:
        """Take one score; return the alert events it causes, of the whole picture and of zones."""
        self.idle.restart()
        self.peaks.add(score)
        armed = self.camera is None or self.camera.armed_at(score.captured_at)
        events = self.take(score, armed=armed)
        for name, zone in self.zones.items():
            events += zone.take(replace(score, value=score.zones.get(name)), armed=armed)
        return events

    def close_all(self) -> list[AlertEvent]:
        """Close every open alert at the last score; return the events of it."""
        return [event for part in self.parts for event in part.close()]

    def as_json(self) -> dict[str, Any]:
        """Return the stored form, to which the cursor is added."""
        state: dict[str, Any] = {
            "rule": self.alerts.as_json(),
            "conditions": self.conditions.as_json(),
            "minute": self.peaks.open,
        }
        if suppressed := sum(part.alerts.suppressed_by is not None for part in self.parts):
            state["suppressed"] = suppressed
        if self.budget is not None:
            state["budget"] = self.budget_state()
        if tracks := self.tracks_state():
            state["tracks"] = tracks
        if self.zones:
            state["zones"] = {
                name: {
                    "rule": zone.alerts.as_json(),
                    "budget": zone.budget_state(),
                    "tracks": zone.tracks_state(),
                }
                for name, zone in self.zones.items()
            }
        return state
