"""The ingest stage: follows the cameras in the store, keeps a decoder for each, and reports how they are."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from dataclasses import dataclass, field, replace

from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import IngestReport
from lookout.service.core.settings import Settings
from lookout.service.core.stages import INGEST
from lookout.service.core.throttle import OutageLog, Throttle
from lookout.service.ingest.backoff import Backoff
from lookout.service.ingest.camera_runner import Runner
from lookout.service.ingest.decoder.process import Child, Decoder
from lookout.service.ownership.assignment import Assignment
from lookout.service.ownership.camera_watcher import CameraList
from lookout.service.ownership.leases import open_leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.connections import open_bus, open_store, wait_until_up
from lookout.service.storage.redis.connect import UNAVAILABLE

LOG = logging.getLogger(__name__)

STAGE = INGEST.name
TICK_S = 0.1
FOLLOW_EVERY_S = 0.5
REPORT_EVERY_S = 1.0
KILL_AFTER_S = 1.0  # a decoder that was asked to end, while others run
SLOW_S = 2.0  # a turn that took so long has waited for Redis
STOP_WITHIN_S = 3.0  # all of them, when the stage ends

LINE_EVERY_S, LINES_AT_ONCE = (
    60.0,
    6,
)  # of one camera's changes in the log: two short losses are told in full
TROUBLE = ("reconnecting", "stalled", "failed")

News = tuple[str, str | None, int | None]  # what is reported and logged at once when it changes


def run(settings: Settings, stop: threading.Event) -> None:
    """Work until `stop` is set; every decoder has ended then."""
    bus, store = open_bus(settings), open_store(settings)
    if not wait_until_up(bus, store, stop):
        return
    with open_leases(settings, STAGE) as leases, CameraList(store) as cameras:
        worker = Worker(settings, bus, cameras, Assignment(STAGE, bus, leases))
        try:
            while not stop.is_set():
                worker.step(time.monotonic())
                stop.wait(TICK_S)
        finally:
            worker.end()


class Worker:
    """Every step is short: nothing here waits for a camera, and Redis's time-outs bound the rest."""

    def __init__(
        self, settings: Settings, bus: Bus, cameras: CameraList, assignment: Assignment
    ) -> None:
        self.runners: dict[str, Runner] = {}
        self._settings = settings
        self._bus = bus
        self._cameras = cameras
        self._assignment = assignment
        self._leases = assignment.leases
        self._leaving: dict[
            str, tuple[Child, float]
        ] = {}  # asked to end: the child and when it is killed
        self._removed: set[str] = set()  # whose traces on the bus are to be wiped
        self._going: set[str] = set()  # ours until their decoders have ended
        self._follow_at = 0.0
        self._reported: dict[str, _Reported] = {}
        self._outage = OutageLog()

    def step(self, now: float) -> None:
        """One turn: hear the decoders, then the store, then report."""
        self._reap(now)
        for camera, runner in self.runners.items():
            try:
                runner.tick(now)
            except Exception as error:  # one camera's trouble is not the others'
                LOG.exception("camera %s is given up", camera, extra={"camera": camera})
                runner.give_up(f"ingest failed: {type(error).__name__}")
        try:
            self._talk_to_redis(now)
        except Exception as error:  # away, full, or of another mind: it is tried again
            self._note_away(error)
        else:
            self._note_back()
        if (
            time.monotonic() - now > SLOW_S or self._cameras.away
        ):  # decoders ask the store too, for a new session
            self._excuse_all()

    def end(self) -> None:
        """Ask every decoder to end, wait for them all together, kill what is left; then others may have the cameras."""
        for camera in list(self.runners):
            self._release(camera, time.monotonic())
        deadline = time.monotonic() + STOP_WITHIN_S
        while self._leaving and time.monotonic() < deadline:
            self._reap(time.monotonic())
            time.sleep(0.02)
        for camera in self._leaving:
            LOG.error("camera %s: its decoder cannot be ended", camera, extra={"camera": camera})
        with contextlib.suppress(*UNAVAILABLE):
            self._assignment.leave_stage()

    # The store's cameras

    def _talk_to_redis(self, now: float) -> None:
        cameras = self._cameras.cameras
        if now >= self._follow_at and cameras is not None:
            self._follow_at = now + FOLLOW_EVERY_S
            self._follow(cameras, now)
        for camera, runner in self.runners.items():
            self._report(camera, runner, now)

    def _follow(self, cameras: dict[str, Camera], now: float) -> None:
        self._heed_leases(now)
        for camera, runner in list(self.runners.items()):
            current = cameras.get(camera)
            if current is None or current.revision != runner.camera.revision:
                self._release(camera, now)
        self._removed |= self._leases.owned() - cameras.keys()
        for camera in list(self._removed):
            self._wipe(camera, cameras)
        wanted = {camera: record for camera, record in cameras.items() if record.enabled}
        _, surplus = self._assignment.rebalance(
            wanted, self._going, may_give=not self._cameras.away
        )
        if surplus is not None:
            LOG.info("camera %s: given to another worker", surplus, extra={"camera": surplus})
            self._going.add(surplus)
            self._release(surplus, now)
        for camera in self._leases.owned() - self._going:
            if camera in wanted and camera not in self.runners and camera not in self._leaving:
                self.runners[camera] = self._new_runner(wanted[camera])
        for camera in self._leases.owned() - wanted.keys() | self._going:
            self._give_back(camera)

    def _heed_leases(self, now: float) -> None:
        lost, bus_is_new = self._leases.poll()
        for camera in lost & self.runners.keys():
            LOG.warning("camera %s: its lease is lost", camera, extra={"camera": camera})
            self._release(camera, now)
        ended = [camera for camera, runner in self.runners.items() if runner.state == "ended"]
        for camera in ended if bus_is_new else ():  # are frames of the file missing?
            self._release(camera, now)
            self._bus.forget_reports(camera)

    def _give_back(self, camera: str) -> None:
        """Another worker may have it as soon as our decoder is gone."""
        if (
            camera not in self.runners
            and camera not in self._leaving
            and camera not in self._removed
        ):
            self._leases.release(camera)
            self._going.discard(camera)

    def _wipe(self, camera: str, cameras: dict[str, Camera]) -> None:
        """A removed camera's decoder may have written after its removal: when it is gone, so is what it wrote."""
        if camera in self._leaving:
            return
        if camera not in cameras:
            self._bus.forget(camera)
        self._removed.discard(camera)

    def _new_runner(self, camera: Camera) -> Runner:
        try:
            before = self._bus.ingest_report(camera.id)
        except BrokenMessageError:
            before = None
        settings = self._settings
        backoff = Backoff(
            settings.retry_first_s,
            settings.retry_most_s,
            settings.retry_reset_after_s,
            random.Random(),
        )
        return Runner(
            camera,
            settings,
            lambda record: Decoder(record, settings, self._leases.token(record.id)),
            backoff,
            before,
        )

    def _release(self, camera: str, now: float) -> None:
        """Ask the camera's decoder to end; its place is free when it has."""
        runner = self.runners.pop(camera, None)  # None: it was released in this turn already
        self._reported.pop(camera, None)
        if runner is not None and runner.child is not None:
            runner.child.terminate()
            self._leaving[camera] = (runner.child, now + KILL_AFTER_S)

    def _reap(self, now: float) -> None:
        for camera, (child, kill_at) in list(self._leaving.items()):
            if child.exit_code() is not None:
                child.close()
                del self._leaving[camera]
            elif now >= kill_at:
                child.kill()

    # Reports

    def _report(self, camera: str, runner: Runner, now: float) -> None:
        """About once a second, and at once where something changed."""
        if runner.reconnects:
            self._bus.count(camera, "reconnects", runner.reconnects)
            runner.reconnects = 0
        report, news = (
            replace(runner.report(now, time.time()), worker=self._assignment.name),
            _news(runner),
        )
        last = self._reported.setdefault(camera, _Reported())
        if now >= last.due or news != last.news:
            self._bus.report_ingest(camera, report)
            if news != last.news:
                last.lines.note()
            last.due, last.news = now + REPORT_EVERY_S, news
        tell(report, camera, runner.last_error, last.lines)

    def _note_away(self, error: Exception) -> None:
        if self._outage.failed():
            LOG.warning(
                "Redis is away or refuses (%s: %s); the decoders go on, and so do the attempts",
                type(error).__name__,
                error,
            )
        self._excuse_all()

    def _excuse_all(self) -> None:
        """Whoever was silent may have waited for the same Redis as we did."""
        for runner in self.runners.values():
            runner.excuse(time.monotonic())

    def _note_back(self) -> None:
        if self._outage.worked():
            LOG.info("Redis is back")


@dataclass(slots=True)
class _Reported:
    """What was last reported of a camera, and when that is due again."""

    due: float = 0.0
    news: News | None = None
    lines: Throttle = field(default_factory=lambda: Throttle(LINE_EVERY_S, LINES_AT_ONCE))


def tell(report: IngestReport, camera: str, error: str | None, lines: Throttle) -> None:
    """A line about the newest change: a camera that flaps is told of once in LINE_EVERY_S, and how it is at last."""
    more = lines.due()
    if more is None:
        return
    about = {"camera": camera, "session": report.session, "seq": report.last_seq}
    level = logging.WARNING if report.state in TROUBLE else logging.INFO
    LOG.log(
        level,
        "camera %s: %s%s%s",
        camera,
        report.state,
        f" ({error})" if error else "",
        more,
        extra=about,
    )


def _news(runner: Runner) -> News:
    return (runner.state, runner.last_error, runner.session)
