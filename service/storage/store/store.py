"""The store: cameras, sessions, snapshots and alerts, in a Redis that writes to disk before it answers.

A record that cannot be read is told once and left out of every list, so that it does not stop the others.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis

from lookout.service.core import urls
from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError, ConflictError, NotFoundError
from lookout.service.core.messages import Alert, AlertEvent, FrameId
from lookout.service.storage.redis import codec, keys
from lookout.service.storage.store.camera_events import CameraEventLog

log = logging.getLogger(__name__)

LOG_KEPT = 1000  # alert events a camera's log holds for its listeners

# KEYS: session. ARGV: now in ms, revision, which of the source's frames is the session's first, when the source's time
# began (s). Never smaller than before, whatever the clock does.
_BEGIN_SESSION = """
local last = tonumber(redis.call('HGET', KEYS[1], 'last') or '0')
local session = string.format('%.0f', math.max(tonumber(ARGV[1]), last + 1))
redis.call('HSET', KEYS[1], 'last', session, 'revision', ARGV[2], 'first', ARGV[3], 'began', ARGV[4])
redis.call('HDEL', KEYS[1], 'ended')
return session
"""

# KEYS: session. ARGV: the session that ended, its number of frames. Of another one since, nothing is said.
_END_SESSION = """
if redis.call('HGET', KEYS[1], 'last') == ARGV[1] then redis.call('HSET', KEYS[1], 'ended', ARGV[2]) end
return 1
"""

# KEYS: snapshot. ARGV: epoch, cursor, the snapshot. Answers 1; 0 where somebody owned the camera since, or where the
# stored snapshot is further on.
_SAVE_SNAPSHOT = """
local epoch, cursor = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'cursor'))
if tonumber(ARGV[1]) < tonumber(epoch or '0') then return 0 end
local s1, q1 = string.match(cursor or '0-0', '(%d+)-(%d+)')
local s2, q2 = string.match(ARGV[2], '(%d+)-(%d+)')
s1, q1, s2, q2 = tonumber(s1), tonumber(q1), tonumber(s2), tonumber(q2)
if s2 < s1 or (s2 == s1 and q2 < q1) then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'cursor', ARGV[2], 'state', ARGV[3])
return 1
"""

# KEYS: cameras. ARGV: id, camera, and of the camera it replaces: revision, alert settings.
# Returns 1, or 0 where the stored camera is another.
_REPLACE = """
local now = redis.call('HGET', KEYS[1], ARGV[1])
if not now then return 0 end
local stored, expected = cjson.decode(now), cjson.decode(ARGV[4])
if stored['revision'] ~= tonumber(ARGV[3]) then return 0 end
for name, value in pairs(expected) do
    local found = (stored['alert'] or {})[name]
    if found == nil then found = cjson.null end
    if found ~= value then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""

# KEYS: the alerting state, alerts, open alerts, alerts by time, the log, how many were opened. ARGV: state, how long
# the log may be, then of each event: the alert's id, state and opening time, and its line in the log ('event', its
# name, 'alert', the text). Sent twice, after an answer that was lost, or told again by a replay, it changes nothing: an
# alert is new once, its end is the last of it, and an update is none where it stands among the newest lines of the log.
_SAVE_ALERTING = """
local function told(event, text)
    for _, line in ipairs(redis.call('XREVRANGE', KEYS[5], '+', '-', 'COUNT', 16)) do
        if line[2][2] == event and line[2][4] == text then return true end
    end
    return false
end
local function over(event, id)
    if redis.call('HEXISTS', KEYS[2], id) == 0 then return false end
    return event == 'new' or redis.call('SISMEMBER', KEYS[3], id) == 0
end
redis.call('SET', KEYS[1], ARGV[1])
for at = 3, #ARGV, 7 do
    local id, state, opened_at, _, event, _, text = unpack(ARGV, at, at + 6)
    if not over(event, id) and not told(event, text) then
        redis.call('HSET', KEYS[2], id, text)
        redis.call(state == 'open' and 'SADD' or 'SREM', KEYS[3], id)
        redis.call('ZADD', KEYS[4], opened_at, id)
        redis.call('XADD', KEYS[5], 'MAXLEN', ARGV[2], '*', unpack(ARGV, at + 3, at + 6))
        if event == 'new' then redis.call('INCR', KEYS[6]) end
    end
end
return 1
"""


@dataclass(frozen=True, slots=True)
class Session:
    """The last session of a camera. A file that has not been read to its end goes on with it."""

    number: int
    revision: int  # of the camera
    first: int = 0  # which of the file's kept frames is its frame 0
    began: float = 0.0  # when the file's own time was 0, in UTC seconds
    frames: int | None = None  # how many it had at the file's end; None while that is not reached


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a camera had learned when all frames up to `cursor` were dealt with."""

    cursor: FrameId
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AlertingOverview:
    """Where alerting stands with one camera."""

    open: int
    opened: int  # ever
    cursor: FrameId | None  # the last score that it has dealt with and said so


class Store(CameraEventLog):
    """Typed access to the store. Every method may raise one of bus.UNAVAILABLE."""

    def __init__(self, client: redis.Redis, *, alerts_kept: int = 10_000) -> None:
        super().__init__(client)
        self._alerts_kept = alerts_kept
        self._told: set[str] = set()  # what cannot be read, and was said so

    @property
    def address(self) -> str:
        """Where its server is, for a person."""
        return urls.of_server(self._redis.connection_pool.connection_kwargs)

    def ping(self) -> None:
        self._redis.ping()

    # Cameras

    def cameras(self) -> dict[str, Camera]:
        """Every camera by its id."""
        found = cast(dict[bytes, bytes], self._redis.hgetall(keys.CAMERAS))
        cameras = {}
        for key, text in sorted(found.items()):
            try:
                cameras[key.decode()] = codec.read_camera(text)
            except BrokenMessageError as error:
                self._tell(f"camera {key.decode()!r}", error)
        return cameras

    def camera(self, camera: str) -> Camera:
        """Raises NotFoundError."""
        text = cast(bytes | None, self._redis.hget(keys.CAMERAS, camera))
        if text is None:
            raise NotFoundError(f"there is no camera {camera!r}")
        return codec.read_camera(text)

    def add_camera(self, camera: Camera) -> None:
        """Raises ConflictError where the id is taken."""
        if not self._redis.hsetnx(keys.CAMERAS, camera.id, camera.model_dump_json()):
            raise ConflictError(f"there is a camera {camera.id!r} already")
        self._redis.delete(
            keys.events(camera.id)
        )  # a late one of a removed camera of the same name

    def replace_camera(self, camera: Camera, before: Camera) -> None:
        """Write a camera in the place of `before`.

        Raises ConflictError where the stored revision or alert settings are not those of `before`.
        """
        expected = (str(before.revision), before.alert.model_dump_json())
        args = (camera.id, camera.model_dump_json(), *expected)
        if not self._redis.eval(_REPLACE, 1, keys.CAMERAS, *args):
            raise ConflictError(f"camera {camera.id!r} was changed or removed meanwhile; try again")

    def remove_camera(self, camera: str) -> None:
        """Forget the camera, its events and what it learned; its alerts stay. Raises NotFoundError."""
        if not self._redis.hdel(keys.CAMERAS, camera):
            raise NotFoundError(f"there is no camera {camera!r}")
        self.forget_snapshot(camera)
        self._redis.delete(keys.alerting(camera), keys.events(camera))

    # Sessions

    def begin_session(
        self, camera: str, now_s: float, revision: int, first: int = 0, began: float = 0.0
    ) -> int:
        """A session number greater than any before: the time in ms, or the last plus one. See Session for the rest."""
        words = (str(int(now_s * 1000)), str(revision), str(first), repr(began))
        return int(cast(bytes, self._redis.eval(_BEGIN_SESSION, 1, keys.session(camera), *words)))

    def end_session(self, camera: str, session: int, frames: int) -> None:
        """The file was read to its end: nobody plays it again until its camera is changed."""
        self._redis.eval(_END_SESSION, 1, keys.session(camera), str(session), str(frames))

    def session(self, camera: str) -> Session | None:
        found = cast(dict[bytes, bytes], self._redis.hgetall(keys.session(camera)))
        if b"last" not in found:
            return None
        return Session(
            int(found[b"last"]),
            int(found[b"revision"]),
            int(found[b"first"]),
            float(found[b"began"]),
            int(found[b"ended"]) if b"ended" in found else None,
        )

    # What a camera has learned, and who may say so

    def take_over(self, camera: str) -> tuple[int, Snapshot | None]:
        """A new epoch of ownership, and what the former owners left. From now on their snapshots are refused."""
        epoch = self._redis.hincrby(keys.snapshot(camera), "epoch", 1)
        return epoch, self.snapshot(camera)

    def save_snapshot(self, camera: str, epoch: int, snapshot: Snapshot) -> bool:
        """False where somebody else owned the camera since `epoch`, or a later frame is saved already."""
        words = (
            str(epoch),
            str(snapshot.cursor),
            json.dumps(snapshot.state, separators=(",", ":")),
        )
        return bool(self._redis.eval(_SAVE_SNAPSHOT, 1, keys.snapshot(camera), *words))

    def snapshot(self, camera: str) -> Snapshot | None:
        """None where there is none, or none that can be read: the camera then starts from its trained memory."""
        cursor, state = cast(
            list[bytes | None], self._redis.hmget(keys.snapshot(camera), ["cursor", "state"])
        )
        if cursor is None or state is None:
            return None
        try:
            return Snapshot(FrameId.parse(cursor.decode()), json.loads(state))
        except ValueError as error:
            reason = "cannot be read and is left out"
            log.warning(
                "the snapshot of camera %s %s: %s", camera, reason, error, extra={"camera": camera}
            )
            return None

    def forget_snapshot(self, camera: str) -> None:
        """What was learned is of no use any more; whoever owns the camera now cannot save it again."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.hincrby(keys.snapshot(camera), "epoch", 1)
        pipe.hdel(keys.snapshot(camera), "state", "cursor")
        pipe.execute()

    # Alerts

    def alerting_state(self, camera: str) -> dict[str, Any] | None:
        """What alerting wrote with its last step: its cursor and the rule's state."""
        text = cast(bytes | None, self._redis.get(keys.alerting(camera)))
        return json.loads(text) if text else None

    def save_alerting(
        self, camera: str, state: Mapping[str, Any], events: list[AlertEvent]
    ) -> None:
        """Alerts, their log and the alerting cursor in one step: all of it or nothing, and a repetition is none."""
        if any(event.event == "new" for event in events):
            self._redis.sadd(
                keys.ALERTED, camera
            )  # another slot than the camera's keys: first, so that none is missed
        kinds = (
            keys.alerting,
            keys.alerts,
            keys.open_alerts,
            keys.alerts_by_time,
            keys.alert_log,
            keys.alerts_opened,
        )
        names = [key(camera) for key in kinds]
        told = [part for event in events for part in _event_args(event)]
        self._redis.eval(
            _SAVE_ALERTING, len(names), *names, json.dumps(state), str(LOG_KEPT), *told
        )

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
        found: list[Alert] = []
        while len(found) < limit and (rows := self._places(camera, before, limit)):
            found += self._load_alerts(camera, [alert for _, alert in rows])
            before = rows[-1]
        return found[:limit]

    def _places(
        self, camera: str, before: tuple[float, str] | None, limit: int
    ) -> list[tuple[float, str]]:
        index = keys.alerts_by_time(camera)
        newest, ties = "+inf", 0
        if before is not None:
            newest, ties = repr(before[0]), self._redis.zcount(index, before[0], before[0])
        found = self._redis.zrevrangebyscore(
            index, newest, "-inf", start=0, num=limit + ties, withscores=True
        )
        rows = [
            (opened_at, alert.decode())
            for alert, opened_at in cast(list[tuple[bytes, float]], found)
        ]
        return [row for row in rows if before is None or row < before][:limit]

    def open_alerts(self, camera: str) -> list[Alert]:
        """The alerts of a camera that are open (one, as a rule), newest first."""
        ids = [
            alert.decode()
            for alert in cast(set[bytes], self._redis.smembers(keys.open_alerts(camera)))
        ]
        return sorted(
            self._load_alerts(camera, ids),
            key=lambda alert: (alert.opened_at, alert.id),
            reverse=True,
        )

    def _load_alerts(self, camera: str, ids: list[str]) -> list[Alert]:
        if not ids:
            return []
        texts = cast(list[bytes | None], self._redis.hmget(keys.alerts(camera), ids))
        found = []
        for alert, text in zip(ids, texts, strict=True):
            try:
                found += [codec.load(Alert, text)] if text else []
            except BrokenMessageError as error:
                self._tell(f"alert {alert!r}", error)
        return found

    def alerting_overview(self, cameras: Iterable[str]) -> dict[str, AlertingOverview]:
        """Of many cameras in one round trip; a state that cannot be read has no cursor."""
        names = list(cameras)
        pipe = self._redis.pipeline(transaction=False)
        for camera in names:
            pipe.scard(keys.open_alerts(camera))
            pipe.get(keys.alerts_opened(camera))
            pipe.get(keys.alerting(camera))
        answers = pipe.execute()
        return {
            camera: _alerting_overview(*answers[3 * i : 3 * i + 3])
            for i, camera in enumerate(names)
        }

    def alerted_cameras(self) -> list[str]:
        """Every camera that ever had an alert, removed ones too."""
        return sorted(
            name.decode() for name in cast(set[bytes], self._redis.smembers(keys.ALERTED))
        )

    def newest_event(self, camera: str) -> FrameId | None:
        """Where the alert log ends now: a listener starts behind it."""
        found = cast(
            list[tuple[bytes, Any]], self._redis.xrevrange(keys.alert_log(camera), count=1)
        )
        return FrameId.parse(found[0][0].decode()) if found else None

    def events_after(
        self, after: Mapping[str, FrameId | None], count: int
    ) -> dict[str, list[tuple[FrameId, AlertEvent]]]:
        """Up to `count` alert events of each camera behind a log id (no frame's id, but of the same form).

        One that cannot be read is removed from the log, so that no listener meets it again.
        """
        pipe = self._redis.pipeline(transaction=False)
        for camera, last in after.items():
            pipe.xrange(keys.alert_log(camera), min=f"({last}" if last else "-", count=count)
        answers = cast(list[list[tuple[bytes, dict[bytes, bytes]]]], pipe.execute())
        found = {
            camera: self._readable(camera, rows)
            for camera, rows in zip(after, answers, strict=True)
        }
        return {camera: events for camera, events in found.items() if events}

    def _readable(
        self, camera: str, rows: Iterable[tuple[bytes, dict[bytes, bytes]]]
    ) -> list[tuple[FrameId, AlertEvent]]:
        events = []
        for entry, row in rows:
            try:
                events.append((FrameId.parse(entry.decode()), codec.read_event(row)))
            except BrokenMessageError as error:
                self._tell(f"event {entry.decode()} of {camera!r}", error)
                self._redis.xdel(keys.alert_log(camera), entry)
        return events

    def _tell(self, what: str, error: BrokenMessageError) -> None:
        """Once, since lists are asked for again and again."""
        if what not in self._told:
            self._told.add(what)
            log.warning("%s is left out: %s", what, error)


def _event_args(event: AlertEvent) -> list[str | bytes]:
    alert = event.alert
    return [alert.id, alert.state, repr(alert.opened_at), *codec.flat(codec.event_fields(event))]


def _alerting_overview(
    open_now: int, opened: bytes | None, state: bytes | None
) -> AlertingOverview:
    try:
        cursor = json.loads(state)["cursor"] if state else None
        at = FrameId.parse(cursor) if cursor else None
    except (ValueError, TypeError, KeyError, AttributeError):
        at = None
    return AlertingOverview(open_now, int(opened or 0), at)
