"""What happens, told to everybody who listens: one thread reads Redis, the event loop hands out."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from service.api.views import CameraView, alert_view, score_view
from service.bus import UNAVAILABLE, Bus
from service.errors import BrokenMessageError
from service.following import ScoreFollower
from service.messages import Camera, FrameId
from service.store import Store

log = logging.getLogger(__name__)

BUSY_S, ALERTS_S, CAMERAS_S = 0.015, 0.1, 1.0  # how often scores, alerts and cameras are looked at
UNHEARD_S = 0.25  # scores, while nobody listens: only to stay at "now"
AFTERWARDS_S = 30.0  # a removed camera's last alert closes after it is gone
MOVING = {"frames", "scores", "dropped", "measured_fps", "frame_age_s"}  # change with each frame: no news

Look = Callable[[Bus, Iterable[Camera]], dict[str, CameraView]]


@dataclass(frozen=True, slots=True)
class Message:
    camera: str
    text: str  # JSON


class Client:
    """One listener: a bounded queue, and whether it ran over. Used in the event loop only."""

    def __init__(self, cameras: frozenset[str], bound: int) -> None:
        self.cameras = cameras  # empty: all
        self.queue: asyncio.Queue[str] = asyncio.Queue(bound)
        self.behind = asyncio.Event()

    def offer(self, message: Message) -> None:
        if self.behind.is_set() or (self.cameras and message.camera not in self.cameras):
            return
        try:
            self.queue.put_nowait(message.text)
        except asyncio.QueueFull:
            self.behind.set()


class Hub:
    """Starts at "now": no history. Outlives every outage of Redis."""

    def __init__(self, bus: Bus, store: Store, look: Look, client_bound: int) -> None:
        self._bus = bus
        self._store = store
        self._look = look
        self._bound = client_bound
        self._clients: set[Client] = set()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._begun = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._follower = ScoreFollower(bus)
        self._alert_cursors: dict[str, FrameId | None] = {}
        self._gone: dict[str, float] = {}  # removed cameras whose alerts are followed for a little while
        self._views: dict[str, CameraView] | None = None
        self._due = {"alerts": 0.0, "cameras": 0.0}
        self.closed_behind = 0  # clients that could not keep up

    # In the event loop

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="hub", daemon=True)
        self._thread.start()

    async def aclose(self, patience_s: float = 1.0) -> None:
        """A Redis that hangs may hold the thread up; it is not waited for longer than `patience_s`."""
        self._stop.set()
        self._wake.set()
        if self._thread:
            await asyncio.to_thread(self._thread.join, patience_s)

    async def begun(self, patience_s: float = 3.0) -> None:
        """Wait until the hub stands at "now": from here on nothing is missed."""
        deadline = time.monotonic() + patience_s
        while not self._begun.is_set() and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    def join(self, cameras: Iterable[str]) -> Client:
        client = Client(frozenset(cameras), self._bound)
        self._clients.add(client)
        self._wake.set()
        return client

    def leave(self, client: Client) -> None:
        self._clients.discard(client)
        self.closed_behind += client.behind.is_set()

    @property
    def listeners(self) -> int:
        return len(self._clients)

    def _hand_out(self, messages: list[Message]) -> None:
        for client in self._clients:
            for message in messages:
                client.offer(message)

    # In the hub's own thread

    def _run(self) -> None:
        away = False
        while not self._stop.is_set():
            try:
                self._publish(self._turn(time.monotonic()))
                away = False
            except UNAVAILABLE as error:
                if not away:
                    log.warning("live: Redis is away, waiting: %s", error)
                away = True
                self._stop.wait(0.5)
            except Exception:
                log.exception("live: a turn failed")  # a listener is never left without its hub
                self._stop.wait(1.0)
            self._wake.wait(BUSY_S if self._clients else UNHEARD_S)
            self._wake.clear()

    def _publish(self, messages: list[Message]) -> None:
        if messages and self._clients and self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hand_out, messages)

    def _turn(self, now: float) -> list[Message]:
        messages: list[Message] = []
        if now >= self._due["cameras"]:
            messages += self._camera_news(now)
            self._due["cameras"] = now + CAMERAS_S
        for scores in self._follower.poll().values():
            messages += [_message("score", s.camera, score_view(s).model_dump(mode="json")) for s in scores]
        if now >= self._due["alerts"]:
            messages += self._alert_news()
            self._due["alerts"] = now + ALERTS_S
        return messages

    def _camera_news(self, now: float) -> list[Message]:
        views = self._look(self._bus, self._store.cameras().values())
        if self._views is None:
            self._begin(views)
            self._views = views
            self._begun.set()
            return []
        messages = []
        for camera in self._views.keys() - views.keys():
            self._follower.cursors.pop(camera, None)
            self._gone[camera] = now + AFTERWARDS_S
            messages.append(_message("camera", camera, self._views[camera].model_dump(mode="json"), "end"))
        for camera, view in views.items():
            former = self._views.get(camera)
            if former is None:
                self._follow(view)
            if former is None or former.model_dump(exclude=MOVING) != view.model_dump(exclude=MOVING):
                event = "update" if former else "new"
                messages.append(_message("camera", camera, view.model_dump(mode="json"), event))
        self._views = views
        self._forget_gone(now)
        return messages

    def _begin(self, views: dict[str, CameraView]) -> None:
        for camera in views:
            self._follower.cursors[camera] = self._bus.newest_score_id(camera)
            self._alert_cursors[camera] = self._store.newest_event(camera)

    def _follow(self, view: CameraView) -> None:
        """A camera that came while we watched: everything since its beginning."""
        self._gone.pop(view.id, None)
        self._follower.cursors[view.id] = None
        # An alert log's ids are times in ms; a camera of the same name may have left an old log.
        self._alert_cursors.setdefault(view.id, FrameId(int(view.created_at * 1000), 0))

    def _forget_gone(self, now: float) -> None:
        for camera in [camera for camera, until in self._gone.items() if now > until]:
            del self._gone[camera]
            self._alert_cursors.pop(camera, None)

    def _alert_news(self) -> list[Message]:
        messages = []
        try:
            found = self._store.events_after(self._alert_cursors, 100) if self._alert_cursors else {}
        except BrokenMessageError as error:
            log.warning("live: alert events passed over: %s", error)
            self._alert_cursors = {camera: self._store.newest_event(camera) for camera in self._alert_cursors}
            return []
        for camera, rows in found.items():
            self._alert_cursors[camera] = rows[-1][0]
            for _, event in rows:
                messages.append(_message("alert", camera, alert_view(event.alert).model_dump(mode="json"), event.event))
        return messages


def _message(kind: str, camera: str, data: dict[str, Any], event: str | None = None) -> Message:
    body = {"type": kind, **({"event": event} if event else {}), "data": data}
    return Message(camera, json.dumps(body, separators=(",", ":"), allow_nan=False))
