"""What there is to tell the listeners: cameras, scores, alerts and events, each read on its own.

None of the four waits for another: a store that is away or hangs keeps no score back, a bus no alert.
All start at "now": no history.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel

from lookout.service.api.views import AlertView, CameraView, EventView, ScoreView
from lookout.service.core.camera import Camera
from lookout.service.core.messages import AlertEvent, CameraEvent, FrameId
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.bus.outcomes import ScoreFollower
from lookout.service.storage.store.store import Store

AFTERWARDS_S = 30.0  # a removed camera's last alert closes after it is gone
MOVING = {
    "frames",
    "scores",
    "dropped",
    "measured_fps",
    "frame_age_s",
}  # change with each frame: no news

Event = Literal["new", "update", "end"]
Look = Callable[[Bus, Iterable[Camera]], dict[str, CameraView]]
Known = Callable[
    [], Mapping[str, Camera] | None
]  # the cameras there are; None before anybody has looked

Entry = TypeVar("Entry")  # of a log
Newest = Callable[[str], FrameId | None]  # where a camera's log ends now


@dataclass(frozen=True, slots=True)
class Message:
    camera: str
    text: str  # JSON


Tell = Callable[[list[Message]], None]
After = Callable[[Mapping[str, FrameId | None], int], dict[str, list[tuple[FrameId, Entry]]]]
Told = Callable[[Entry], Message]


class News(Protocol):
    """One of the four. Used by one thread."""

    name: str
    begun: bool  # it stands at "now": from here on nothing is missed

    def pause_s(self, *, heard: bool) -> float:
        """How long until the next turn."""

    def turn(self, tell: Tell) -> None:
        """Look once and tell what is new. May raise one of UNAVAILABLE."""


class CameraNews:
    """Cameras that come, change and go; and, for the others, which cameras there are."""

    name = "cameras"
    begun = False

    def __init__(self, bus: Bus, store: Store, look: Look) -> None:
        self.known: Mapping[str, Camera] | None = None  # replaced as a whole: other threads read it
        self._bus = bus
        self._store = store
        self._look = look
        self._views: dict[str, CameraView] = {}

    def pause_s(self, *, heard: bool) -> float:  # noqa: ARG002  a state is news for the next listener too
        return 1.0

    def turn(self, tell: Tell) -> None:
        cameras = self._store.cameras()
        try:
            tell(
                self._news(self._look(self._bus, cameras.values()))
            )  # a camera is told before its first score
        finally:
            self.known = cameras  # the bus may be away: alerts are told all the same

    def _news(self, views: dict[str, CameraView]) -> list[Message]:
        former, self._views = self._views, views
        if not self.begun:
            self.begun = True
            return []
        gone = [
            _message("camera", camera, former[camera], "end")
            for camera in former.keys() - views.keys()
        ]
        return gone + [
            _message("camera", camera, view, "update" if camera in former else "new")
            for camera, view in views.items()
            if camera not in former or _seen(former[camera]) != _seen(view)
        ]


class ScoreNews:
    """Scores, from the bus alone."""

    name = "scores"
    begun = False

    def __init__(self, bus: Bus, known: Known) -> None:
        self._bus = bus
        self._known = known
        self._follower = ScoreFollower(bus)

    def pause_s(self, *, heard: bool) -> float:
        return 0.015 if heard else 0.25  # unheard: only to stay at "now"

    def turn(self, tell: Tell) -> None:
        known = self._known()
        if known is not None:
            self._follow(known)
        found = self._follower.poll()
        tell(
            [
                _message("score", s.camera, ScoreView.of(s))
                for scores in found.values()
                for s in scores
            ]
        )

    def _follow(self, known: Mapping[str, Camera]) -> None:
        cursors = self._follower.cursors
        for camera in cursors.keys() - known.keys():
            del cursors[camera]
        for camera in known.keys() - cursors.keys():
            # A camera that comes while we watch is heard from its first score.
            cursors[camera] = None if self.begun else self._bus.newest_score_id(camera)
        self.begun = True


class LogNews(Generic[Entry]):
    """What is written to a log of each camera, from the store alone."""

    begun = False

    def __init__(
        self, name: str, known: Known, newest: Newest, after: After[Entry], told: Told[Entry]
    ) -> None:
        self.name = name
        self._known = known
        self._newest = newest
        self._after = after
        self._told = told
        self._cursors: dict[str, FrameId | None] = {}
        self._gone: dict[
            str, float
        ] = {}  # removed cameras, and until when their logs are still followed

    def pause_s(self, *, heard: bool) -> float:
        return 0.1 if heard else 0.25

    def turn(self, tell: Tell) -> None:
        known = self._known()
        if known is not None:
            self._follow(known, time.monotonic())
        tell(self._news())

    def _follow(self, known: Mapping[str, Camera], now: float) -> None:
        for camera in known.keys() - self._cursors.keys():
            # A log's ids are times in ms; a camera of the same name may have left an old log.
            since = FrameId(int(known[camera].created_at * 1000), 0)
            self._cursors[camera] = since if self.begun else self._newest(camera)
        gone = self._cursors.keys() - known.keys()
        self._gone = {camera: self._gone.get(camera, now + AFTERWARDS_S) for camera in gone}
        for camera in gone:
            if now > self._gone[camera]:
                del self._cursors[camera]
        self.begun = True

    def _news(self) -> list[Message]:
        found = self._after(self._cursors, 100) if self._cursors else {}
        for camera, rows in found.items():
            self._cursors[camera] = rows[-1][0]
        return [self._told(entry) for rows in found.values() for _, entry in rows]


def alert_news(store: Store, known: Known) -> News:
    return LogNews(
        "alerts", known, store.newest_alert_event_id, store.alert_events_after, _of_alert
    )


def event_news(store: Store, known: Known) -> News:
    return LogNews(
        "events", known, store.newest_camera_event_id, store.camera_events_after, _of_event
    )


def _of_alert(entry: AlertEvent) -> Message:
    return _message("alert", entry.alert.camera, AlertView.of(entry.alert), entry.event)


def _of_event(entry: CameraEvent) -> Message:
    return _message("event", entry.camera, EventView.of(entry))


def _seen(view: CameraView) -> dict[str, object]:
    return view.model_dump(exclude=MOVING)


def _message(kind: str, camera: str, data: BaseModel, event: Event | None = None) -> Message:
    body = {
        "type": kind,
        **({"event": event} if event else {}),
        "data": data.model_dump(mode="json"),
    }
    return Message(camera, json.dumps(body, separators=(",", ":"), allow_nan=False))
