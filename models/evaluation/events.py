"""Events instead of frames: how many are noticed, how soon, and how often the alarm is false.

An event is a run of anomalous frames; an alarm is what the live alert rule would have raised on the live values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum, auto
from typing import Any

import numpy as np
import numpy.typing as npt

from lookout.models.data.labels import Labels

Floats = npt.NDArray[np.float64]

SLACK_S = 0.001
"""Half a second at ten frames a second is five frames, whatever is lost in rounding their times."""

EARLY_S = 1.0
"""An alarm may begin so long before the first labelled frame: labels are drawn by hand. One that has been on for
longer says nothing of what comes then; else a camera that always alarms would notice everything."""

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Where recall and false alarms are told besides the chosen threshold."""


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """Threshold with hysteresis and minimum duration: opens once the value, having reached the threshold, has not been
    below `low` for `min_duration_s` and is at the threshold; ends once it has been below `low` for `clear_after_s`.

    The same as the live alert rule on frames without a gap; a clip is a session of its own. A frame without a value
    (nan: the bounds are being learned) neither opens nor holds.
    """

    threshold: float = 0.5
    hysteresis: float = 0.1
    min_duration_s: float = 0.5
    clear_after_s: float = 2.0

    @property
    def low(self) -> float:
        return self.threshold - self.hysteresis


@dataclass(frozen=True, slots=True)
class Alarm:
    """Frames of the clip, 0-based; of an alarm that the clip's end cut off, what there is."""

    clip: str
    since: int  # the value reached the threshold
    opened: int  # told: `min_duration_s` later at the earliest
    last: int  # the last one not below `low`
    false: (
        bool  # it began neither in an event nor, by EARLY_S at most, before one that it lasted into
    )


@dataclass(frozen=True, slots=True)
class Event:
    """A run of anomalous frames of which one at least has a value."""

    clip: str
    first: int  # 0-based, of those with a value
    last: int
    delay_s: (
        float | None
    )  # from `first` until the alarm could be told, 0 where it was before; None: missed


@dataclass(frozen=True, slots=True)
class EventMetrics:
    rule: AlarmRule
    events: list[Event]
    alarms: list[Alarm]
    normal_hours: float  # of footage with a value and without anomaly
    normal_in_alarm_percent: (
        float | None
    )  # share of that footage within an alarm; None where there is none

    @property
    def recall_percent(self) -> float | None:
        """None where there is no event."""
        found = [event.delay_s is not None for event in self.events]
        return 100 * float(np.mean(found)) if found else None

    @property
    def false_alarms(self) -> int:
        return sum(alarm.false for alarm in self.alarms)

    @property
    def false_alarms_per_hour(self) -> float | None:
        """An hour of normal footage, since none begins during an event. None where there is none."""
        return self.false_alarms / self.normal_hours if self.normal_hours else None

    @property
    def delays_s(self) -> list[float]:
        """Of the events that were noticed."""
        return [event.delay_s for event in self.events if event.delay_s is not None]

    def as_json(self) -> dict[str, Any]:
        return {
            "rule": asdict(self.rule),
            "events": len(self.events),
            "recall_percent": self.recall_percent,
            "delay_median_s": float(np.median(self.delays_s)) if self.delays_s else None,
            "delay_mean_s": float(np.mean(self.delays_s)) if self.delays_s else None,
            "delay_max_s": max(self.delays_s, default=None),
            "false_alarms": self.false_alarms,
            "normal_hours": self.normal_hours,
            "false_alarms_per_hour": self.false_alarms_per_hour,
            "normal_in_alarm_percent": self.normal_in_alarm_percent,
            "each_event": [asdict(event) for event in self.events],
            "each_alarm": [asdict(alarm) for alarm in self.alarms],
        }


@dataclass(frozen=True, slots=True)
class Watched:
    """A clip as the rule sees it, one entry a scored frame."""

    first: int  # 0-based, of the frames scored
    ahead: int  # frames to come before a frame has its score
    fps: float
    values: Floats  # (N,) live; nan without one
    labels: Labels  # (N,) 0/1


def event_metrics(clips: Mapping[str, Watched], rule: AlarmRule) -> EventMetrics:
    alarms = [alarm for name, clip in clips.items() for alarm in _alarms(name, clip, rule)]
    events = [event for name, clip in clips.items() for event in _events(name, clip, alarms)]
    normal = {name: np.isfinite(clip.values) & (clip.labels == 0) for name, clip in clips.items()}
    alarmed = {name: _alarmed(name, clip, alarms) for name, clip in clips.items()}
    normal_s = sum(float(normal[name].sum()) / clip.fps for name, clip in clips.items())
    alarmed_s = sum(
        float((normal[name] & alarmed[name]).sum()) / clip.fps for name, clip in clips.items()
    )
    return EventMetrics(
        rule, events, alarms, normal_s / 3600, 100 * alarmed_s / normal_s if normal_s else None
    )


def at_thresholds(clips: Mapping[str, Watched], rule: AlarmRule) -> list[dict[str, float | None]]:
    """Recall and false alarms where another threshold is chosen, with the same hysteresis; ascending."""
    rules = [
        replace(rule, threshold=threshold)
        for threshold in THRESHOLDS
        if threshold > rule.hysteresis
    ]
    each = [event_metrics(clips, other) for other in rules]
    return [
        {
            "threshold": found.rule.threshold,
            "recall_percent": found.recall_percent,
            "false_alarms_per_hour": found.false_alarms_per_hour,
            "normal_in_alarm_percent": found.normal_in_alarm_percent,
        }
        for found in each
    ]


class _State(Enum):
    QUIET = auto()
    RISING = auto()  # reached the threshold, not below `low` since; not long enough yet
    ALARM = auto()
    FALLING = auto()  # below `low`, not long enough yet


def alarm_spans(values: Floats, fps: float, rule: AlarmRule) -> list[tuple[int, int, int]]:
    """(since, opened, last) of each alarm, as in `Alarm` but counted from the first value; values (N,), nan: none."""
    spans: list[tuple[int, int, int]] = []
    state = _State.QUIET
    since = opened = below = 0  # below: the first frame of FALLING
    for frame, value in enumerate(np.nan_to_num(values)):
        high, low = value >= rule.threshold, value < rule.low
        if state is _State.QUIET and high:
            state, since = _State.RISING, frame
        elif state is _State.RISING and low:
            state = _State.QUIET
        elif state is _State.ALARM and low:
            state, below = _State.FALLING, frame
        elif state is _State.FALLING and not low:
            state = _State.ALARM
        if state is _State.RISING and high and _lasts(since, frame, rule.min_duration_s, fps):
            state, opened = _State.ALARM, frame
        elif state is _State.FALLING and _lasts(below, frame, rule.clear_after_s, fps):
            state = _State.QUIET
            spans.append((since, opened, below - 1))
    if state is _State.ALARM:
        spans.append((since, opened, len(values) - 1))
    elif state is _State.FALLING:
        spans.append((since, opened, below - 1))
    return spans


def _lasts(since: int, now: int, duration_s: float, fps: float) -> bool:
    return (now - since) / fps >= duration_s - SLACK_S


def _alarms(name: str, clip: Watched, rule: AlarmRule) -> list[Alarm]:
    early = int(EARLY_S * clip.fps)
    return [
        Alarm(
            name,
            clip.first + since,
            clip.first + opened,
            clip.first + last,
            false=not clip.labels[since : min(last, since + early) + 1].any(),
        )
        for since, opened, last in alarm_spans(clip.values, clip.fps, rule)
    ]


def _alarmed(name: str, clip: Watched, alarms: list[Alarm]) -> npt.NDArray[np.bool_]:
    """Which scored frames lie within an alarm, (N,)."""
    within = np.zeros(len(clip.values), np.bool_)
    for alarm in alarms:
        if alarm.clip == name:
            within[alarm.since - clip.first : alarm.last - clip.first + 1] = True
    return within


def _events(name: str, clip: Watched, alarms: list[Alarm]) -> list[Event]:
    """Noticed by the first alarm that is on during the event and not false."""
    true = [alarm for alarm in alarms if alarm.clip == name and not alarm.false]
    found = []
    for begin, end in runs((clip.labels != 0) & np.isfinite(clip.values)):
        first, last = clip.first + begin, clip.first + end
        told = [alarm.opened for alarm in true if alarm.since <= last and alarm.last >= first]
        found.append(
            Event(
                name,
                first,
                last,
                max(0, min(told) + clip.ahead - first) / clip.fps if told else None,
            )
        )
    return found


def runs(marked: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each run of True in (N,)."""
    steps = np.diff(np.concatenate([[0], marked.astype(np.int8), [0]]))
    return [
        (int(a), int(b) - 1)
        for a, b in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True)
    ]
