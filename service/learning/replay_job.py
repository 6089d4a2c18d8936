"""One replay of a camera: a process of its own scores a recording, and this follows it.

Every change goes to the store, from which another worker goes on: it begins the recording again.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lookout.service.core import urls
from lookout.service.core.errors import (
    NO_REASON,
    BrokenMessageError,
    NotFoundError,
    Reason,
    RequestError,
    SourceRefusedError,
    reason_fields,
)
from lookout.service.core.replay import ReplayJob
from lookout.service.core.settings import Settings
from lookout.service.core.throttle import backoff_s
from lookout.service.learning.footage import disk_shortage, footage_folder
from lookout.service.learning.reports import TrainingReport, file_reason
from lookout.service.learning.training import TrainingProcess
from lookout.service.learning.training_files import read_json
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.camera_copy import copy_camera
from lookout.service.storage.replay_files import ReplayFiles, ReplayTask, drop_former
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

MODULE = "replay.process"
SAVE_EVERY_S = 1.0  # of progress alone
MAX_FAILURES = 3
"""A process that dies so often ends its job."""

FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 30.0
UNUSABLE = (SourceRefusedError, RequestError, NotFoundError, BrokenMessageError)


class ReplayRun:
    """The active replay of a camera that this worker owns. Methods may raise one of UNAVAILABLE."""

    def __init__(self, settings: Settings, bus: Bus, store: Store, job: ReplayJob) -> None:
        self.job = job
        self.files = ReplayFiles.of(settings.data_dir, job)
        self.process: TrainingProcess | None = None
        self._settings = settings
        self._bus = bus
        self._store = store
        self._failures = 0
        self._start_at = 0.0  # monotonic s
        self._saved_at = 0.0  # monotonic s

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self.process is not None

    def step(self, *, may_start: bool, pause: bool) -> None:
        """Do what is due. may_start: a process may be started now."""
        try:
            if self.process is None:
                self.begin(may_start)
            else:
                self.follow(self.process, pause)
        except UNUSABLE as error:
            file, said = self.job.video, error.reason
            if file:
                said = Reason(f"{file}: {error}", code="job_file", file=file, why=said)
            self.end(said)
        except OSError as error:
            self.end(file_reason(error, self.files.folder))

    def begin(self, may_start: bool) -> None:
        """Start the process, with a copy of the camera as it is now."""
        if not may_start or time.monotonic() < self._start_at:
            if self.job.state == "queued":
                said = "another replay of this worker is under way"
                self.save(reason=Reason(said, code="replay_other"))
            return
        settings = self._settings
        if shortage := disk_shortage(settings.data_dir, settings.learning_free_mb):
            self.end(shortage)
            return
        if self.job.until is None:
            path = urls.recording_path(self.job.video, settings.media_dir)
        else:
            path = footage_folder(settings.data_dir, self.job.camera)
        copy = copy_camera(settings, self._bus, self._store, self.job.camera)
        task = ReplayTask.of(settings, path, copy, self.job.options, self.job.until, self.playing())
        known = self._store.replays([self.job.camera])
        drop_former(settings.data_dir, self.job.camera, {str(one.number) for one in known})
        self.files.ask(task)
        if self.save(state="running", reason=NO_REASON, progress=0.0):
            self.process = TrainingProcess(self.files.folder, MODULE)

    def playing(self) -> tuple[str, float]:
        """Return the file that the camera plays, and when its time was 0 (s, UTC).

        An empty path where the camera plays none, it is gone, or the job is of a recording.
        """
        camera = self._store.camera(self.job.camera)
        session = self._store.session(camera.id)
        if self.job.until is None or session is None or not urls.is_file(camera.url):
            return "", 0.0
        if session.revision != camera.revision:  # it may have been another file
            return "", 0.0
        with contextlib.suppress(SourceRefusedError):
            return str(urls.file_path(camera.url, self._settings.media_dir)), session.began.utc_s
        return "", 0.0

    def follow(self, process: TrainingProcess, pause: bool) -> None:
        """Follow the process to its end."""
        code = process.exit_code()
        if code is None:
            process.pause(pause)
            if pause != self.job.paused or time.monotonic() - self._saved_at >= SAVE_EVERY_S:
                self.save(progress=round(process.report.progress, 3), paused=pause)
            return
        result = read_json(self.files.result, TrainingReport)
        self.process = None
        if result is not None:
            self.end(result.reason)
            return
        self._failures += 1
        words = process.last_words()
        reason = f"its process ended with code {code}" + f" ({words})" * bool(words)
        if self._failures >= MAX_FAILURES:
            said = f"{reason}, {self._failures} times"
            self.end(Reason(said, code="job_died", exit=code, times=self._failures, words=words))
            return
        wait_s = backoff_s(FIRST_BACKOFF_S, MAX_BACKOFF_S, self._failures)
        self._start_at = time.monotonic() + wait_s
        about = {"camera": self.job.camera}
        log.warning("job %s: %s; begun again in %.0f s", self.job.id, reason, wait_s, extra=about)

    def end(self, error: Reason) -> None:
        """End the job: done, or failed with one line, and then without a file."""
        self.stop()
        if error:
            if self.save(state="failed", reason=error, paused=False):
                self.drop()
        elif self.save(state="done", reason=NO_REASON, progress=1.0, paused=False):
            self.files.forget_task()

    def stop(self) -> None:
        """End the process; another worker begins again."""
        if self.process is not None:
            self.process.stop()
            self.process = None

    def abandon(self) -> None:
        """End the work on a job that is over: it was cancelled, or its camera removed."""
        self.stop()
        self.drop()

    def drop(self) -> None:
        """Remove the files; log where that cannot be done."""
        try:
            self.files.drop()
        except OSError as error:
            log.warning("%s cannot be removed: %s", self.files.folder, error.strerror)

    def save(self, **changes: Any) -> bool:
        """Write changes of the job; return False where it is not in its state any more."""
        if "reason" in changes:
            changes |= reason_fields("reason", changes["reason"])
        changed = replace(self.job, **changes)
        if changed == self.job:
            return True
        saved = self._store.save_replay(self.job, changed)
        if saved is None:
            return False
        if saved.state != self.job.state:
            because = f": {saved.reason}" if saved.reason else ""
            about = {"camera": saved.camera}
            log.info("job %s: %s%s", saved.id, saved.state, because, extra=about)
        self.job = saved
        self._saved_at = time.monotonic()
        return True


class ReplayRuns:
    """The replays of the cameras that a worker owns; one process at most."""

    def __init__(self, make: Callable[[ReplayJob], ReplayRun]) -> None:
        """make: returns the run of a job."""
        self.runs: dict[str, ReplayRun] = {}
        self._make = make

    @property
    def is_running(self) -> bool:
        """Whether a process is there."""
        return any(run.is_running for run in self.runs.values())

    def step(self, jobs: dict[str, ReplayJob], *, pause: bool) -> None:
        """Work on the active replays of the owned cameras, by camera; abandon others."""
        for name, run in list(self.runs.items()):
            if name not in jobs or jobs[name].number != run.job.number:
                self.runs.pop(name).abandon()
        for name, job in jobs.items():
            run = self.runs.setdefault(name, self._make(job))
            run.step(may_start=not self.is_running, pause=pause)
            if not run.job.is_active:
                del self.runs[name]

    def give_up(self, name: str) -> None:
        """Stop the work on a camera that another worker has now."""
        if name in self.runs:
            self.runs.pop(name).stop()

    def stop(self) -> None:
        """Stop all of it."""
        for name in list(self.runs):
            self.give_up(name)
