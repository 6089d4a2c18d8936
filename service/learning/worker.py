"""The learning stage: owns cameras by lease, records them, and works on their jobs."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from lookout.service.core.camera import Camera
from lookout.service.core.errors import NO_REASON, ConflictError
from lookout.service.core.jobs import LearningJob
from lookout.service.core.settings import Settings
from lookout.service.core.stages import LEARNING
from lookout.service.core.throttle import OutageLog
from lookout.service.learning.camera import DAY_S, LearningCamera
from lookout.service.learning.drift_watch import DriftWatch
from lookout.service.learning.footage import disk_shortage
from lookout.service.learning.live_load import LiveLoad
from lookout.service.learning.replay_job import ReplayRun, ReplayRuns
from lookout.service.learning.self_tests import SelfTests
from lookout.service.ownership.assignment import Assignment
from lookout.service.ownership.camera_watcher import CameraWatcher
from lookout.service.ownership.leases import open_leases
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.connections import open_bus, open_store, wait_until_up
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

FOLDER = "learning"
IDLE_S = 0.2
RETRY_AFTER_S = 0.5
FOLLOW_EVERY_S = 0.5  # cameras, leases, jobs
SWEEP_EVERY_S = 60.0  # folders of removed cameras
GONE_AFTER_S = 600.0
"""A camera is removed for so long before its footage is: its record may only be unreadable now."""

FRAMES = 32  # of a camera in one go
RECORDING_NICE = 10
"""Recording gives way to the stages that score, and training (19) to recording."""

TRAININGS = 1
"""Jobs that train at once in one worker."""


def run(settings: Settings, stop: threading.Event) -> None:
    """Work until `stop` is set; wait for a Redis that is away."""
    if sys.platform == "linux":  # of this thread alone
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), RECORDING_NICE)
    with contextlib.ExitStack() as stack:
        bus = stack.enter_context(contextlib.closing(open_bus(settings)))
        store = stack.enter_context(contextlib.closing(open_store(settings)))
        if not wait_until_up(bus, store, stop):
            return
        leases = stack.enter_context(open_leases(settings, LEARNING.name))
        cameras = stack.enter_context(CameraWatcher(store))
        worker = LearningWorker(
            settings, bus, store, Assignment(LEARNING.name, bus, leases), cameras
        )
        stack.callback(worker.end)
        log.info("learning is up")
        outage = OutageLog()
        while not stop.is_set():
            try:
                busy = worker.step()
            except UNAVAILABLE as error:
                if outage.failed():
                    log.warning("Redis is away or refuses, waiting: %s", type(error).__name__)
                stop.wait(RETRY_AFTER_S)
            else:
                if outage.worked():
                    log.info("Redis is back")
                stop.wait(0 if busy else IDLE_S)


class LearningWorker:
    """Records and trains the cameras it owns. The store and the disk have all of its state."""

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        store: Store,
        assignment: Assignment,
        watcher: CameraWatcher,
    ) -> None:
        self.settings = settings
        self.bus = bus
        self.store = store
        self.assignment = assignment
        self.followed: dict[str, LearningCamera] = {}
        self._watcher = watcher
        self.replays = ReplayRuns(lambda job: ReplayRun(settings, bus, store, job))
        self.self_tests = SelfTests(settings, bus, store)
        self._live = LiveLoad(bus, settings.learning_pause_s)
        self._drift = DriftWatch(bus, store)
        self._follow_at = 0.0
        self._sweep_at = 0.0
        self._disk = OutageLog()
        self._folders = OutageLog()
        self._gone_since: dict[str, float] = {}  # monotonic s
        self._trouble = NO_REASON  # of the disk, for all cameras

    @property
    def folder(self) -> Path:
        """The folder of all cameras' footage and jobs."""
        return self.settings.data_dir / FOLDER

    @property
    def is_busy(self) -> bool:
        """Whether a process of a job or a self-test is there."""
        is_training = any(one.is_training for one in self.followed.values())
        return is_training or self.replays.is_running or self.self_tests.is_running

    def step(self) -> bool:
        """Record what came, and work on the jobs; return False where no frame came."""
        now = time.monotonic()
        if now >= self._follow_at:
            self._follow_at = now + FOLLOW_EVERY_S
            self.follow()
        recording = {
            name: one.recorder.cursor for name, one in self.followed.items() if one.records
        }
        frames = self.bus.frames_after(recording, FRAMES)
        for name, new in frames.items():
            self.followed[name].record(new, may_write=not self._trouble)
        return any(len(new) == FRAMES for new in frames.values())

    def end(self) -> None:
        """Stop every training, with its state saved, and hand the cameras over."""
        for one in self.followed.values():
            one.stop()
        self.replays.stop()
        self.self_tests.stop()
        with contextlib.suppress(*UNAVAILABLE):
            self.assignment.leave_stage()

    def follow(self) -> None:
        """Follow leases, cameras and jobs."""
        for name in self.assignment.leases.poll().lost & self.followed.keys():
            log.warning("camera %s: its lease is lost", name, extra={"camera": name})
            self.followed.pop(name).stop()
            self.replays.give_up(name)
        cameras = self._watcher.cameras
        if cameras is None:
            self.assignment.rebalance({}, set(), may_give=False)
            return
        jobs = self.store.active_jobs(cameras)
        replays = self.store.active_replays(cameras)
        to_test = self.self_tests.due(cameras)
        wanted = {
            name: camera
            for name, camera in cameras.items()
            if name in jobs
            or name in replays
            or name in to_test
            or (camera.enabled and camera.learning != "off")
        }
        self.share(wanted)
        self.look_at_disk()
        pause = self.must_pause(cameras)
        self.advance(wanted, jobs, pause)
        owned = {name: replays[name] for name in replays if name in self.followed}
        self.replays.step(owned, pause=pause)
        tested = {name: wanted[name] for name in to_test if name in self.followed}
        self.self_tests.step(tested, may_start=not self.is_busy, pause=pause)
        if time.monotonic() >= self._sweep_at and not self._watcher.away:
            self._sweep_at = time.monotonic() + SWEEP_EVERY_S
            self.sweep(cameras)

    def share(self, wanted: Mapping[str, Camera]) -> None:
        """Take and give cameras, so that each worker has its part."""
        leases = self.assignment.leases
        for name in self.followed.keys() - wanted.keys():
            self.followed.pop(name).abandon()
        for name in leases.owned() - wanted.keys():
            leases.release(name)
        _, surplus = self.assignment.rebalance(wanted, set(), may_give=not self.is_busy)
        if surplus is not None:
            log.info("camera %s: given to another worker", surplus, extra={"camera": surplus})
            if surplus in self.followed:
                self.followed.pop(surplus).stop()
            self.replays.give_up(surplus)
            leases.release(surplus)
        for name in leases.owned() - self.followed.keys():
            folder = self.folder / name
            try:
                self.followed[name] = LearningCamera(self.settings, self.bus, self.store, folder)
            except OSError as error:
                if self._folders.failed():
                    log.warning("%s cannot be used: %s", folder, error.strerror)

    def must_pause(self, cameras: Mapping[str, Camera]) -> bool:
        """Tell whether a process of a job is there, and live scores are late."""
        return self.is_busy and self._live.suffers(cameras)

    def advance(
        self,
        wanted: Mapping[str, Camera],
        jobs: Mapping[str, LearningJob],
        pause: bool,
    ) -> None:
        """Bring every camera's footage and job up to date."""
        limit_bytes = self.limit_bytes()
        self._drift.follow(wanted[name] for name in self.followed)
        for name, one in self.followed.items():
            camera = wanted[name]
            job = jobs.get(name)
            if job is None and camera.learning == "auto":
                job = self.due_job(camera)
            training = sum(other.is_training for other in self.followed.values())
            one.follow(camera, job, limit_bytes)
            one.advance(camera, self._trouble, may_start=training < TRAININGS, pause=pause)

    def due_job(self, camera: Camera) -> LearningJob | None:
        """Add a job of a camera that learns by itself: its first, or the next that is due.

        None where none is due.
        """
        now = time.time()
        last = self.store.newest_job(camera.id)
        if last is not None and not self.is_due_again(camera, now - last.changed_at):
            return None
        job = LearningJob(
            camera.id,
            "queued",
            now,
            now,
            footage_s=self.settings.learning_footage_s,
            limit_s=60 * self.settings.learning_minutes,
            shadow_s=self.settings.learning_shadow_s,
            promote="rule",
        )
        with contextlib.suppress(ConflictError):  # somebody asked for one just now
            return self.store.add_job(job)
        return None

    def is_due_again(self, camera: Camera, over_s: float) -> bool:
        """Tell whether a camera learns again, by its schedule or since its values have drifted.

        over_s: since its last job was over.
        """
        every_h = camera.relearn_every_h
        if every_h is not None and over_s >= 3600 * every_h:
            return True
        return camera.relearn_on_drift and over_s >= DAY_S and self._drift.is_drifted(camera)

    # The disk

    def limit_bytes(self) -> int:
        """Return how much footage a camera may keep."""
        with contextlib.suppress(OSError):
            folders = sum((path / "footage").is_dir() for path in self.folder.iterdir())
            share = self.settings.learning_total_mb / max(1, folders)
            return int(min(self.settings.learning_camera_mb, share) * 2**20)
        return self.settings.learning_camera_mb * 2**20

    def look_at_disk(self) -> None:
        """Stop recording while the disk is nearly full; log it once at each end."""
        try:
            self._trouble = disk_shortage(self.settings.data_dir, self.settings.learning_free_mb)
        except OSError:
            return  # no such folder yet
        if self._trouble:
            if self._disk.failed():
                log.warning("%s", self._trouble)
        elif self._disk.worked():
            log.info("the disk has room again: recording goes on")

    def sweep(self, cameras: Mapping[str, Camera]) -> None:
        """Remove the footage of cameras that are no longer there."""
        now = time.monotonic()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            gone = {path.name: path for path in self.folder.iterdir() if path.name not in cameras}
            self._gone_since = {name: self._gone_since.get(name, now) for name in gone}
            for name, since in self._gone_since.items():
                if now - since >= GONE_AFTER_S:
                    log.info("camera %s was removed, and now its footage", name)
                    shutil.rmtree(gone[name], ignore_errors=True)
