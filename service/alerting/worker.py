"""The alerting stage: follows the scores of all cameras, opens and closes alerts, keeps their pictures."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.service.alerting.camera_policy import CameraAlerts, policy_of
from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import Alert, AlertEvent, FrameId, Heat, Score
from lookout.service.core.settings import Settings
from lookout.service.core.stages import ALERTING
from lookout.service.core.throttle import OutageLog
from lookout.service.ownership.assignment import new_worker_name
from lookout.service.storage import pictures
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.bus.outcomes import ScoreFollower
from lookout.service.storage.connections import open_bus, open_store, wait_until_up
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

IDLE_S = 0.05
AWAY_S = 0.5  # until the next attempt: a server that answers a ping may still refuse what we write
LOOK_AROUND_S = 1.0  # how often cameras are looked up, quiet ones noticed, and cursors saved
READ_OUT = 500  # scores in one go
HEAT_PATIENCE_S = 0.2  # a heatmap is written right behind its score


def run(settings: Settings, stop: threading.Event) -> None:
    """Work until `stop` is set; a Redis that is away is waited for."""
    bus, store = open_bus(settings), open_store(settings)
    alerting = Alerting(settings, bus, store)
    outage = OutageLog()
    _say_where_pictures_cannot_be_kept(settings)
    if wait_until_up(bus, store, stop):
        log.info("alerting is up")
    while not stop.is_set():
        try:
            busy = alerting.turn()
        except UNAVAILABLE as error:
            if outage.failed():
                log.warning("Redis is away or refuses, waiting: %s", error)
            alerting.start_over()
            stop.wait(AWAY_S)
            wait_until_up(bus, store, stop)
        else:
            if outage.worked():
                log.info("Redis is back")
            stop.wait(0 if busy else IDLE_S)
    alerting.save_all()


@dataclass
class _Watched:
    """One camera as alerting follows it."""

    alerts: CameraAlerts
    policy: AlertPolicy
    heard_at: float = field(default_factory=time.monotonic)
    saved: FrameId | None = None  # the cursor in the store


def _say_where_pictures_cannot_be_kept(settings: Settings) -> None:
    """Once, at the start, before an alert needs it. Alerts open all the same."""
    try:
        pictures.check_room(settings.data_dir)
    except OSError as error:
        log.error(
            "alerts open without pictures: nothing can be written to %s: %s",
            settings.data_dir,
            error.strerror,
        )


class Alerting:
    """One turn is one look at the bus. What a turn has not saved, the next process does again, with the same result."""

    def __init__(self, settings: Settings, bus: Bus, store: Store) -> None:
        self._settings = settings
        self._data_dir = settings.data_dir
        self._bus = bus
        self._store = store
        self._name = new_worker_name()
        self.start_over()

    def start_over(self) -> None:
        """Forget everything that is not in the store, and take it from there again."""
        self._follower = ScoreFollower(self._bus)
        self._watched: dict[str, _Watched] = {}
        self._looked_at = float("-inf")
        self._first_look = True

    def turn(self) -> bool:
        """Handle what is new; True where there was something. Raises one of UNAVAILABLE."""
        if time.monotonic() - self._looked_at >= LOOK_AROUND_S:
            self._looked_at = time.monotonic()
            self._look_around()
        found = self._follower.poll()
        for camera, scores in found.items():
            self._take(camera, scores)
        return bool(found)

    def save_all(self) -> None:
        """Save every cursor that moved; a Redis that is away costs only a replay."""
        try:
            for camera in self._watched:
                self._save_cursor(camera)
        except UNAVAILABLE as error:
            log.warning("the last cursors were not saved: %s", error)

    # Cameras come, go and fall silent

    def _look_around(self) -> None:
        self._bus.heartbeat(ALERTING.name, self._name)
        cameras = self._store.cameras()
        wanted = {camera.id for camera in cameras.values() if camera.enabled}
        for camera in (cameras.keys() if self._first_look else wanted) - self._watched.keys():
            self._begin(camera, policy_of(cameras[camera].alert, self._settings))
        for camera in self._watched.keys() & cameras.keys():  # an open alert continues under it
            self._watched[camera].policy = policy_of(cameras[camera].alert, self._settings)
        for camera in self._watched.keys() - wanted:
            self._end(camera, removed=camera not in cameras)
        if self._first_look:
            self._close_left_open(cameras)
            self._first_look = False
        for camera, watched in self._watched.items():
            if time.monotonic() - watched.heard_at >= self._settings.alert_quiet_after_s:
                self._close_quiet(camera)
            self._save_cursor(camera)

    def _begin(self, camera: str, policy: AlertPolicy) -> None:
        cursor, alerts = self._stored(camera)
        self._end_open(camera, cursor, alerts)
        self._watched[camera] = _Watched(alerts, policy, saved=cursor)
        self._follower.cursors[camera] = cursor

    def _stored(self, camera: str) -> tuple[FrameId | None, CameraAlerts]:
        try:
            state = self._store.alerting_state(camera) or {}
            cursor = state.get("cursor")
            return FrameId.parse(cursor) if cursor else None, CameraAlerts.from_json(
                state.get("rule") or {}
            )
        except (ValueError, TypeError, AttributeError) as error:
            reason = "cannot be read, starting anew"
            log.warning(
                "the alerting state of %s %s: %s", camera, reason, error, extra={"camera": camera}
            )
            return None, CameraAlerts()

    def _end(self, camera: str, *, removed: bool) -> None:
        """The camera was removed or disabled; what was scored before and not read yet counts all the same."""
        self._read_out(camera)
        self._close_quiet(camera)
        self._save_cursor(camera)
        del self._watched[camera], self._follower.cursors[camera]
        if removed:
            self._store.forget_alerting(camera)

    def _read_out(self, camera: str) -> None:
        while scores := self._bus.scores_after(
            {camera: self._follower.cursors[camera]}, READ_OUT
        ).get(camera):
            self._follower.cursors[camera] = scores[-1].id
            self._take(camera, scores)

    def _close_quiet(self, camera: str) -> None:
        watched = self._watched[camera]
        alerts, events = watched.alerts.close(watched.policy)
        self._write(camera, alerts, self._follower.cursors[camera], events)

    def _close_left_open(self, cameras: Mapping[str, Camera]) -> None:
        """Alerts of cameras that were removed or disabled while nobody was at this stage."""
        for camera in self._store.alerted_cameras():
            if camera in self._watched:
                continue
            cursor, alerts = self._stored(camera)
            self._end_open(camera, cursor, CameraAlerts(), alerts.state.last_at)
            if camera not in cameras:
                self._store.forget_alerting(camera)

    def _end_open(
        self,
        camera: str,
        cursor: FrameId | None,
        alerts: CameraAlerts,
        last_at: float | None = None,
    ) -> None:
        """Close every open alert but the alerts's own: its state is gone, and nobody else would close it."""
        for alert in self._store.open_alerts(camera):
            if alerts.alert is None or alert.id != alerts.alert.id:
                closed_at = max(alert.opened_at, alert.peak_at if last_at is None else last_at)
                ended = AlertEvent("end", replace(alert, state="closed", closed_at=closed_at))
                self._store.save_alerting(camera, _state(alerts, cursor), [ended])
                log.info("alert %s was left open: closed", alert.id, extra=_about(alert))

    # Scores

    def _take(self, camera: str, scores: list[Score]) -> None:
        watched = self._watched[camera]
        watched.heard_at = time.monotonic()
        for score in scores:
            alerts, events = watched.alerts.step(watched.policy, score)
            if events:
                self._tell(score, alerts, events)
            watched.alerts = alerts

    def _tell(self, score: Score, alerts: CameraAlerts, events: list[AlertEvent]) -> None:
        opened = [event.alert for event in events if event.event == "new"]
        for alert in opened:
            self._keep_picture(alert, score)
        self._write(score.camera, alerts, score.id, events)
        if opened:
            for alert_id in self._store.drop_old_alerts(score.camera):
                pictures.drop(pictures.picture_path(self._data_dir, alert_id))

    def _write(
        self, camera: str, alerts: CameraAlerts, cursor: FrameId | None, events: list[AlertEvent]
    ) -> None:
        """The alert, its log and the cursor: all of it or nothing."""
        watched = self._watched[camera]
        if events:
            self._store.save_alerting(camera, _state(alerts, cursor), events)
            watched.saved = cursor
        for event in events:
            if event.event != "update":
                alert = event.alert
                log.info(
                    "alert %s: %s, peak %.3f",
                    alert.id,
                    alert.state,
                    alert.peak_value,
                    extra=_about(alert),
                )
        watched.alerts = alerts

    def _save_cursor(self, camera: str) -> None:
        watched, cursor = self._watched[camera], self._follower.cursors[camera]
        if cursor != watched.saved:
            self._store.save_alerting(camera, _state(watched.alerts, cursor), [])
            watched.saved = cursor

    # Pictures

    def _keep_picture(self, alert: Alert, score: Score) -> None:
        """Before the alert is written: who hears of it finds the picture. Without one the alert opens all the same."""
        try:
            frame = self._bus.frame(score.camera, score.id)
            if frame is None:
                reason = "its frame is no longer on the bus"
                log.warning(
                    "alert %s opens without a picture: %s", alert.id, reason, extra=_about(alert)
                )
                return
            heat = self._heat(score)
            pixels = frame.pixels if heat is None else pictures.overlay(frame.pixels, heat.cells)
            pictures.keep(pictures.picture_path(self._data_dir, alert.id), pictures.jpeg(pixels))
        except (OSError, ValueError, BrokenMessageError) as error:
            log.warning(
                "alert %s opens without a picture: %s", alert.id, error, extra=_about(alert)
            )

    def _heat(self, score: Score) -> Heat | None:
        deadline = time.monotonic() + HEAT_PATIENCE_S
        while (
            heat := self._bus.heat(score.camera, score.id)
        ) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return heat


def _about(alert: Alert) -> dict[str, object]:
    """For a log line: the camera, and the frame at which the alert opened."""
    about: dict[str, object] = {"camera": alert.camera}
    with contextlib.suppress(ValueError):  # somebody else's alert
        about |= FrameId.parse(alert.id.rpartition(":")[2])._asdict()
    return about


def _state(alerts: CameraAlerts, cursor: FrameId | None) -> dict[str, Any]:
    return {"cursor": str(cursor) if cursor else None, "rule": alerts.as_json()}
