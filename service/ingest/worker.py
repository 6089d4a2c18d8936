"""The ingest stage: follow the cameras in the store, run a decoder for each, report its state."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from dataclasses import dataclass, field, replace

from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError, Reason
from lookout.service.core.messages import IngestReport
from lookout.service.core.settings import Settings
from lookout.service.core.stages import INGEST
from lookout.service.core.throttle import OutageLog, Throttle
from lookout.service.ingest.attempts import AttemptBudget, Attempts
from lookout.service.ingest.camera_runner import CameraRunner, Condition
from lookout.service.ingest.decoder.process import DecoderHandle, DecoderProcess
from lookout.service.ingest.evidence.file_process import FileEvidence
from lookout.service.ingest.forking.children import Children
from lookout.service.ingest.probe import Prober
from lookout.service.ingest.retry import Backoff
from lookout.service.ingest.trials import Trials
from lookout.service.ownership.assignment import Assignment
from lookout.service.ownership.camera_watcher import CameraWatcher
from lookout.service.ownership.leases import open_leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.connections import open_bus, open_store, wait_until_up
from lookout.service.storage.redis.connect import UNAVAILABLE

LOG = logging.getLogger(__name__)

STAGE = INGEST.name
TICK_S = 0.1
FOLLOW_EVERY_S = 0.5
REPORT_EVERY_S = 1.0
QUIET_REPORT_EVERY_S = 5.0
QUIET_GRID_S = 1.0  # quiet cameras report on it: many in one round trip
QUIET_STATES = ("reconnecting", "stalled", "ended", "failed")  # nothing moves but time
KILL_AFTER_S = 1.0  # a decoder that was asked to end, while others run
SLOW_S = 2.0  # a step that took longer has waited for Redis
STOP_WITHIN_S = 3.0  # all of them, when the stage ends

# A camera's changes in the log: at most one line a minute, after the first few.
LINE_EVERY_S = 60.0
LINES_AT_ONCE = 6
TROUBLE = ("reconnecting", "stalled", "failed")


def run(settings: Settings, stop: threading.Event) -> None:
    """Work until `stop` is set; every decoder has ended when this returns."""
    bus = open_bus(settings)
    store = open_store(settings)
    if not wait_until_up(bus, store, stop):
        return
    with (
        open_leases(settings, STAGE) as leases,
        CameraWatcher(store) as cameras,
        Prober() as prober,
        Children() as children,
        Trials(settings, children) as trials,
    ):
        assignment = Assignment(STAGE, bus, leases)
        attempts = Attempts(prober, trials)
        worker = IngestWorker(settings, bus, cameras, assignment, attempts, children)
        try:
            while not stop.is_set():
                worker.step(time.monotonic())
                stop.wait(TICK_S)
        finally:
            worker.end()


@dataclass(slots=True)
class ReportSchedule:
    """The last report of a camera, as far as a change is news, and the time of the next."""

    due: float = 0.0
    condition: Condition | None = None
    retry_at: float | None = None
    throttle: Throttle = field(default_factory=lambda: Throttle(LINE_EVERY_S, LINES_AT_ONCE))


class IngestWorker:
    """Run the decoders of the cameras that this worker owns.

    No step waits for a camera; Redis's time-outs bound the rest. Every `now` is a monotonic clock
    in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        cameras: CameraWatcher,
        assignment: Assignment,
        attempts: AttemptBudget,
        children: Children,
    ) -> None:
        self.runners: dict[str, CameraRunner] = {}
        self._settings = settings
        self._bus = bus
        self._cameras = cameras
        self._assignment = assignment
        self._leases = assignment.leases
        self._attempts = attempts
        self._children = children
        self._ending: dict[str, tuple[DecoderHandle, float]] = {}  # and when each is killed
        self._removed: set[str] = set()  # whose traces on the bus are to be wiped
        self._handing_over: set[str] = set()  # ours until their decoders have ended
        self._to_look_at: set[str] = set()  # of whose files a former bus may have lost frames
        self._follow_at = 0.0
        self._schedules: dict[str, ReportSchedule] = {}
        self._unsaid: set[str] = set()  # whose newest change is not in the log yet
        self._outage = OutageLog()
        self._file_evidence = FileEvidence(settings, bus, children)

    def step(self, now: float) -> None:
        """Read the decoders, then follow the store, then report."""
        self.reap(now)
        for camera, runner in self.runners.items():
            try:
                runner.tick(now)
            except Exception as error:  # one camera's failure must not stop the others
                LOG.exception("camera %s is given up", camera, extra={"camera": camera})
                kind = type(error).__name__
                said = f"ingest failed: {kind}"
                runner.fail(Reason(said, code="ingest_failed", why=kind))
        try:
            cameras = self._cameras.cameras
            if now >= self._follow_at and cameras is not None:
                self._follow_at = now + FOLLOW_EVERY_S
                self.follow(cameras, now)
            self.report(now)
            self._file_evidence.step([one.camera for one in self.runners.values()], now)
        except Exception as error:  # Redis is away, full or refuses: the next step tries again
            if self._outage.failed():
                LOG.warning(
                    "Redis is away or refuses (%s: %s); the decoders go on, and so do the attempts",
                    type(error).__name__,
                    error,
                )
            self.extend_deadlines()
        else:
            if self._outage.worked():
                LOG.info("Redis is back")
        # Decoders ask the store too, for a new session.
        if time.monotonic() - now > SLOW_S or self._cameras.away:
            self.extend_deadlines()

    def end(self) -> None:
        """End every decoder within STOP_WITHIN_S, then leave the cameras to other workers."""
        self._file_evidence.end()
        for camera in list(self.runners):
            self.release(camera, time.monotonic())
        deadline = time.monotonic() + STOP_WITHIN_S
        while self._ending and time.monotonic() < deadline:
            self.reap(time.monotonic())
            time.sleep(0.02)
        for camera in self._ending:
            LOG.error("camera %s: its decoder cannot be ended", camera, extra={"camera": camera})
        with contextlib.suppress(*UNAVAILABLE):
            self._assignment.leave_stage()

    # Cameras

    def follow(self, cameras: dict[str, Camera], now: float) -> None:
        """Bring the runners in line with our leases and the store's cameras."""
        self._check_leases(now)
        for camera, runner in list(self.runners.items()):
            current = cameras.get(camera)
            if current is None or current.revision != runner.camera.revision:
                self.release(camera, now)
        self._removed |= self._leases.owned() - cameras.keys()
        # The decoder of a removed camera may write until it has ended.
        for camera in self._removed - self._ending.keys():
            if camera not in cameras:
                self._bus.forget(camera)
            self._removed.discard(camera)
        enabled = {camera: record for camera, record in cameras.items() if record.enabled}
        self.rebalance(enabled, now)
        for camera in self._leases.owned() - self._handing_over:
            if camera in enabled and not self.has_decoder(camera):
                self.runners[camera] = self.make_runner(enabled[camera])
        for camera in self._leases.owned() - enabled.keys() | self._handing_over:
            if not self.has_decoder(camera) and camera not in self._removed:
                self._leases.release(camera)
                self._handing_over.discard(camera)

    def rebalance(self, enabled: dict[str, Camera], now: float) -> None:
        """Take free cameras, or begin to hand one over to a worker that has fewer."""
        _, surplus = self._assignment.rebalance(
            enabled, self._handing_over, may_give=not self._cameras.away
        )
        if surplus is not None:
            LOG.info("camera %s: given to another worker", surplus, extra={"camera": surplus})
            self._handing_over.add(surplus)
            self.release(surplus, now)

    def has_decoder(self, camera: str) -> bool:
        """Return whether a runner has the camera, or its last decoder has not ended yet."""
        return camera in self.runners or camera in self._ending

    def make_runner(self, camera: Camera) -> CameraRunner:
        """Return a runner that takes over from the camera's last report. Raises UNAVAILABLE."""
        try:
            before = self._bus.ingest_report(camera.id)
        except BrokenMessageError:
            before = None
        settings = self._settings
        return CameraRunner(
            camera,
            settings,
            lambda record: DecoderProcess(
                self._children, record, settings, self._leases.token(record.id)
            ),
            self._attempts,
            Backoff(settings.retry_first_s, settings.retry_most_s, settings.retry_reset_after_s),
            before,
        )

    def release(self, camera: str, now: float) -> None:
        """Ask the camera's decoder to end; without a runner, do nothing."""
        runner = self.runners.pop(camera, None)
        self._schedules.pop(camera, None)
        self._unsaid.discard(camera)
        self._to_look_at.discard(camera)
        if runner is None:
            return
        runner.end_attempt()
        if runner.decoder is not None:
            runner.decoder.terminate()
            self._ending[camera] = (runner.decoder, now + KILL_AFTER_S)

    def reap(self, now: float) -> None:
        """Forget the decoders that have ended; kill those that had KILL_AFTER_S to do so."""
        for camera, (decoder, kill_at) in list(self._ending.items()):
            if decoder.exit_code() is not None:
                decoder.close()
                del self._ending[camera]
            elif now >= kill_at:
                decoder.kill()

    def _check_leases(self, now: float) -> None:
        lost, bus_restarted = self._leases.poll()
        for camera in lost & self.runners.keys():
            LOG.warning("camera %s: its lease is lost", camera, extra={"camera": camera})
            self.release(camera, now)
        if bus_restarted:  # also a decoder that is ending now may have written to the former bus
            self._to_look_at |= self.runners.keys()
        for camera in sorted(self._to_look_at):
            if self.runners[camera].state == "ended":  # a new decoder looks at what the bus has
                self._bus.forget_reports(camera)
                self.release(camera, now)

    # Reports

    def report(self, now: float) -> None:
        """Report each camera at once when its condition changes, and else once in a while."""
        reports: dict[str, IngestReport] = {}
        for camera, runner in self.runners.items():
            if runner.reconnects:
                self._bus.count(camera, "reconnects", runner.reconnects)
                runner.reconnects = 0
            schedule = self._schedules.get(camera)
            if schedule is None:
                schedule = self._schedules[camera] = ReportSchedule()
            if runner.condition != schedule.condition or now >= schedule.due:
                report = runner.report(now, time.time())
                reports[camera] = replace(report, worker=self._assignment.name)
            elif runner.retry_at != schedule.retry_at:  # an attempt begins or ends
                schedule.due = min(schedule.due, next_on_grid(now))
        if reports:
            self._bus.report_ingests(reports)
        for camera, report in reports.items():
            self.note_reported(camera, report, now)
        for camera in list(self._unsaid):
            runner, throttle = self.runners[camera], self._schedules[camera].throttle
            log_condition(runner.report(now, time.time()), camera, runner.last_error, throttle)
            if not throttle.waiting:
                self._unsaid.discard(camera)

    def note_reported(self, camera: str, report: IngestReport, now: float) -> None:
        """Set the time of a camera's next report, and note a change for the log."""
        schedule = self._schedules[camera]
        runner = self.runners[camera]
        if runner.condition != schedule.condition:
            schedule.throttle.note()
            self._unsaid.add(camera)
        schedule.condition = runner.condition
        schedule.retry_at = runner.retry_at
        schedule.due = now + REPORT_EVERY_S
        if report.state in QUIET_STATES:
            schedule.due = next_on_grid(now + QUIET_REPORT_EVERY_S)

    def extend_deadlines(self) -> None:
        """Restart every decoder's time limit: it may have waited for the same Redis as we did."""
        for runner in self.runners.values():
            runner.extend_deadline(time.monotonic())


def next_on_grid(now: float) -> float:
    """Return the next moment at which quiet cameras report together."""
    return math.ceil(now / QUIET_GRID_S) * QUIET_GRID_S


def log_condition(
    report: IngestReport, camera: str, error: Reason | None, throttle: Throttle
) -> None:
    """Log a camera's newest change, if the throttle lets one through.

    A camera that flaps gets one line in LINE_EVERY_S, and a last one about how it came to rest.
    """
    more = throttle.due()
    if more is None:
        return
    level = logging.WARNING if report.state in TROUBLE else logging.INFO
    cause = f" ({error})" if error else ""
    LOG.log(
        level,
        "camera %s: %s%s%s",
        camera,
        report.state,
        cause,
        more,
        extra={"camera": camera, "session": report.session, "seq": report.last_seq},
    )
