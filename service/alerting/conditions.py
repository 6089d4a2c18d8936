"""Alerts about a camera itself: tampering, and a camera that is not being watched.

They are of kinds of their own beside `anomaly`, live as those do (one id, open, closed, answered),
and go to the same log and sinks. Tampering follows the scene watch's events, by their cursor. That
a camera is not watched is seen by the clock: of the time between two looks, at most a second
counts, so that a reader that was frozen saw nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lookout.service.alerting.silence import IdleTime
from lookout.service.core.camera import Camera
from lookout.service.core.messages import (
    UNFRAMED,
    Alert,
    AlertEvent,
    AlertKind,
    CameraEvent,
    FrameId,
)
from lookout.service.core.settings import Settings
from lookout.service.storage.bus.reports import Overview
from lookout.service.storage.redis import codec

MOST_DETAIL = 300
LEAST_FRAMES = 50  # of a window, for a share of them to say anything
WINDOW_S = 60.0  # over which the share of frames that are left out for lag counts


@dataclass(slots=True)
class CameraConditions:
    """The alerts of one camera that are no anomalies; kept in the store beside the cursor."""

    seen: FrameId | None = None  # the last event of the camera that was taken
    is_new: bool = True  # nothing was stored: earlier events are not taken
    open: dict[AlertKind, Alert] = field(default_factory=dict)

    def take_events(self, events: Sequence[tuple[FrameId, CameraEvent]]) -> list[AlertEvent]:
        """Take the scene watch's next events; return the alert events that they cause."""
        made: list[AlertEvent] = []
        for place, event in events:
            self.seen = place
            alert_id = f"{event.camera}:{event.session}-{event.seq}"
            if event.kind == "test":  # a person asked for it: it is over at once
                made += self.begin("test", alert_id, event.at, event.detail)
                made += self.close("test", event.at)
                continue
            if event.kind == "restored":
                made += self.close("tampering", event.at)
                continue
            was_open = "tampering" in self.open
            made += self.begin("tampering", alert_id, event.at, event.detail)
            if event.kind == "scene_change" and not was_open:  # moved: it may stay so
                made += self.close("tampering", event.at)
        return made

    def set_unwatched(self, camera: str, reason: str | None, now: float) -> list[AlertEvent]:
        """Open or close the alert of a camera that is not watched; reason None: it is.

        now: UTC s.
        """
        if reason is None:
            return self.close("unwatched", now)
        return self.begin("unwatched", f"{camera}:{int(now * 1000)}-{UNFRAMED}", now, reason)

    def begin(self, kind: AlertKind, alert_id: str, at: float, detail: str) -> list[AlertEvent]:
        """Open an alert, unless one of its kind is open."""
        if kind in self.open:
            return []
        alert = Alert(
            id=alert_id,
            camera=alert_id.rpartition(":")[0],
            state="open",
            opened_at=at,
            closed_at=None,
            threshold=0.0,
            peak_value=1.0,
            peak_at=at,
            kind=kind,
            detail=detail[:MOST_DETAIL],
        )
        self.open[kind] = alert
        return [AlertEvent("new", alert)]

    def close(self, kind: AlertKind, at: float) -> list[AlertEvent]:
        """Close the alert of a kind, if one is open."""
        alert = self.open.pop(kind, None)
        if alert is None:
            return []
        closed = replace(alert, state="closed", closed_at=max(at, alert.opened_at))
        return [AlertEvent("end", closed)]

    def close_all(self, at: float) -> list[AlertEvent]:
        """Close every alert: the camera is removed or disabled."""
        return [event for kind in list(self.open) for event in self.close(kind, at)]

    def as_json(self) -> dict[str, Any]:
        """Return the stored form."""
        seen = None if self.seen is None else str(self.seen)
        return {"seen": seen, "open": [asdict(alert) for alert in self.open.values()]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> CameraConditions:
        """Read the stored form.

        Raises ValueError, TypeError, KeyError, AttributeError or BrokenMessageError where it was
        not written by `as_json`.
        """
        if data is None:
            return cls()
        alerts = [codec.checked(Alert, alert) for alert in data["open"]]
        seen = FrameId.parse(data["seen"]) if data["seen"] else None
        return cls(seen, is_new=False, open={alert.kind: alert for alert in alerts})


@dataclass(slots=True)
class WatchTime:
    """For how long a camera was seen not to be watched, and why."""

    _idle: IdleTime = field(default_factory=IdleTime)
    _learning: IdleTime = field(default_factory=IdleTime)
    _scored: FrameId | None = None
    _first_look: bool = True
    _has_moved: bool = False  # a score came since this worker has looked
    _counted: tuple[float, int, int] | None = None  # the window's start (s), scores and lag then
    _lag: float = 0.0  # share of the last whole window

    def look(self, scored: FrameId | None, overview: Overview, now: float) -> None:
        """Note the newest score that was read, and the reports, at `now` (monotonic s)."""
        self._has_moved |= not self._first_look and scored != self._scored
        self._first_look = False
        self._scored = scored
        self._idle.look(scored, now)
        report = overview.inference
        is_learning = report is not None and report.state == "learning"
        self._learning.look("learning", now)
        if not is_learning:
            self._learning.restart()
        scores = overview.counters.get("scores", 0)
        lag = overview.counters.get("dropped_lag", 0)
        if self._counted is None or scores < self._counted[1] or lag < self._counted[2]:
            self._counted = (now, scores, lag)
        elif now - self._counted[0] >= WINDOW_S:
            frames = scores + lag - self._counted[1] - self._counted[2]
            self._lag = 0.0
            if frames >= LEAST_FRAMES:
                self._lag = (lag - self._counted[2]) / frames
            self._counted = (now, scores, lag)

    def reason(self, camera: Camera, overview: Overview, settings: Settings) -> str | None:
        """Return why the camera is not watched, in words; None where it is."""
        if is_over(camera, overview):
            return None
        after_s = max(settings.unwatched_after_s, 2 * (camera.stall_timeout_s or 0.0))
        if self._idle.seconds >= after_s:
            return f"no score for {after_s:g} s{source_state(overview)}"
        if self._learning.seconds >= settings.unwatched_learning_s:
            return f"it has been learning for {settings.unwatched_learning_s:g} s"
        if self._lag >= settings.unwatched_lag_share:
            return f"{100 * self._lag:.0f} % of its frames are left out for lag"
        return None

    @property
    def has_moved(self) -> bool:
        """Whether this worker has seen a score: only then an alert of a former one may close."""
        return self._has_moved


def is_over(camera: Camera, overview: Overview) -> bool:
    """Tell whether a file was played to its end: nothing is left to be watched."""
    ingest = overview.ingest
    return ingest is not None and ingest.state == "ended" and ingest.revision == camera.revision


def source_state(overview: Overview) -> str:
    """Return what ingest and inference report, as the end of a sentence."""
    if overview.ingest is None:
        return ": no ingest worker has it"
    if overview.ingest.state != "online":
        error = f" ({overview.ingest.last_error})" if overview.ingest.last_error else ""
        return f": its source is {overview.ingest.state}{error}"
    if overview.inference is None:
        return ": no inference worker has it"
    if overview.inference.last_error:
        return f": {overview.inference.last_error}"
    return ""
