"""Findings of a replay: alerts, the strangest minutes, and what other thresholds would give."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from statistics import median

from lookout.models.arrays import HeatMap, Pixels
from lookout.models.media.preprocess import resized
from lookout.models.scoring.alert_policy import AlertClosed, AlertOpened, AlertPolicy, PolicyState
from lookout.models.vision.overlay import jpeg, overlay
from lookout.service.core.messages import AlertEvent
from lookout.service.core.replay import OtherThreshold, ReplayAlert, ReplayReport, StrangeMinute
from lookout.service.replay.kept_frames import KeptFrames
from lookout.service.replay.played_frames import PlayedFrames
from lookout.service.replay.replay import Replay, ReplayStep

MINUTE_S = 60.0
MINUTES = 20
ALERTS = 200
"""Alerts that are listed, each with a picture."""

PICTURE_PX = 640
"""Width of a picture at most."""

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
RATE_FRAMES = 64
"""Distances of frames whose median says the recording's rate."""

OTHER_RATE = 1.2
"""Factor by which a recording's rate may differ from the camera's without a note."""


@dataclass(frozen=True, slots=True)
class Peak:
    """A frame that may become a picture."""

    value: float
    at_s: float
    picture: Pixels  # (H, W, 3) uint8 RGB
    cells: HeatMap

    def jpeg(self) -> bytes:
        """Return the frame with its heatmap over it."""
        return jpeg(overlay(smaller(self.picture, PICTURE_PX), self.cells))


def smaller(picture: Pixels, width_px: int) -> Pixels:
    """Return a picture (H, W, 3) uint8 RGB that is no wider."""
    height, width = picture.shape[:2]
    if width <= width_px:
        return picture
    sides = (width_px, max(1, round(height * width_px / width)))
    return resized(picture, sides)


@dataclass(slots=True)
class WhatIf:
    """The camera's policy with another threshold."""

    policy: AlertPolicy
    state: PolicyState = field(default_factory=PolicyState)
    alerts: int = 0
    open_s: float = 0.0
    _opened_at: float = 0.0

    @classmethod
    def at(cls, threshold: float, policy: AlertPolicy) -> WhatIf:
        """Return the policy with its threshold replaced."""
        hysteresis = policy.hysteresis
        if hysteresis >= threshold:
            hysteresis = threshold / 2
        return cls(replace(policy, threshold=threshold, hysteresis=hysteresis))

    def take(self, step: ReplayStep) -> None:
        """Take one score."""
        self.state, events = self.policy.step(self.state, step.score)
        self._count(events)

    def close(self) -> OtherThreshold:
        """Close the open alert; return what there was."""
        self.state, events = self.policy.close(self.state)
        self._count(events)
        return OtherThreshold(
            threshold=self.policy.threshold, alerts=self.alerts, open_s=round(self.open_s, 3)
        )

    def _count(self, events: Iterable[object]) -> None:
        for event in events:
            if isinstance(event, AlertOpened):
                self.alerts += 1
                self._opened_at = event.at
            elif isinstance(event, AlertClosed):
                self.open_s += event.at - self._opened_at


class Findings:
    """Takes the steps of one replay. Its memory does not grow with the recording."""

    def __init__(self, replay: Replay) -> None:
        self.pictures: dict[str, bytes] = {}  # JPEG by the name of a file
        self.scored = 0
        self._replay = replay
        self._peaks: dict[str | None, Peak] = {}  # of the open rise, by zone
        self._open: dict[str, int] = {}  # number of each open alert, by its id
        self._alerts: list[ReplayAlert] = []
        self._opened = 0
        self._minute: tuple[int, Peak] | None = None
        # The strangest minutes: value, minus the minute, its peak (s), its picture.
        self._minutes: list[tuple[float, int, float, bytes]] = []
        policy = replay.policies.policy
        self._others = [WhatIf.at(threshold, policy) for threshold in THRESHOLDS]
        self._distances_s: list[float] = []
        self._last: ReplayStep | None = None
        self._with_value = 0

    def add(self, step: ReplayStep) -> None:
        """Take the next scored frame."""
        self.scored += 1
        self._note_distance(step)
        self._last = step
        for name, part in [(None, self._replay.policies), *self._replay.policies.zones.items()]:
            if part.peak_id == step.score.id:
                value = part.alerts.state.peak_value
                self._peaks[name] = Peak(value, step.at_s, step.picture, step.cells)
        self.take_events(step.events)
        is_armed = self._replay.camera.armed_at(step.score.captured_at)
        for other in self._others:
            if is_armed:
                other.take(step)
            else:
                other.close()
        self._take_minute(step)

    def take_events(self, events: Iterable[AlertEvent]) -> None:
        """Take the alert events of a step, or of the replay's end."""
        for event in events:
            alert = event.alert
            if event.event == "new":
                self._open[alert.id] = self._opened
                self._opened += 1
            elif event.event == "end":
                number = self._open.pop(alert.id)
                if number >= ALERTS:
                    continue
                name = ""
                peak = self._peaks.get(alert.zone)
                if peak is not None:
                    name = f"alert-{number + 1:03}.jpg"
                    self.pictures[name] = peak.jpeg()
                began_s = self._replay.began_s
                found = ReplayAlert(
                    zone=alert.zone,
                    opened_s=round(alert.opened_at - began_s, 3),
                    peak_s=round(alert.peak_at - began_s, 3),
                    closed_s=round((alert.closed_at or alert.opened_at) - began_s, 3),
                    peak_value=alert.peak_value,
                    threshold=alert.threshold,
                    picture=name,
                )
                self._alerts.append(found)

    def report(self) -> ReplayReport:
        """Return what was found, once every step is taken."""
        self.take_events(self._replay.close())
        if self._minute is not None:
            self._end_minute(*self._minute)
        minutes = []
        for place, (value, number, at_s, picture) in enumerate(sorted(self._minutes)[::-1], 1):
            name = f"minute-{place:02}.jpg"
            self.pictures[name] = picture
            minute = StrangeMinute(
                begins_s=-number * MINUTE_S, peak_s=round(at_s, 3), peak_value=value, picture=name
            )
            minutes.append(minute)
        source = self._replay.source
        return ReplayReport(
            camera=self._replay.camera.id,
            recording="" if source is None else source.name,
            began_at=self._replay.began_s if self._replay.is_dated else None,
            kept=source.part if isinstance(source, KeptFrames | PlayedFrames) else None,
            model=self._replay.camera.model,
            frames=0 if source is None else source.frames,
            scored=self.scored,
            left_out=dict(+self._replay.left_out),
            duration_s=0.0 if self._last is None else round(self._last.at_s, 3),
            threshold=self._replay.policies.rule.threshold,
            notes=self.notes(),
            alerts=sorted(self._alerts, key=lambda alert: alert.opened_s),
            alerts_opened=self._opened,
            minutes=minutes,
            thresholds=[other.close() for other in self._others],
        )

    def notes(self) -> list[str]:
        """Return what a person must know of the result, a line each."""
        replay = self._replay
        source = replay.source
        notes = []
        if not replay.goes_on:
            notes.append(
                "the camera has learned nothing yet with this model: it is scored as one that "
                "begins"
            )
        state = replay.line.state
        if self.scored and not self._with_value:
            notes.append(
                f"no frame got a value: the camera is still learning ({state.learned_frames} of "
                f"{state.to_learn_frames} frames)"
            )
        if source is not None:
            notes += source.notes()
            if not self.scored:
                notes.append(
                    f"{source.frames} frames, and none has a score: a score takes "
                    f"{replay.scorer.t_length} in a row"
                )
        notes += [
            f"{event.kind.replace('_', ' ')} at {event.at - replay.began_s:.1f} s: {event.detail}"
            for event in replay.events[:MINUTES]
        ]
        return notes

    def rate_note(self, fps: float | None) -> str:
        """Return that the recording has another rate than the camera, `fps`; else nothing."""
        if not fps or not self._distances_s:
            return ""
        own = 1 / max(1e-3, median(self._distances_s))
        if fps / OTHER_RATE <= own <= fps * OTHER_RATE:
            return ""
        pace = "fast" if own < fps else "slowly"
        return (
            f"it has {own:.3g} frames a second, and the camera is scored at {fps:.3g}: things "
            f"move too {pace} in it"
        )

    def _note_distance(self, step: ReplayStep) -> None:
        last = self._last
        if last is not None and len(self._distances_s) < RATE_FRAMES:
            self._distances_s.append(step.at_s - last.at_s)

    def _take_minute(self, step: ReplayStep) -> None:
        value = step.score.value
        if value is None:
            return
        self._with_value += 1
        number = int(step.at_s // MINUTE_S)
        if self._minute is not None and self._minute[0] != number:
            self._end_minute(*self._minute)
            self._minute = None
        if self._minute is None or value > self._minute[1].value:
            self._minute = (number, Peak(value, step.at_s, step.picture, step.cells))

    def _end_minute(self, number: int, peak: Peak) -> None:
        if len(self._minutes) == MINUTES and peak.value <= self._minutes[0][0]:
            return
        heapq.heappush(self._minutes, (peak.value, -number, peak.at_s, peak.jpeg()))
        if len(self._minutes) > MINUTES:
            heapq.heappop(self._minutes)
