"""Changes of cameras, scores, alerts and events, each read from Redis by its own reader.

None of the four waits for another: a store that is away delays no score, a bus no alert. All start
at "now", without history.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel

from lookout.service.api.views import (
    AlertView,
    CameraView,
    EventView,
    ScoreView,
    camera_fields_now,
)
from lookout.service.core.camera import Camera
from lookout.service.core.messages import AlertEvent, CameraEvent, FrameId
from lookout.service.ownership.camera_watcher import CameraWatcher
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.bus.outcomes import ScoreFollower
from lookout.service.storage.store.store import Store

CAMERAS_EVERY_S = 1.0
UNHEARD_EVERY_S = 1.0  # without listeners, only to stay at "now"
UNHEARD_CAMERAS_EVERY_S = 5.0  # all views take long; a listener who joins wakes the reader
REST_SHARE = 9.0
"""Times the CPU time of a look at all views that their reader then rests, at least: of many cameras
it takes long, and requests have their share of the process, too. Scores and logs are read again
sooner: after a burst, and with many cameras, such a rest would be seconds."""

SCORES_EVERY_S = 0.015
LOGS_EVERY_S = 0.1
LOG_ENTRIES = 100  # of a camera, read at once
KEEP_REMOVED_S = 30.0  # a removed camera's last alert closes after it is gone
VOLATILE = {
    "frames",
    "scores",
    "dropped",
    "measured_fps",
    "frame_age_s",
    "score_age_s",
    "budget",
}
"""Fields of a camera's view that change with each frame: no message is sent for them."""

CameraFields = dict[str, Any]
"""The fields of a `CameraView`."""

EventName = Literal["new", "update", "end"]


class ScoreMessage(BaseModel):
    """A frame was scored."""

    type: Literal["score"] = "score"
    data: ScoreView


class AlertMessage(BaseModel):
    """An alert opened, changed or closed."""

    type: Literal["alert"] = "alert"
    event: EventName
    data: AlertView


class EventMessage(BaseModel):
    """Something happened to a camera itself."""

    type: Literal["event"] = "event"
    data: EventView


class CameraMessage(BaseModel):
    """A camera was added, changed its state, or was removed."""

    type: Literal["camera"] = "camera"
    event: EventName
    data: CameraView


LiveBody = ScoreMessage | AlertMessage | EventMessage | CameraMessage
"""What one message of `/live` holds."""

Known = Callable[[], Mapping[str, Camera] | None]
"""Returns the cameras there are; None before the store has answered once."""

LogItem = TypeVar("LogItem")  # of a log
NewestId = Callable[[str], FrameId | None]  # where a camera's log ends now
ReadAfter = Callable[[Mapping[str, FrameId | None], int], dict[str, list[tuple[FrameId, LogItem]]]]


@dataclass(frozen=True, slots=True)
class LiveMessage:
    camera: str
    text: str  # JSON

    @classmethod
    def of(cls, camera: str, body: LiveBody) -> LiveMessage:
        """Build the JSON of a message."""
        text = json.dumps(body.model_dump(mode="json"), separators=(",", ":"), allow_nan=False)
        return cls(camera, text)


class Publisher(Protocol):
    """Receives the messages."""

    def wants(self, camera: str) -> bool:
        """Return whether somebody listens to the camera: without, no message is built."""

    def publish(self, messages: list[LiveMessage]) -> None:
        """Hand messages to their listeners."""


class Changes(Protocol):
    """One of the four readers. Used by one thread."""

    name: str
    started: bool  # it stands at "now": from here on nothing is missed

    def pause_s(self, worked_s: float, *, heard: bool) -> float:
        """Return the time until the next poll.

        worked_s: CPU time of the last one; heard: whether there are listeners.
        """

    def poll(self, publisher: Publisher) -> None:
        """Publish what is new. Raises one of UNAVAILABLE."""


class CameraChanges:
    """Cameras that are added, change and are removed; tells the other readers which there are."""

    name = "cameras"
    started = False

    def __init__(self, bus: Bus, store: Store) -> None:
        self.known: Mapping[str, Camera] | None = None  # replaced as a whole: other threads read it
        self._bus = bus
        self._store = store
        self._watcher = CameraWatcher(store)
        self._shown: dict[str, CameraFields] = {}
        self._stable: dict[str, CameraFields] = {}

    def pause_s(self, worked_s: float, *, heard: bool) -> float:
        every_s = CAMERAS_EVERY_S if heard else UNHEARD_CAMERAS_EVERY_S
        return max(every_s, REST_SHARE * worked_s)

    def poll(self, publisher: Publisher) -> None:
        self._watcher.refresh()
        cameras = self._watcher.cameras
        if cameras is None:
            return
        try:
            # A new camera is published before its first score.
            self._compare(camera_fields_now(self._bus, self._store, cameras.values()), publisher)
        finally:
            self.known = cameras  # without the bus as well: alerts are still followed

    def _compare(self, shown: dict[str, CameraFields], publisher: Publisher) -> None:
        former = self._shown
        stable_before = self._stable
        self._shown = shown
        self._stable = {camera: stable_fields(fields) for camera, fields in shown.items()}
        if not self.started:
            self.started = True
            return
        changed: list[tuple[CameraFields, EventName]] = []
        for camera in former.keys() - shown.keys():
            changed.append((former[camera], "end"))
        for camera, fields in shown.items():
            if camera not in former:
                changed.append((fields, "new"))
            elif stable_before[camera] != self._stable[camera]:
                changed.append((fields, "update"))
        publisher.publish(
            [
                LiveMessage.of(
                    fields["id"],
                    CameraMessage(event=event, data=CameraView.model_validate(fields)),
                )
                for fields, event in changed
                if publisher.wants(fields["id"])
            ]
        )


def stable_fields(fields: CameraFields) -> CameraFields:
    """Return the fields of a view whose change is worth a message."""
    return {name: value for name, value in fields.items() if name not in VOLATILE}


class ScoreChanges:
    """New scores, from the bus alone."""

    name = "scores"
    started = False

    def __init__(self, bus: Bus, known: Known) -> None:
        self._bus = bus
        self._known = known
        self._follower = ScoreFollower(bus)

    def pause_s(self, worked_s: float, *, heard: bool) -> float:
        return max(SCORES_EVERY_S if heard else UNHEARD_EVERY_S, worked_s)

    def poll(self, publisher: Publisher) -> None:
        known = self._known()
        if known is not None:
            self._follow(known)
        publisher.publish(
            [
                LiveMessage.of(camera, ScoreMessage(data=ScoreView.of(score)))
                for camera, scores in self._follower.poll().items()
                if publisher.wants(camera)
                for score in scores
            ]
        )

    def _follow(self, known: Mapping[str, Camera]) -> None:
        cursors = self._follower.cursors
        for camera in cursors.keys() - known.keys():
            del cursors[camera]
        for camera in known.keys() - cursors.keys():
            # A camera that is added later is heard from its first score.
            cursors[camera] = None if self.started else self._bus.newest_score_id(camera)
        self.started = True


class LogChanges(Generic[LogItem]):
    """New entries of a log that each camera has, from the store alone."""

    started = False

    def __init__(
        self,
        name: str,
        known: Known,
        newest_id: NewestId,
        read_after: ReadAfter[LogItem],
        message: Callable[[LogItem], LiveMessage],
    ) -> None:
        self.name = name
        self._known = known
        self._newest_id = newest_id
        self._read_after = read_after
        self._message = message
        self._cursors: dict[str, FrameId | None] = {}
        self._removed: dict[str, float] = {}  # camera → until when its log is still followed

    def pause_s(self, worked_s: float, *, heard: bool) -> float:
        return max(LOGS_EVERY_S if heard else UNHEARD_EVERY_S, worked_s)

    def poll(self, publisher: Publisher) -> None:
        known = self._known()
        if known is not None:
            self._follow(known, time.monotonic())
        if not self._cursors:
            return
        found = self._read_after(self._cursors, LOG_ENTRIES)
        for camera, entries in found.items():
            self._cursors[camera] = entries[-1][0]
        publisher.publish(
            [
                self._message(entry)
                for camera, entries in found.items()
                if publisher.wants(camera)
                for _, entry in entries
            ]
        )

    def _follow(self, known: Mapping[str, Camera], now: float) -> None:
        for camera in known.keys() - self._cursors.keys():
            # A log's ids are times in ms; a camera of the same name may have left an old log.
            if self.started:
                self._cursors[camera] = FrameId(int(known[camera].created_at * 1000), 0)
            else:
                self._cursors[camera] = self._newest_id(camera)
        removed = self._cursors.keys() - known.keys()
        until = now + KEEP_REMOVED_S
        self._removed = {camera: self._removed.get(camera, until) for camera in removed}
        for camera in removed:
            if now > self._removed[camera]:
                del self._cursors[camera]
        self.started = True


def alert_changes(store: Store, known: Known) -> Changes:
    """Return the reader of the alert logs."""

    def message(entry: AlertEvent) -> LiveMessage:
        body = AlertMessage(event=entry.event, data=AlertView.of(entry.alert))
        return LiveMessage.of(entry.alert.camera, body)

    return LogChanges(
        "alerts", known, store.newest_alert_event_id, store.alert_events_after, message
    )


def event_changes(store: Store, known: Known) -> Changes:
    """Return the reader of the cameras' own events."""

    def message(entry: CameraEvent) -> LiveMessage:
        return LiveMessage.of(entry.camera, EventMessage(data=EventView.of(entry)))

    return LogChanges(
        "events", known, store.newest_camera_event_id, store.camera_events_after, message
    )
