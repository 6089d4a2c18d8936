"""Alerts to an MQTT broker, beside what is watched now, for Home Assistant and others.

An event is published with QoS 1 and its id: where a worker ends between the broker's answer and the
cursor, its successor publishes it again under the same id. What a broker keeps (state, summary,
availability, picture, discovery) is no event: it is what is so now, and is shown anew after each
connection.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lookout.service.alerting.sinks.apprise import best_picture
from lookout.service.alerting.sinks.broker import Broker
from lookout.service.alerting.sinks.home_assistant import (
    Messages,
    ShownCamera,
    Topics,
    camera_messages,
    gone_messages,
    watch_messages,
)
from lookout.service.alerting.sinks.payloads import payload
from lookout.service.core.addresses import IpNetwork
from lookout.service.core.errors import RefusedDeliveryError
from lookout.service.core.messages import Alert, AlertEvent
from lookout.service.core.sinks import SinkRecord, Told
from lookout.service.core.throttle import backoff_s
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from lookout.service.watch.watch_summary import WatchSummaries

log = logging.getLogger(__name__)

SHOW_EVERY_S = 1.0
SCORE_EVERY_S = 5.0
PICTURE_AGAIN_S = 5.0
"""The clean picture of an alert comes some seconds after its opening."""

PICTURES_AT_ONCE = 10
FIRST_WAIT_S = 1.0
MOST_WAIT_S = 30.0  # between two attempts to connect


class MqttSink:
    """Publishes each event, and keeps a broker's picture of the watch up to date.

    Raises RefusedDeliveryError where no attempt will help.
    """

    def __init__(
        self,
        record: SinkRecord,
        allowed: Sequence[IpNetwork],
        data_dir: Path,
        bus: Bus,
        store: Store,
    ) -> None:
        """allowed: networks that may be sent to beside public addresses; data_dir: of pictures."""
        self.name = record.id
        self._record = record
        self._allowed = allowed
        self._data_dir = data_dir
        self._bus = bus
        self._store = store
        self._topics = Topics(record.topic, record.discovery)
        self._summaries = WatchSummaries(bus, store)
        self._broker: Broker | None = None
        self._failures = 0  # to connect, in a row
        self._failure: Exception | None = None  # the last one
        self._due = 0.0  # monotonic s: of the next attempt, or the next look
        self._scores: dict[str, tuple[float, float | None]] = {}  # when it was shown, and which
        self._pictures: dict[str, tuple[float, Alert]] = {}  # when it is due, by camera
        self._shown: set[str] = set()  # cameras that the broker keeps something of

    @property
    def is_connected(self) -> bool:
        """Whether the broker can be sent to."""
        return self._broker is not None and self._broker.is_connected

    def deliver(self, event: AlertEvent) -> None:
        """Publish one event, behind its picture; raise any exception to have it tried again."""
        broker = self.connected()
        alert = event.alert
        self._due = 0.0
        self.show_picture(broker, alert)
        self._pictures[alert.camera] = (time.monotonic() + PICTURE_AGAIN_S, alert)
        topic = self._topics.of(alert.camera, "alert")
        broker.send(topic, json.dumps(payload(self._record, event), separators=(",", ":")))

    def tend(self, told: Mapping[tuple[str, str], Told]) -> None:
        """Connect where that is due, and show what is so now.

        told: the last alert that was sent, by camera and `Alert.series`. Raises as `deliver`, and
        one of UNAVAILABLE.
        """
        broker = self.connected()
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + SHOW_EVERY_S
        for topic, message in self.wanted(told, broker, now).items():
            if not broker.show(topic, message):
                return
        self._failures = 0
        due = [camera for camera, (at, _) in self._pictures.items() if at <= now]
        for camera in due[:PICTURES_AT_ONCE]:
            _, alert = self._pictures.pop(camera)
            self.show_picture(broker, alert)
        if broker.denied:
            log.warning("sink %s: the broker does not take %s", self.name, broker.denied)
            broker.denied = ""

    def leave(self) -> None:
        """End the connection: the broker keeps that Lookout is not there."""
        if self._broker is not None:
            self._broker.close(b"offline")
            self._broker = None

    def connected(self) -> Broker:
        """Return the connection, a new one where that is due.

        Raises the reason for which there is none.
        """
        if self._broker is not None and self._broker.is_connected:
            return self._broker
        if self._broker is not None:
            denied = self._broker.denied
            self._broker.close()
            self._broker = None
            self._due = 0.0
            if denied:  # some brokers end the connection then
                raise self.failed(ConnectionError(f"the broker does not take {denied}"))
        if self._failure is not None and time.monotonic() < self._due:
            raise self._failure
        if self._record.unreadable is not None:
            raise ConnectionError(f"its address cannot be read: {self._record.unreadable}")
        broker = Broker(self._record, self._allowed)
        try:
            broker.connect()
        except ImportError:
            reason = "`pip install 'lookout[mqtt]'` is needed for it"
            raise self.failed(ConnectionError(reason)) from None
        except (ConnectionError, RefusedDeliveryError) as error:
            raise self.failed(error) from None
        self.begin(broker)
        return broker

    def failed(self, error: Exception) -> Exception:
        """Return an error, for which the next attempt to connect waits."""
        self._failure = error
        self._failures += 1
        wait_s = backoff_s(FIRST_WAIT_S, MOST_WAIT_S, self._failures)
        self._due = time.monotonic() + wait_s
        return error

    def begin(self, broker: Broker) -> None:
        """Use a new connection: all is shown anew, and who is gone is asked for."""
        self._broker = broker
        self._failure = None
        self._due = 0.0
        self._scores.clear()
        broker.watch_retained(self._topics.of("+", "state"))
        for camera in self._store.alerted_cameras():
            if self._record.cameras is None or camera in self._record.cameras:
                for alert in self._store.alerts(camera, before=None, limit=1):
                    self._pictures.setdefault(camera, (0.0, alert))

    def wanted(self, told: Mapping[tuple[str, str], Told], broker: Broker, now: float) -> Messages:
        """Return what the broker should keep at `now` (monotonic s)."""
        scope = self._record.cameras
        cameras = [name for name in self._store.cameras() if scope is None or name in scope]
        summary = self._summaries.now().within(scope)
        messages = watch_messages(self._topics, summary.text, summary.level)
        watched = {*summary.cameras.get("watched", ()), *summary.cameras.get("lagging", ())}
        for name, seen in self._bus.overview(cameras).items():
            score = None
            if seen.inference is not None:
                score = seen.inference.score
            at, shown = self._scores.get(name, (0.0, None))
            if now - at >= SCORE_EVERY_S or (score is None) != (shown is None):
                self._scores[name] = (now, score)
            alert = None
            if summary.alerts_of.get(name):
                alert = self.told_alert(name, told)
            state = ShownCamera(name, name in watched, alert, self._scores[name][1])
            messages |= camera_messages(self._topics, state)
        self._shown |= {self._topics.camera_of(topic) for topic in broker.retained.copy()}
        for name in self._shown.difference(cameras):
            messages |= gone_messages(self._topics, name)
        self._shown.update(cameras)
        return messages

    def told_alert(self, camera: str, told: Mapping[tuple[str, str], Told]) -> str | None:
        """Return the open anomaly of a camera that the sink was told; None where there is none."""
        for alert in self._store.open_alerts(camera):
            last = told.get((camera, alert.series))
            if alert.kind == "anomaly" and last is not None and last.id == alert.id:
                return alert.id
        return None

    def show_picture(self, broker: Broker, alert: Alert) -> None:
        """Have the broker keep the picture of an alert, where there is one."""
        path = best_picture(self._data_dir, alert)
        if path is not None:
            with contextlib.suppress(OSError):  # it was removed meanwhile
                broker.show(self._topics.of(alert.camera, "picture"), path.read_bytes())
