"""Events of the cameras themselves (a scene change, tampering): a bounded stream a camera."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import redis

from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import CameraEvent, FrameId
from lookout.service.storage.redis import codec, keys, scripts
from lookout.service.storage.redis.streams import MessageStream
from lookout.service.storage.store.mending import SettingAside

log = logging.getLogger(__name__)

EVENTS_KEPT = 1000  # of a camera


class CameraEvents(SettingAside):
    """The events of every camera. One that cannot be read is logged and removed."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client)
        self._events = MessageStream(client, keys.events, codec.read_camera_event, log_broken)

    def add_camera_event(self, event: CameraEvent) -> None:
        """Append an event; the oldest drops where there are too many. A repetition is ignored."""
        fields = codec.flat(codec.camera_event_fields(event))
        key = keys.events(event.camera)
        self._redis.eval(scripts.ADD_CAMERA_EVENT, 1, key, str(EVENTS_KEPT), *fields)

    def camera_events(self, camera: str, limit: int) -> list[CameraEvent]:
        """Return the newest `limit` events, newest first."""
        return [event for _, event in self._events.newest(camera, limit)]

    def newest_camera_event_id(self, camera: str) -> FrameId | None:
        """Return the id at which the stream ends now: a listener starts behind it.

        It has the form of a frame's id, and names no frame.
        """
        return self._events.newest_id(camera)

    def camera_events_after(
        self, after: Mapping[str, FrameId | None], count: int
    ) -> dict[str, list[tuple[FrameId, CameraEvent]]]:
        """Return up to `count` events of each camera behind an id of its stream."""
        return self._events.after(after, count)


def log_broken(camera: str, entry: FrameId, error: BrokenMessageError) -> None:
    """Log an event that is left out."""
    log.warning(
        "event %s of camera %r is left out: %s", entry, camera, error, extra={"camera": camera}
    )
