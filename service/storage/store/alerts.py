"""Alerts, the log of their events, and the state from which alerting continues."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis

from lookout.models.scoring.budget_report import BudgetReport
from lookout.service.core.errors import BrokenMessageError, NotFoundError
from lookout.service.core.messages import Alert, AlertEvent, FrameId
from lookout.service.core.sinks import Told
from lookout.service.storage.redis import codec, keys, scripts
from lookout.service.storage.redis.cluster import get_many
from lookout.service.storage.redis.streams import MessageStream
from lookout.service.storage.store.alert_evidence import RegionRecord
from lookout.service.storage.store.mending import SettingAside

log = logging.getLogger(__name__)

LOG_KEPT = 1000  # alert events that a camera's log holds for its listeners

DROPPED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class AlertingOverview:
    """The progress of alerting with one camera."""

    open: int  # suppressed ones not among them
    opened: int  # ever
    cursor: FrameId | None  # the last score that it has handled and saved
    budget: BudgetReport | None  # of a camera with an alarm budget, at that score


@dataclass(frozen=True, slots=True)
class AlertingCursor:
    """The part of an alerting state that says how far it is."""

    cursor: str | None = None
    suppressed: int = 0  # open alerts that are suppressed


class Alerts(SettingAside):
    """The alerts of every camera. An alert that cannot be read is logged once and left out."""

    def __init__(self, client: redis.Redis, *, alerts_kept: int) -> None:
        super().__init__(client)
        self._alerts_kept = alerts_kept
        self._alert_log = MessageStream(client, keys.alert_log, codec.read_alert_event, log_broken)

    # Written by alerting

    def alerting_state(self, camera: str) -> dict[str, Any] | None:
        """Return what alerting saved with its last step: its cursor and the policy's state.

        Raises BrokenMessageError.
        """
        text = cast(bytes | None, self._redis.get(keys.alerting(camera)))
        return codec.load(dict, text) if text else None

    def begin_alerting(self, camera: str) -> int:
        """Begin a new epoch of ownership and return it: former owners' writes are refused."""
        return self._redis.incr(keys.alerting_epoch(camera))

    def alerting_epoch(self, camera: str) -> int:
        """Return the epoch of ownership at alerting; 0 before the first owner."""
        return codec.count(cast(bytes | None, self._redis.get(keys.alerting_epoch(camera))))

    def save_alerting(
        self,
        camera: str,
        epoch: int,
        state: Mapping[str, Any],
        events: list[AlertEvent],
        regions: Mapping[str, RegionRecord] | None = None,
    ) -> bool:
        """Save alerts, their log and the alerting state in one step. A repetition is ignored.

        regions: by alert; those of other alerts stay as they are.
        Returns False, and saves nothing, where a later epoch has begun.
        """
        if any(event.event == "new" for event in events):
            # Another slot of a Cluster than the camera's keys: first, so that none is missed.
            self._redis.sadd(keys.ALERTED, camera)
        of_camera = (
            keys.alerting,
            keys.alerts,
            keys.open_alerts,
            keys.alerts_by_time,
            keys.alert_log,
            keys.alerts_opened,
            keys.alerting_epoch,
            keys.alert_regions,
        )
        words: list[str | bytes] = [json.dumps(state), str(LOG_KEPT), str(epoch)]
        for event in events:
            alert = event.alert
            record = (regions or {}).get(alert.id)
            words += [alert.id, alert.state, repr(alert.opened_at)]
            words.append(b"" if record is None else codec.dump(record))
            words += codec.flat(codec.alert_event_fields(event))
        names = [key(camera) for key in of_camera]
        return bool(self._redis.eval(scripts.SAVE_ALERTING, len(names), *names, *words))

    def forget_alerting(self, camera: str) -> None:
        """Drop the alerting state of a camera that is gone; its alerts stay."""
        self._redis.delete(keys.alerting(camera))

    def drop_old_alerts(self, camera: str) -> list[str]:
        """Remove the oldest alerts beyond the bound, and return their ids; kept ones stay."""
        kept = cast(set[bytes], self._redis.smembers(keys.kept_alerts(camera)))
        surplus = self._redis.zcard(keys.alerts_by_time(camera)) - len(kept) - self._alerts_kept
        if surplus <= 0:
            return []
        last = surplus + len(kept) - 1
        old = cast(list[bytes], self._redis.zrange(keys.alerts_by_time(camera), 0, last))
        return self._drop_alerts(camera, [alert for alert in old if alert not in kept][:surplus])

    def drop_expired_alerts(self, camera: str, before_s: float) -> list[str]:
        """Remove closed alerts opened before a time (s, UTC), but kept ones; return their ids."""
        index = keys.alerts_by_time(camera)
        old = cast(list[bytes], self._redis.zrangebyscore(index, "-inf", f"({before_s!r}"))
        if not old:
            return []
        staying = cast(set[bytes], self._redis.smembers(keys.open_alerts(camera)))
        staying |= cast(set[bytes], self._redis.smembers(keys.kept_alerts(camera)))
        return self._drop_alerts(camera, [alert for alert in old if alert not in staying])

    def _drop_alerts(self, camera: str, ids: list[bytes]) -> list[str]:
        of_camera = (
            keys.alerts,
            keys.alerts_by_time,
            keys.open_alerts,
            keys.alert_answers,
            keys.kept_alerts,
            keys.alert_clips,
            keys.alert_regions,
        )
        names = [key(camera) for key in of_camera]
        dropped: list[bytes] = []
        for first in range(0, len(ids), DROPPED_AT_ONCE):
            words = ids[first : first + DROPPED_AT_ONCE]
            dropped += cast(
                list[bytes], self._redis.eval(scripts.DROP_ALERTS, len(names), *names, *words)
            )
        return [alert_id.decode(errors="replace") for alert_id in dropped]

    def forget_alerts_of_removed(self, camera: str) -> None:
        """Drop what is left of a removed camera that has no alert any more."""
        if self._redis.hexists(keys.CAMERAS, camera):
            return
        if self._redis.zcard(keys.alerts_by_time(camera)):
            return
        of_alerts = (keys.alert_clips, keys.alert_regions, keys.suppressions)
        of_camera = (keys.alert_log, keys.alerts_opened, *of_alerts)
        self._redis.delete(*(key(camera) for key in of_camera))
        self._redis.srem(keys.ALERTED, camera)

    # How far the sinks of alerting are with the log

    def begin_delivery(self, sink: str) -> dict[str, FrameId]:
        """Return the id up to which each camera's log is delivered to a sink.

        For a sink that is new, that is the end of every log.
        """
        key = keys.deliveries(sink)
        if self._redis.hsetnx(key, keys.DELIVERIES_BEGUN, "1"):
            ends = self._alert_log.newest_ids(self.alerted_cameras())
            if ends:
                self._redis.hset(key, mapping={name: str(end) for name, end in ends.items()})
        rows = cast(dict[bytes, bytes], self._redis.hgetall(key))
        rows.pop(keys.DELIVERIES_BEGUN.encode(), None)
        cursors = {}
        for field, end in rows.items():
            camera = field.decode(errors="replace")
            if " " in camera:  # see `told`
                continue
            try:
                cursors[camera] = FrameId.parse(end.decode())
            except ValueError as error:
                self.mark(camera, f"what {sink} was sent is unknown, all is sent again: {error}")
        return cursors

    def told(self, sink: str) -> dict[tuple[str, str], Told]:
        """Return the last alert that was sent to a sink, by camera and `Alert.series`."""
        rows = cast(dict[bytes, bytes], self._redis.hgetall(keys.deliveries(sink)))
        found = {}
        for field, text in rows.items():
            camera, _, kind = field.decode(errors="replace").partition(" ")
            if kind:
                with contextlib.suppress(BrokenMessageError):  # then an alert may be sent twice
                    found[camera, kind] = codec.load(Told, text)
        return found

    def save_delivery(
        self, sink: str, camera: str, delivered: FrameId, told: tuple[str, Told] | None = None
    ) -> None:
        """Record that the events of a camera up to an id of its log are delivered to a sink.

        told: the series of an alert that was sent first with them, and the alert.
        """
        fields: dict[Any, Any] = {camera: str(delivered)}
        if told is not None:
            fields[f"{camera} {told[0]}"] = codec.dump(told[1])
        self._redis.hset(keys.deliveries(sink), mapping=fields)

    # Read by everybody

    def alert(self, camera: str, alert_id: str) -> Alert:
        """Return one alert. Raises NotFoundError, BrokenMessageError."""
        text = cast(bytes | None, self._redis.hget(keys.alerts(camera), alert_id))
        if text is None:
            raise NotFoundError(f"there is no alert {alert_id!r}", code="no_alert")
        return codec.read_alert(camera, alert_id, text)

    def alerts(self, camera: str, *, before: tuple[float, str] | None, limit: int) -> list[Alert]:
        """Return the newest `limit` alerts before a place, newest first.

        before: (opening time in s, id); ids settle a tie. None: from the newest alert.
        """
        alerts: list[Alert] = []
        while len(alerts) < limit and (places := self._places(camera, before, limit)):
            alerts += self._load_alerts(camera, [alert_id for _, alert_id in places])
            before = places[-1]
        return alerts[:limit]

    def _places(
        self, camera: str, before: tuple[float, str] | None, limit: int
    ) -> list[tuple[float, str]]:
        """Return (opening time in s, id) of the newest `limit` alerts before a place."""
        index = keys.alerts_by_time(camera)
        newest = "+inf"
        ties = 0
        if before is not None:
            newest = repr(before[0])
            ties = self._redis.zcount(index, before[0], before[0])
        rows = cast(
            list[tuple[bytes, float]],
            self._redis.zrevrangebyscore(
                index, newest, "-inf", start=0, num=limit + ties, withscores=True
            ),
        )
        places = [(opened_at, alert_id.decode(errors="replace")) for alert_id, opened_at in rows]
        return [place for place in places if before is None or place < before][:limit]

    def open_alerts(self, camera: str) -> list[Alert]:
        """Return the open alerts of a camera (one, as a rule), newest first."""
        ids = cast(set[bytes], self._redis.smembers(keys.open_alerts(camera)))
        alerts = self._load_alerts(camera, [alert_id.decode(errors="replace") for alert_id in ids])
        return sorted(alerts, key=lambda alert: (alert.opened_at, alert.id), reverse=True)

    def _load_alerts(self, camera: str, ids: list[str]) -> list[Alert]:
        if not ids:
            return []
        texts = cast(list[bytes | None], self._redis.hmget(keys.alerts(camera), ids))
        alerts = []
        for alert_id, text in zip(ids, texts, strict=True):
            try:
                if text:
                    alerts.append(codec.read_alert(camera, alert_id, text))
            except BrokenMessageError as error:
                self.mark(camera, f"alert {alert_id!r} is left out: {error}")
        return alerts

    def alerting_overview(self, cameras: Iterable[str]) -> dict[str, AlertingOverview]:
        """Return the overview of many cameras in two round trips.

        A state that cannot be read has no cursor.
        """
        names = list(cameras)
        kinds = (keys.alerts_opened, keys.alerting)
        texts = get_many(self._redis, [key(camera) for key in kinds for camera in names])
        ever = dict(zip(names, map(codec.count, texts[: len(names)]), strict=True))
        alerted = [camera for camera, count in ever.items() if count]
        pipe = self._redis.pipeline(transaction=False)
        for camera in alerted:
            pipe.scard(keys.open_alerts(camera))
        opened = dict(zip(alerted, pipe.execute(), strict=True))
        return {
            camera: overview_of(opened.get(camera, 0), ever[camera], state)
            for camera, state in zip(names, texts[len(names) :], strict=True)
        }

    def alerted_cameras(self) -> list[str]:
        """Return every camera that has alerts or had any, removed ones too."""
        names = cast(set[bytes], self._redis.smembers(keys.ALERTED))
        return sorted(name.decode(errors="replace") for name in names)

    def newest_alert_event_id(self, camera: str) -> FrameId | None:
        """Return the id at which the alert log ends now: a listener starts behind it."""
        return self._alert_log.newest_id(camera)

    def alert_events_after(
        self, after: Mapping[str, FrameId | None], count: int
    ) -> dict[str, list[tuple[FrameId, AlertEvent]]]:
        """Return up to `count` alert events of each camera behind an id of its log.

        The id has the form of a frame's, and names no frame. An event that cannot be read is
        removed from the log, so that no listener meets it again.
        """
        return self._alert_log.after(after, count)


def overview_of(opened: int, ever: int, state: bytes | None) -> AlertingOverview:
    """Return a camera's overview; no cursor where its alerting state has none that can be read.

    opened: alerts that are open, suppressed ones too.
    """
    cursor = None
    suppressed = 0
    try:
        if state:
            place = codec.load(AlertingCursor, state)
            suppressed = place.suppressed
            cursor = FrameId.parse(place.cursor) if place.cursor else None
    except (BrokenMessageError, ValueError):
        cursor = None
    return AlertingOverview(max(0, opened - suppressed), ever, cursor, budget_report(state))


def budget_report(state: bytes | None) -> BudgetReport | None:
    """Return the alarm budget in an alerting state; None where it has none that can be read."""
    if state is None or b'"budget"' not in state:  # most cameras have none: parse nothing
        return None
    try:
        return BudgetReport.of_state(codec.load(dict, state)["budget"]["state"])
    except (BrokenMessageError, ValueError, KeyError, TypeError, OverflowError):
        return None


def log_broken(camera: str, entry: FrameId, error: BrokenMessageError) -> None:
    """Log an event that is left out."""
    log.warning("event %s of %r is left out: %s", entry, camera, error)
