"""The alerting stage: owns cameras by lease, follows their scores, opens and closes alerts."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from lookout.service.alerting.alert_pictures import AlertPictures, about
from lookout.service.alerting.camera_policy import (
    CameraAlerts,
    FollowedCamera,
    FollowedPolicy,
    default_policy,
)
from lookout.service.alerting.conditions import CameraConditions, is_over
from lookout.service.alerting.deliveries import Deliveries
from lookout.service.alerting.evidence import EvidenceAsker
from lookout.service.alerting.evidence_copies import open_copies
from lookout.service.alerting.minute_peaks import MinutePeaks
from lookout.service.alerting.silence import ProducerReports
from lookout.service.alerting.suppressor import Suppressor
from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import AlertEvent, FrameId, Score
from lookout.service.core.settings import Settings
from lookout.service.core.stages import ALERTING, INFERENCE
from lookout.service.core.throttle import OutageLog
from lookout.service.ownership.assignment import Assignment
from lookout.service.ownership.camera_watcher import CameraWatcher
from lookout.service.ownership.leases import open_leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.bus.outcomes import ScoreFollower
from lookout.service.storage.clips import drop_surplus
from lookout.service.storage.connections import open_bus, open_store, wait_until_up
from lookout.service.storage.pictures import drop_expired
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.alert_evidence import RegionRecord
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

IDLE_S = 0.05
RETRY_AFTER_S = 0.5  # a server that answers a ping may still refuse writes
FOLLOW_EVERY_S = 0.5  # cameras, leases, silent cameras, cursors
ABANDONED_EVERY_S = 5.0
CONDITIONS_EVERY_S = 0.9  # of the time between two looks, at most a second counts
MAX_EVENTS = 100  # of a camera, read at once
FIRST_SWEEP_S = 60.0  # after the start
SWEEP_EVERY_S = 3600.0  # expired alerts and pictures are removed
CLIPS_EVERY_S = 60.0  # clips beyond their time and size are removed
MAX_SCORES = 500  # read at once

ReadCameras = Callable[[], Mapping[str, Camera] | None]
"""The cameras of the store by id; None until the store has answered once."""


def run(settings: Settings, stop: threading.Event) -> None:
    """Work until `stop` is set; wait for a Redis that is away."""
    bus = open_bus(settings)
    store = open_store(settings)
    pictures = AlertPictures(settings.data_dir, bus)
    pictures.log_unwritable()
    if not wait_until_up(bus, store, stop):
        return
    with contextlib.ExitStack() as stack:
        leases = stack.enter_context(open_leases(settings, ALERTING.name))
        cameras = stack.enter_context(CameraWatcher(store))
        stack.enter_context(Deliveries(settings, bus, store))
        stack.enter_context(open_copies(settings, bus, store))
        assignment = Assignment(ALERTING.name, bus, leases)
        worker = AlertingWorker(settings, bus, store, assignment, lambda: cameras.cameras, pictures)
        log.info("alerting is up")
        outage = OutageLog()
        while not stop.is_set():
            try:
                busy = worker.step()
            except UNAVAILABLE as error:
                if outage.failed():
                    log.warning("Redis is away or refuses, waiting: %s", error)
                worker.start_over()
                stop.wait(RETRY_AFTER_S)
                wait_until_up(bus, store, stop, is_logged=True)
            else:
                if outage.worked():
                    log.info("Redis is back")
                stop.wait(0 if busy else IDLE_S)
        worker.end()


class AlertingWorker:
    """Follows the cameras it owns. After a loss of Redis or of a camera nothing is kept here: the
    store has the state, and replayed scores cause the same alerts under the same ids.
    """

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        store: Store,
        assignment: Assignment,
        cameras: ReadCameras,
        pictures: AlertPictures,
    ) -> None:
        self._settings = settings
        self._bus = bus
        self._store = store
        self._assignment = assignment
        self._leases = assignment.leases
        self._cameras = cameras
        self._pictures = pictures
        self._evidence = EvidenceAsker(settings, bus, store)
        self._suppressor = Suppressor(store, self._evidence)
        self._abandoned_due = 0.0
        self._sweep_due = time.monotonic() + FIRST_SWEEP_S
        self._clips_due = self._sweep_due
        self.start_over()

    def start_over(self) -> None:
        """Forget the state of every camera; the next step reads it from the store."""
        self.followed: dict[str, FollowedCamera] = {}
        self._reports: dict[str, ProducerReports] = {}  # to judge once everything is read
        self._follower = ScoreFollower(self._bus, MAX_SCORES)
        self._follow_due = 0.0
        self._conditions_due = 0.0

    def step(self) -> bool:
        """Handle the new scores; return False where there is none. Raises one of UNAVAILABLE."""
        return self.turn(time.monotonic())

    def turn(self, now: float) -> bool:
        """Do the work of `step` at `now` (monotonic s)."""
        if now >= self._follow_due:
            self._follow_due = now + FOLLOW_EVERY_S
            self.follow(now)
        before = dict(self._follower.cursors)
        scores = self._follower.poll()
        for camera, new in scores.items():
            self.note_unread(camera, before[camera], new[0].id)
            self.handle(camera, new)
        for camera in self._reports.keys() - scores.keys():
            self.close_ended(camera, self._reports.pop(camera))
        return bool(scores)

    def end(self) -> None:
        """Save every cursor and hand the cameras over."""
        try:
            for camera in list(self.followed):
                self.hand_over(camera)
            self._assignment.leave_stage()
        except UNAVAILABLE as error:  # then the next owner replays some scores
            log.warning("the last cursors were not saved: %s", error)

    def follow(self, now: float) -> None:
        """Follow leases and cameras: take over, give up, read reports, save cursors."""
        changes = self._leases.poll()
        for camera in changes.lost & self.followed.keys():
            self.lose(camera)
        cameras = self._cameras()
        enabled = {name: one for name, one in (cameras or {}).items() if one.enabled}
        _, surplus = self._assignment.rebalance(enabled, set(), may_give=True)
        if cameras is None:
            return
        for camera in self.followed.keys() - enabled.keys():
            if not self.is_still_scored(camera, cameras, now):
                self.finish(camera, removed=camera not in cameras)
        for camera in self._leases.owned() - self.followed.keys():
            if camera in enabled:
                self.take_over(camera, enabled[camera])
            else:
                self._leases.release(camera)
        if surplus in self.followed:
            log.info("camera %s: given to another worker", surplus, extra={"camera": surplus})
            self.hand_over(surplus)
        if now >= self._abandoned_due:
            self._abandoned_due = now + ABANDONED_EVERY_S
            self.finish_abandoned(cameras)
        self.sweep(now)
        for camera, followed in list(self.followed.items()):
            self.save_cursor(camera, followed.follow(cameras[camera], self._settings))
        if now >= self._conditions_due:
            self._conditions_due = now + CONDITIONS_EVERY_S
            self.follow_conditions(enabled, now)
        self.read_reports(enabled, now)

    def sweep(self, now: float) -> None:
        """Remove what is kept no longer, now and then. Raises one of UNAVAILABLE."""
        if now >= self._sweep_due:
            self._sweep_due = now + SWEEP_EVERY_S
            drop_expired(self._store, self._settings.data_dir, self._settings.alerts_kept_days)
        if now >= self._clips_due:
            self._clips_due = now + CLIPS_EVERY_S
            drop_surplus(self._store, self._settings)

    def follow_conditions(self, cameras: Mapping[str, Camera], now: float) -> None:
        """Open and close the alerts about the cameras themselves: tampering, not watched."""
        followed = {name: one for name, one in self.followed.items() if name in cameras}
        places = {name: one.conditions.seen for name, one in followed.items()}
        events = self._store.camera_events_after(places, MAX_EVENTS)
        overviews = self._bus.overview(followed)
        for camera, one in followed.items():
            overview = overviews[camera]
            one.watch.look(self._follower.cursors[camera], overview, now)
            made = one.conditions.take_events(events.get(camera, []))
            reason = one.watch.reason(cameras[camera], overview, self._settings)
            if reason or one.watch.has_moved or is_over(cameras[camera], overview):
                made += one.conditions.set_unwatched(camera, reason, time.time())
            if made or camera in events:
                self.save(camera, made)

    # Ownership

    def take_over(self, camera: str, spec: Camera | None) -> None:
        """Begin a new epoch of ownership and continue from what the former owner saved.

        spec: None where the camera was removed.
        """
        epoch = self._store.begin_alerting(camera)
        try:
            state = self._store.alerting_state(camera) or {}
            cursor = FrameId.parse(state["cursor"]) if state.get("cursor") else None
            alerts = CameraAlerts.from_json(state.get("rule") or {})
            zones = {
                name: FollowedPolicy(
                    default_policy(self._settings),
                    CameraAlerts.from_json(saved.get("rule") or {}, name),
                )
                for name, saved in (state.get("zones") or {}).items()
            }
        except (ValueError, TypeError, AttributeError, BrokenMessageError) as error:
            reason = f"its alerting state cannot be read, and starts empty: {error}"
            self._store.mark(camera, reason)
            state = {}
            cursor = None
            alerts = CameraAlerts()
            zones = {}
        followed = FollowedCamera(
            default_policy(self._settings), alerts, epoch=epoch, saved=cursor, zones=zones
        )
        if spec is not None:
            followed.follow(spec, self._settings)  # `close_orphans` ends alerts of former zones
        try:
            followed.load_budget(state.get("budget"))
            for name, zone in followed.zones.items():
                zone.load_budget((state.get("zones") or {}).get(name, {}).get("budget"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = f"its alarm budget's state cannot be read, and starts empty: {error}"
            self._store.mark(camera, reason)
        try:
            followed.load_tracks(state.get("tracks"))
            for name, zone in followed.zones.items():
                zone.load_tracks((state.get("zones") or {}).get(name, {}).get("tracks"))
        except (AttributeError, BrokenMessageError) as error:
            reason = f"its alerts' tracks cannot be read, and start empty: {error}"
            self._store.mark(camera, reason)
        try:
            followed.peaks = MinutePeaks.from_json(state.get("minute"))
        except (ValueError, TypeError) as error:
            reason = f"its last minute cannot be read, and starts empty: {error}"
            self._store.mark(camera, reason)
        try:
            followed.conditions = CameraConditions.from_json(state.get("conditions"))
        except (ValueError, TypeError, KeyError, AttributeError, BrokenMessageError) as error:
            reason = f"its alerts of other kinds cannot be read, and start empty: {error}"
            self._store.mark(camera, reason)
        if followed.conditions.is_new:
            followed.conditions.seen = self._store.newest_camera_event_id(camera)
            followed.conditions.is_new = False
        self.followed[camera] = followed
        self._follower.cursors[camera] = cursor
        self.close_orphans(camera)

    def close_orphans(self, camera: str) -> None:
        """Close the open alerts that the camera's state does not know: nothing else would."""
        followed = self.followed[camera]
        known = followed.open_ids | {alert.id for alert in followed.conditions.open.values()}
        for alert in self._store.open_alerts(camera):
            if alert.id not in known:
                closed_at = max(alert.opened_at, alert.peak_at)
                closed = replace(alert, state="closed", closed_at=closed_at)
                log.info("alert %s was left open: closed", alert.id, extra=about(alert))
                if not self.save(camera, [AlertEvent("end", closed)]):
                    return

    def hand_over(self, camera: str) -> None:
        """Save the cursor and give the camera back."""
        self.save_cursor(camera)
        self.forget(camera)

    def lose(self, camera: str) -> None:
        """Stop following a camera that another worker owns."""
        log.warning("camera %s: its lease is lost", camera, extra={"camera": camera})
        self.forget(camera)

    def forget(self, camera: str) -> None:
        """Drop what this worker knows of the camera, and its lease."""
        self.followed.pop(camera, None)
        self._follower.cursors.pop(camera, None)
        self._leases.release(camera)

    # Cameras that are removed or disabled

    def is_still_scored(self, camera: str, cameras: Mapping[str, Camera], now: float) -> bool:
        """Return True where inference still has a disabled camera, and has not stood still long."""
        if camera not in cameras or not self._bus.has_workers(INFERENCE.name):
            return False
        followed = self.followed[camera]
        followed.idle.look("disabled", now)
        is_idle = followed.idle.seconds >= followed.policy.quiet_after_s
        return not is_idle and self._bus.is_owned(INFERENCE.name, camera)

    def finish(self, camera: str, *, removed: bool, unread: bool = True) -> None:
        """Close the alert of a camera that was removed or disabled.

        unread: handle the scores first that were written before and not read yet.
        """
        while unread and camera in self.followed:
            after = {camera: self._follower.cursors[camera]}
            scores = self._bus.scores_after(after, MAX_SCORES).get(camera)
            if not scores:
                break
            self._follower.cursors[camera] = scores[-1].id
            self.handle(camera, scores)
        if camera in self.followed and self.close_alert(camera):
            self.save_cursor(camera)
        if camera in self.followed:
            events = self.followed[camera].conditions.close_all(time.time())
            if events:
                self.save(camera, events)
        if removed and camera in self.followed:
            self._store.forget_alerting(camera)
        self.forget(camera)

    def finish_abandoned(self, cameras: Mapping[str, Camera]) -> None:
        """Finish cameras that were removed or disabled while no worker owned them."""
        disabled = {name for name, one in cameras.items() if not one.enabled}
        removed = set(self._store.alerted_cameras()) - cameras.keys()
        overviews = self._store.alerting_overview(disabled | removed)
        newest = self._bus.newest_score_ids(disabled)
        for camera, overview in overviews.items():
            cursor = overview.cursor
            unread = camera in newest and (cursor is None or cursor < newest[camera])
            if (overview.open or unread) and self._leases.take(camera):
                self.take_over(camera, cameras.get(camera))
                self.finish(camera, removed=camera in removed, unread=unread)

    # Cameras whose scores end

    def read_reports(self, cameras: Mapping[str, Camera], now: float) -> None:
        """Read the producers' reports on each camera with an open alert, before its scores."""
        open_ones = [name for name in cameras if self.has_open_alert(name)]
        self._reports = {}
        for camera, overview in self._bus.overview(open_ones).items():
            newest = self._bus.newest_frame_id(camera)
            self._reports[camera] = ProducerReports(cameras[camera], overview, newest)
            self.followed[camera].idle.look(overview.cursor, now)

    def has_open_alert(self, camera: str) -> bool:
        """Return True where this worker follows the camera, and an alert of it is open."""
        followed = self.followed.get(camera)
        return followed is not None and bool(followed.open_ids)

    def close_ended(self, camera: str, reports: ProducerReports) -> None:
        """Close the camera's alert where no score continues it; everything is read."""
        followed = self.followed.get(camera)
        if followed is not None and reports.ends_scores(
            followed.policy, followed.alerts.state, followed.idle.seconds
        ):
            self.close_alert(camera)

    # Scores

    def note_unread(self, camera: str, cursor: FrameId | None, first: FrameId) -> None:
        """Count and log the scores behind the cursor that left the bus before they were read."""
        lost = 0
        if cursor is not None:
            lost = self._bus.count_trimmed(camera, cursor, first)
        if lost:
            log.warning(
                "camera %s: %d scores left the bus before alerting read them (LOOKOUT_SCORES_KEPT)",
                camera,
                lost,
                extra={"camera": camera},
            )

    def handle(self, camera: str, scores: list[Score]) -> None:
        """Run the policy over new scores and save what it causes."""
        for score in scores:
            followed = self.followed.get(camera)
            if followed is None:  # another worker owns it
                return
            events = followed.step(score)
            opened = [event.alert for event in events if event.event == "new"]
            for alert in opened:  # first: a listener that hears of the alert finds the picture
                self._pictures.keep(alert, score)
            self._evidence.follow_regions(followed, score)
            regions = {}
            for event in events:
                part = followed.zones.get(event.alert.zone or "", followed)
                if record := self._evidence.regions(event, score.id, part):
                    regions[event.alert.id] = record
            events = self._suppressor.mark(followed, events, regions)
            self._suppressor.collect(followed, score)
            events += self._suppressor.look_again(followed, score)
            if not events or not self.save(camera, events, score.id, regions):
                continue
            if opened:
                hidden = [one for one in events if one.event == "new" and one.alert.suppressed_by]
                if hidden:
                    self._bus.count(camera, "alerts_suppressed", len(hidden))
                self._store.drop_old_looks(camera, len(opened))
                self._pictures.drop(self._store.drop_old_alerts(camera))

    def close_alert(self, camera: str) -> bool:
        """Close the open alerts at the last score; return False where the camera was lost."""
        events = self.followed[camera].close_all()
        return not events or self.save(camera, events)

    def save_cursor(self, camera: str, events: Sequence[AlertEvent] = ()) -> None:
        """Save the cursor where it moved since the last save, or where there are events."""
        if events or self.followed[camera].saved != self._follower.cursors[camera]:
            self.save(camera, list(events))

    def save(
        self,
        camera: str,
        events: list[AlertEvent],
        cursor: FrameId | None = None,
        regions: Mapping[str, RegionRecord] | None = None,
    ) -> bool:
        """Save state, cursor and events in one step.

        cursor: None: behind the last score read. regions: by alert. Returns False where another
        worker took the camera over: nothing is written then, and the camera is no longer followed.
        """
        followed = self.followed[camera]
        if cursor is None:
            cursor = self._follower.cursors[camera]
        if followed.peaks.closed:  # before the cursor moves past their scores
            self._store.note_peaks(camera, followed.peaks.closed)
            followed.peaks.closed.clear()
        regions = self._evidence.with_tracks(followed, events, regions or {})
        state = {"cursor": str(cursor) if cursor else None} | followed.as_json()
        if not self._store.save_alerting(camera, followed.epoch, state, events, regions):
            self.lose(camera)
            return False
        followed.saved = cursor
        for event in events:
            self._evidence.ask(event)
        return True
