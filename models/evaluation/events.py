"""Event metrics: how many events raise an alarm, how soon, and how often an alarm is false.

An event is a run of anomalous frames. An alarm is the alert that the live service would have raised
on the clip's live values, by the same `AlertPolicy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lookout.models.arrays import Floats
from lookout.models.data.labels import FrameLabels
from lookout.models.evaluation.budget_course import BudgetCourse, BudgetHour, BudgetPoint
from lookout.models.scoring.alarm_budget import AlarmBudget
from lookout.models.scoring.alert_policy import AlertClosed, AlertOpened, AlertPolicy, PolicyEvent
from lookout.models.scoring.budget_report import BudgetReport

EARLY_S = 1.0
"""An alarm may begin this long before the first labelled frame, since labels are drawn by hand.

One that has been on for longer does not count for the event; otherwise a camera that is always in
alarm would detect everything.
"""

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Thresholds of the table of recall and false alarms."""


@dataclass(frozen=True, slots=True)
class ClipValue:
    """The live value of one frame of a clip, as the policy reads it. A clip is one session."""

    captured_at: float  # s since the first value
    value: float | None  # None while the bounds are being learned
    session: int = 0


@dataclass(frozen=True, slots=True)
class Alarm:
    """Frames of the clip, 0-based. The end of the clip ends an alarm."""

    clip: str
    since: int  # the value reached the threshold
    opened: int  # the alert opened: `min_duration_s` later at the earliest
    last: int  # the last frame whose value is not low
    # It began neither in an event nor, by at most EARLY_S, before one that it lasted into.
    false: bool


@dataclass(frozen=True, slots=True)
class AnomalyEvent:
    """A run of anomalous frames, at least one of them with a value. Frames are 0-based."""

    clip: str
    first: int  # the first with a value
    last: int  # the last with a value
    # From `first` until the alert opens; 0 where it was open before; None: missed.
    delay_s: float | None


@dataclass(frozen=True, slots=True)
class EventMetrics:
    """Events and alarms of a set of clips under one policy."""

    policy: AlertPolicy
    events: list[AnomalyEvent]
    alarms: list[Alarm]
    normal_hours: float  # footage with a value and without anomaly
    normal_in_alarm_percent: float | None  # share of it within an alarm; None where there is none
    budget: BudgetReport | None = None  # that set the threshold, which `policy` has as it was last
    budget_course: tuple[BudgetPoint, ...] = ()  # up to there; empty without a budget
    budget_hours: tuple[BudgetHour, ...] = ()  # of the day; empty where nobody knows it

    @property
    def recall_percent(self) -> float | None:
        """Share of events that raised an alarm; None where there is no event."""
        detected = [event.delay_s is not None for event in self.events]
        if not detected:
            return None
        return 100 * float(np.mean(detected))

    @property
    def false_alarms(self) -> int:
        """Number of false alarms."""
        return sum(alarm.false for alarm in self.alarms)

    @property
    def false_alarms_per_hour(self) -> float | None:
        """False alarms per hour of normal footage, since none begins during an event.

        None where there is no normal footage.
        """
        if not self.normal_hours:
            return None
        return self.false_alarms / self.normal_hours

    @property
    def delays_s(self) -> list[float]:
        """Delays of the detected events."""
        return [event.delay_s for event in self.events if event.delay_s is not None]

    def as_json(self) -> dict[str, Any]:
        """Return the numbers and every event and alarm as plain values."""
        rule = asdict(self.policy)
        del rule["quiet_after_s"]  # a clip has no gap
        delays_s = self.delays_s
        median_s = None
        mean_s = None
        if delays_s:
            median_s = float(np.median(delays_s))
            mean_s = float(np.mean(delays_s))
        return {
            "rule": rule,
            "budget": asdict(self.budget) if self.budget else None,
            "budget_course": [asdict(point) for point in self.budget_course],
            "budget_hours": [asdict(hour) for hour in self.budget_hours],
            "events": len(self.events),
            "recall_percent": self.recall_percent,
            "delay_median_s": median_s,
            "delay_mean_s": mean_s,
            "delay_max_s": max(delays_s, default=None),
            "false_alarms": self.false_alarms,
            "normal_hours": self.normal_hours,
            "false_alarms_per_hour": self.false_alarms_per_hour,
            "normal_in_alarm_percent": self.normal_in_alarm_percent,
            "each_event": [asdict(event) for event in self.events],
            "each_alarm": [asdict(alarm) for alarm in self.alarms],
        }


@dataclass(frozen=True, slots=True)
class ClipSeries:
    """The live values and labels of a clip, one entry per scored frame."""

    first: int  # 0-based frame of the first entry
    ahead: int  # frames that must follow before a frame has its score
    fps: float
    values: Floats  # (N,) in [0, 1]; nan without a value
    labels: FrameLabels  # (N,) 0 normal, 1 anomalous

    @property
    def normal(self) -> npt.NDArray[np.bool_]:
        """Frames with a value and without anomaly, (N,)."""
        return np.asarray(np.isfinite(self.values) & (self.labels == 0))


def event_metrics(
    clips: Mapping[str, ClipSeries],
    policy: AlertPolicy,
    budget: BudgetCourse | None = None,
    began_s: float = 0.0,
) -> EventMetrics:
    """Run the policy over each clip and compare its alarms with the labelled events.

    budget: sets the threshold in place of the policy's, and follows the clips one after the other.
    began_s: UTC epoch of the first one, for a budget that knows the hour.
    """
    alarms: list[Alarm] = []
    events: list[AnomalyEvent] = []
    normal_s = 0.0
    in_alarm_s = 0.0
    for session, (name, clip) in enumerate(clips.items()):
        raised = alarms_of(name, clip, policy, budget, session, began_s)
        began_s += len(clip.values) / clip.fps
        within = np.zeros(len(clip.values), np.bool_)
        for alarm in raised:
            within[alarm.since - clip.first : alarm.last - clip.first + 1] = True
        alarms += raised
        events += events_of(name, clip, raised)
        normal_s += float(clip.normal.sum()) / clip.fps
        in_alarm_s += float((clip.normal & within).sum()) / clip.fps
    share = None
    if normal_s:
        share = 100 * in_alarm_s / normal_s
    report = None
    course: tuple[BudgetPoint, ...] = ()
    hours: tuple[BudgetHour, ...] = ()
    if budget is not None:
        policy = budget.rule
        report = budget.report()
        course = tuple(budget.points)
        hours = tuple(budget.hours)
    return EventMetrics(policy, events, alarms, normal_s / 3600, share, report, course, hours)


def at_thresholds(
    clips: Mapping[str, ClipSeries], policy: AlertPolicy
) -> list[dict[str, float | None]]:
    """Return recall and false alarms at other thresholds with the same hysteresis, ascending."""
    rows: list[dict[str, float | None]] = []
    for threshold in THRESHOLDS:
        if threshold > policy.hysteresis:
            metrics = event_metrics(clips, replace(policy, threshold=threshold))
            rows.append(
                {
                    "threshold": threshold,
                    "recall_percent": metrics.recall_percent,
                    "false_alarms_per_hour": metrics.false_alarms_per_hour,
                    "normal_in_alarm_percent": metrics.normal_in_alarm_percent,
                }
            )
    return rows


def alarm_spans(
    values: Floats,
    fps: float,
    policy: AlertPolicy,
    budget: AlarmBudget | None = None,
    session: int = 0,
    began_s: float = 0.0,
) -> list[tuple[int, int, int]]:
    """Return (since, opened, last) of each alarm, as in `Alarm` but counted from the first value.

    values: (N,) in [0, 1], nan without a value. budget: as for `event_metrics`. session: another
        number for each clip that a budget follows. began_s: time of the first value.
    """
    state = policy.initial()
    events: list[PolicyEvent] = []
    for frame, value in enumerate(values.tolist()):
        score = ClipValue(began_s + frame / fps, None if np.isnan(value) else value, session)
        if budget is None:
            state, more = policy.step(state, score)
        else:
            state, more = budget.step(state, score)
        events += more
    _, at_end = policy.close(state)
    spans: list[tuple[int, int, int]] = []
    since = 0
    opened = 0
    for event in [*events, *at_end]:
        if isinstance(event, AlertOpened):
            since = round((event.since - began_s) * fps)
            opened = round((event.at - began_s) * fps)
        elif isinstance(event, AlertClosed):
            last = round((event.at - began_s) * fps)
            if event.low_since is not None:
                last = round((event.low_since - began_s) * fps) - 1
            spans.append((since, opened, last))
    return spans


def alarms_of(
    name: str,
    clip: ClipSeries,
    policy: AlertPolicy,
    budget: AlarmBudget | None = None,
    session: int = 0,
    began_s: float = 0.0,
) -> list[Alarm]:
    """Return the alarms of a clip in order, and which of them are false; as `alarm_spans`."""
    early = int(EARLY_S * clip.fps)
    alarms = []
    for since, opened, last in alarm_spans(clip.values, clip.fps, policy, budget, session, began_s):
        false = not clip.labels[since : min(last, since + early) + 1].any()
        frames = (clip.first + since, clip.first + opened, clip.first + last)
        alarms.append(Alarm(name, *frames, false))
    return alarms


def events_of(name: str, clip: ClipSeries, alarms: list[Alarm]) -> list[AnomalyEvent]:
    """Return the events of a clip; its first true alarm during an event detects it."""
    events = []
    for begin, end in runs((clip.labels != 0) & np.isfinite(clip.values)):
        first = clip.first + begin
        last = clip.first + end
        during = [alarm for alarm in alarms if alarm.since <= last and alarm.last >= first]
        opened = [alarm.opened for alarm in during if not alarm.false]
        delay_s = None
        if opened:
            delay_s = max(0, min(opened) + clip.ahead - first) / clip.fps
        events.append(AnomalyEvent(name, first, last, delay_s))
    return events


def runs(marked: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first and last index of each run of True in (N,)."""
    steps = np.diff(np.concatenate([[0], marked.astype(np.int8), [0]]))
    ends = zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True)
    return [(int(first), int(behind) - 1) for first, behind in ends]
