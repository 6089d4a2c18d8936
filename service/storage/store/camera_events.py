"""What happened to the cameras themselves (a scene change, tampering), kept in the store: a bounded stream a camera."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, cast

import redis

from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import CameraEvent, FrameId
from lookout.service.storage.redis import codec, keys

log = logging.getLogger(__name__)

EVENTS_KEPT = 1000  # of a camera

# KEYS: events. ARGV: how many are kept, then the event's fields: 'kind', its kind, 'frame', its frame's id, and so on.
# A new owner that replays frames tells the same events again: the newest lines are searched for them.
_ADD = """
for _, line in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 64)) do
    if line[2][2] == ARGV[3] and line[2][4] == ARGV[5] then return 0 end
end
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[1], '*', unpack(ARGV, 2))
return 1
"""

Rows = Iterable[tuple[bytes, dict[bytes, bytes]]]


class CameraEventLog:
    """The part of the store that holds them. Every method may raise one of bus.UNAVAILABLE."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def add_event(self, event: CameraEvent) -> None:
        """The oldest drops where there are too many; told again, it changes nothing."""
        fields = codec.flat(codec.camera_event_fields(event))
        self._redis.eval(_ADD, 1, keys.events(event.camera), str(EVENTS_KEPT), *fields)

    def events(self, camera: str, limit: int) -> list[CameraEvent]:
        """The newest `limit`, newest first."""
        rows = cast(Rows, self._redis.xrevrange(keys.events(camera), count=limit))
        return [event for _, event in self._camera_events(camera, rows)]

    def newest_camera_event(self, camera: str) -> FrameId | None:
        """Where the stream ends now (no frame's id, but of the same form): a listener starts behind it."""
        found = cast(list[tuple[bytes, Any]], self._redis.xrevrange(keys.events(camera), count=1))
        return FrameId.parse(found[0][0].decode()) if found else None

    def camera_events_after(
        self, after: Mapping[str, FrameId | None], count: int
    ) -> dict[str, list[tuple[FrameId, CameraEvent]]]:
        """Up to `count` events of each camera behind a place in its stream."""
        pipe = self._redis.pipeline(transaction=False)
        for camera, last in after.items():
            pipe.xrange(keys.events(camera), min=f"({last}" if last else "-", count=count)
        answers = cast(list[Rows], pipe.execute())
        found = {
            camera: self._camera_events(camera, rows)
            for camera, rows in zip(after, answers, strict=True)
        }
        return {camera: events for camera, events in found.items() if events}

    def _camera_events(self, camera: str, rows: Rows) -> list[tuple[FrameId, CameraEvent]]:
        """One that cannot be read is removed, so that nobody meets it again."""
        events = []
        for entry, row in rows:
            try:
                events.append((FrameId.parse(entry.decode()), codec.read_camera_event(camera, row)))
            except BrokenMessageError as error:
                about = {"camera": camera}
                log.warning(
                    "event %s of camera %r is left out: %s",
                    entry.decode(),
                    camera,
                    error,
                    extra=about,
                )
                self._redis.xdel(keys.events(camera), entry)
        return events
