"""The store: cameras, sessions, learned bounds and alerts, in a Redis that writes to disk before it answers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any, cast

import redis

from service import codec, keys
from service.errors import BrokenMessageError, ConflictError, NotFoundError
from service.messages import Alert, AlertEvent, Camera, FrameId

LOG_KEPT = 1000  # alert events a camera's log holds for its listeners

# KEYS: the session counter. ARGV: now in ms. Never smaller than before, whatever the clock does.
_NEXT_SESSION = """
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local session = math.max(tonumber(ARGV[1]), last + 1)
redis.call('SET', KEYS[1], string.format('%.0f', session))
return string.format('%.0f', session)
"""

# KEYS: cameras. ARGV: id, camera, expected revision. Answers 1, or 0 where somebody else was quicker.
_REPLACE = """
local now = redis.call('HGET', KEYS[1], ARGV[1])
if not now or cjson.decode(now)['revision'] ~= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""


class Store:
    """Typed access to the store. Every method may raise one of bus.UNAVAILABLE."""

    def __init__(self, client: redis.Redis, *, alerts_kept: int = 10_000) -> None:
        self._redis = client
        self._alerts_kept = alerts_kept

    def ping(self) -> None:
        self._redis.ping()

    # Cameras

    def cameras(self) -> dict[str, Camera]:
        """Every camera by its id; a record that cannot be read is left out, so that it does not stop the others."""
        found = cast(dict[bytes, bytes], self._redis.hgetall(keys.CAMERAS))
        cameras = {}
        for key, text in sorted(found.items()):
            with contextlib.suppress(BrokenMessageError):
                cameras[key.decode()] = codec.load(Camera, text)
        return cameras

    def camera(self, camera: str) -> Camera:
        """Raises NotFoundError."""
        text = cast(bytes | None, self._redis.hget(keys.CAMERAS, camera))
        if text is None:
            raise NotFoundError(f"there is no camera {camera!r}")
        return codec.load(Camera, text)

    def add_camera(self, camera: Camera) -> None:
        """Raises ConflictError where the id is taken."""
        if not self._redis.hsetnx(keys.CAMERAS, camera.id, codec.dump(camera)):
            raise ConflictError(f"there is a camera {camera.id!r} already")

    def replace_camera(self, camera: Camera) -> None:
        """Write a camera whose revision is one above the stored. Raises ConflictError where that is not so."""
        args = (camera.id, codec.dump(camera), camera.revision - 1)
        if not self._redis.eval(_REPLACE, 1, keys.CAMERAS, *map(str, args)):
            raise ConflictError(f"camera {camera.id!r} was changed or removed meanwhile; try again")

    def remove_camera(self, camera: str) -> None:
        """Forget the camera and what it learned; its alerts stay. Raises NotFoundError."""
        if not self._redis.hdel(keys.CAMERAS, camera):
            raise NotFoundError(f"there is no camera {camera!r}")
        self._redis.delete(keys.bounds(camera), keys.alerting(camera))

    def next_session(self, camera: str, now_s: float) -> int:
        """A session number greater than any before: the time in ms, or the last plus one."""
        answer = self._redis.eval(_NEXT_SESSION, 1, keys.session(camera), str(int(now_s * 1000)))
        return int(cast(bytes, answer))

    # What a camera has learned

    def save_bounds(self, camera: str, bounds: Mapping[str, Any]) -> None:
        self._redis.set(keys.bounds(camera), json.dumps(bounds))

    def bounds(self, camera: str) -> dict[str, Any] | None:
        text = cast(bytes | None, self._redis.get(keys.bounds(camera)))
        return json.loads(text) if text else None

    def drop_bounds(self, camera: str) -> None:
        self._redis.delete(keys.bounds(camera))

    # Alerts

    def alerting_state(self, camera: str) -> dict[str, Any] | None:
        """What alerting wrote with its last step: its cursor and the rule's state."""
        text = cast(bytes | None, self._redis.get(keys.alerting(camera)))
        return json.loads(text) if text else None

    def save_alerting(self, camera: str, state: Mapping[str, Any], events: list[AlertEvent]) -> None:
        """Alerts, their log and the alerting cursor in one transaction: all of it or nothing."""
        if any(event.event == "new" for event in events):
            self._redis.sadd(keys.ALERTED, camera)  # another slot than the camera's keys: first, so that none is missed
        pipe = self._redis.pipeline(transaction=True)
        pipe.set(keys.alerting(camera), json.dumps(state))
        for event in events:
            alert = event.alert
            pipe.hset(keys.alerts(camera), alert.id, codec.dump(alert))
            (pipe.sadd if alert.state == "open" else pipe.srem)(keys.open_alerts(camera), alert.id)
            pipe.zadd(keys.alerts_by_time(camera), {alert.id: alert.opened_at})
            pipe.xadd(keys.alert_log(camera), cast(Any, codec.event_fields(event)), maxlen=LOG_KEPT, approximate=False)
        pipe.execute()

    def drop_alerting(self, camera: str) -> None:
        """Forget the alerting cursor of a camera that is gone; its alerts stay."""
        self._redis.delete(keys.alerting(camera))

    def drop_old_alerts(self, camera: str) -> list[str]:
        """Remove the oldest alerts beyond the bound; returns their ids, so that their pictures can go too."""
        surplus = self._redis.zcard(keys.alerts_by_time(camera)) - self._alerts_kept
        if surplus <= 0:
            return []
        old = cast(list[bytes], self._redis.zrange(keys.alerts_by_time(camera), 0, surplus - 1))
        pipe = self._redis.pipeline(transaction=True)
        pipe.hdel(keys.alerts(camera), *old)
        pipe.zrem(keys.alerts_by_time(camera), *old)
        pipe.srem(keys.open_alerts(camera), *old)
        pipe.execute()
        return [alert.decode() for alert in old]

    def alert(self, camera: str, alert_id: str) -> Alert:
        """Raises NotFoundError."""
        text = cast(bytes | None, self._redis.hget(keys.alerts(camera), alert_id))
        if text is None:
            raise NotFoundError(f"there is no alert {alert_id!r}")
        return codec.load(Alert, text)

    def alerts(self, camera: str, *, before: tuple[float, str] | None, limit: int) -> list[Alert]:
        """The newest `limit` alerts of a camera before (opening time in s, id), newest first; ids settle a tie."""
        index = keys.alerts_by_time(camera)
        newest, ties = "+inf", 0
        if before is not None:
            newest, ties = repr(before[0]), self._redis.zcount(index, before[0], before[0])
        found = self._redis.zrevrangebyscore(index, newest, "-inf", start=0, num=limit + ties, withscores=True)
        rows = [(opened_at, alert.decode()) for alert, opened_at in cast(list[tuple[bytes, float]], found)]
        ids = [row[1] for row in rows if before is None or row < before]
        return self._load_alerts(camera, ids[:limit])

    def open_alerts(self, camera: str) -> list[Alert]:
        """The alerts of a camera that are open (one, as a rule), newest first."""
        ids = [alert.decode() for alert in cast(set[bytes], self._redis.smembers(keys.open_alerts(camera)))]
        return sorted(self._load_alerts(camera, ids), key=lambda alert: (alert.opened_at, alert.id), reverse=True)

    def _load_alerts(self, camera: str, ids: list[str]) -> list[Alert]:
        if not ids:
            return []
        texts = cast(list[bytes | None], self._redis.hmget(keys.alerts(camera), ids))
        return [codec.load(Alert, text) for text in texts if text]

    def alerted_cameras(self) -> list[str]:
        """Every camera that ever had an alert, removed ones too."""
        return sorted(name.decode() for name in cast(set[bytes], self._redis.smembers(keys.ALERTED)))

    def newest_event(self, camera: str) -> FrameId | None:
        """Where the alert log ends now: a listener starts behind it."""
        found = cast(list[tuple[bytes, Any]], self._redis.xrevrange(keys.alert_log(camera), count=1))
        return FrameId.parse(found[0][0].decode()) if found else None

    def events_after(
        self, after: Mapping[str, FrameId | None], count: int
    ) -> dict[str, list[tuple[FrameId, AlertEvent]]]:
        """Up to `count` alert events of each camera behind a log id (no frame's id, but of the same form)."""
        pipe = self._redis.pipeline(transaction=False)
        for camera, last in after.items():
            pipe.xrange(keys.alert_log(camera), min=f"({last}" if last else "-", count=count)
        answers = cast(list[list[tuple[bytes, dict[bytes, bytes]]]], pipe.execute())
        return {
            camera: [(FrameId.parse(entry.decode()), codec.read_event(row)) for entry, row in rows]
            for camera, rows in zip(after, answers, strict=True)
            if rows
        }
