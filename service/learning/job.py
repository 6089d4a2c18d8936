"""One job of a camera: it waits for footage, trains in a process of its own, and is promoted.

Every change goes to the store, from which another worker goes on. What it cannot do ends it with
one line, and the camera's present model goes on scoring.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lookout.models.checkpoint.header import read_header
from lookout.models.errors import CheckpointError
from lookout.service.core.camera import Camera
from lookout.service.core.errors import (
    NO_REASON,
    ConflictError,
    Reason,
    RequestError,
    SourceRefusedError,
    reason_fields,
)
from lookout.service.core.jobs import LearningJob, shadow_shortfall, shortfall
from lookout.service.core.settings import Settings
from lookout.service.core.throttle import backoff_s
from lookout.service.learning.checkpoints import install, start_checkpoints
from lookout.service.learning.footage import Segment, read_segments
from lookout.service.learning.recording_files import RecordingFiles, live_view, recording_request
from lookout.service.learning.reports import TrainingReport, file_reason
from lookout.service.learning.sufficiency import Recorded, lack_of_footage
from lookout.service.learning.training import TrainingProcess
from lookout.service.learning.training_files import (
    PICTURE,
    ShadowRequest,
    TrainingFiles,
    TrainingRequest,
)
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.camera_changes import promote
from lookout.service.storage.pictures import keep, left_out_folder
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

LIBRARIES = ("torch", "scipy", "sklearn")
"""What training needs, and a stage without them can tell."""

SAVE_EVERY_S = 1.0  # of progress alone
SHADOW_SEGMENTS = 30
"""Segments of live footage that old and new are compared on: some five minutes of computing."""

SHADOW_LATE_S = 10.0
"""How long after the shadow's time footage of it may still come from the bus: under load."""

OTHER_JOB = Reason("another job of this worker trains", code="job_other")
FILES_GONE = Reason("its files are not here: it begins anew", code="job_anew")

MAX_FAILURES = 5
"""A training process that dies so often ends its job."""

FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 60.0


class CameraJob:
    """The active job of a camera that this worker owns. Methods may raise one of UNAVAILABLE."""

    def __init__(
        self, settings: Settings, bus: Bus, store: Store, job: LearningJob, folder: Path
    ) -> None:
        """`folder`: of the camera's jobs."""
        self.job = job
        self.files = TrainingFiles(folder / str(job.number))
        self.recording = RecordingFiles(folder / f"{job.number}-recording")
        self._settings = settings
        self._bus = bus
        self._store = store
        self.process: TrainingProcess | None = None
        self._failures = 0
        self._shows_left_out = False
        self._start_at = 0.0  # monotonic s
        self._saved_at = 0.0  # monotonic s
        self._shadow_at = 0.0  # when the newest segment for the comparison begins, s, UTC epoch

    @property
    def is_training(self) -> bool:
        """Whether its training process is there."""
        return self.process is not None

    def step(self, camera: Camera, recorded: Recorded, *, may_start: bool, pause: bool) -> None:
        """Do what is due. may_start: a training process may be started now."""
        try:
            if self.job.state == "queued":
                self.save(state="recording")
            if self.job.state == "recording":
                self.wait_for_footage(camera, recorded, may_start, pause)
            elif self.job.state == "training":
                self.train(camera, may_start, pause)
            elif self.job.state == "shadow":
                self.shadow(camera, recorded, may_start, pause)
        except SourceRefusedError as error:
            file = self.job.recording
            said = f"{file}: {error}"
            self.end_failed(Reason(said, code="job_file", file=file, why=error.reason))
        except OSError as error:
            self.end_failed(file_reason(error, self.files.folder))

    def save(self, **changes: Any) -> bool:
        """Write changes of the job; return False where it is not in its state any more."""
        if "reason" in changes:
            changes |= reason_fields("reason", changes["reason"])
        changed = replace(self.job, **changes)
        if changed == self.job:
            return True
        saved = self._store.save_job(self.job, changed)
        if saved is None:
            return False
        if saved.state != self.job.state:
            about = {"camera": saved.camera}
            because = f": {saved.reason}" if saved.reason else ""
            log.info("job %s: %s%s", saved.id, saved.state, because, extra=about)
        self.job = saved
        self._saved_at = time.monotonic()
        return True

    def end_failed(self, reason: Reason) -> None:
        """End the job; what it has trained is dropped."""
        self.stop()
        if self.save(state="failed", reason=reason, left_s=None, paused=False):
            self.drop_files()

    def stop(self) -> None:
        """End the training process, with its state saved."""
        if self.process is not None:
            self.process.stop()
            self.process = None

    def abandon(self) -> None:
        """End the work on a job that is over: it was cancelled, or its camera removed."""
        self.stop()
        self.drop_files()

    def drop_files(self) -> None:
        """Remove the job's files; log where that cannot be done."""
        try:
            self.files.drop()
            self.recording.drop()
        except OSError as error:
            log.warning("%s cannot be removed: %s", self.files.folder, error.strerror)

    # Footage

    def wait_for_footage(
        self, camera: Camera, recorded: Recorded, may_start: bool, pause: bool
    ) -> None:
        """Begin to train where there is enough; else report what is there, or give up."""
        try:
            starts = start_checkpoints(self._settings.model_folders, camera.model)
            size = read_header(next(iter(starts.values()))).preprocess
        except CheckpointError as error:
            said = f"the camera's model cannot be trained: {error}"
            self.end_failed(Reason(said, code="job_model", why=str(error)))
            return
        if self.job.recording:
            self.read_recording(camera, starts, may_start=may_start, pause=pause)
            return
        sides = (size.width_px, size.height_px)
        kept = self.without_dropped(recorded.segments)
        usable = [one for one in kept if (one.width_px, one.height_px) == sides]
        reason = lack_of_footage(self.job.footage_s, recorded, usable, sides)
        if obstacle := self.obstacle(recorded, reason):
            self.end_failed(obstacle)
        elif reason or not may_start:
            self.report_footage(usable, reason or OTHER_JOB)
        else:
            self.begin_training(camera, usable, starts)

    def read_recording(
        self,
        camera: Camera,
        starts: Mapping[str, Path],
        *,
        may_start: bool,
        pause: bool,
    ) -> None:
        """Read the job's recording in a process of its own; begin to train once that is over."""
        result = self.recording.result()
        if result is not None:
            self.stop()
            if result.error or (obstacle := self.installation_obstacle()):
                self.end_failed(result.reason or obstacle)
            else:
                segments = read_segments(self.recording.segments)
                self.begin_training(camera, self.without_dropped(segments), starts)
        elif self.process is not None:
            if (code := self.process.exit_code()) is not None:
                self.note_death(code)
                return
            self.process.pause(pause)
            self.report_progress(self.process.report.progress, None)
        elif may_start and time.monotonic() >= self._start_at:
            first = read_header(next(iter(starts.values())))
            request = recording_request(self._settings, self._bus, camera, self.job, first)
            self.recording.ask(request, live_view(self._bus, camera.id))
            self.process = TrainingProcess(self.recording.folder, "learning.recording")
            self.save(reason=NO_REASON)
        else:
            self.save(reason=OTHER_JOB)

    def obstacle(self, recorded: Recorded, lack: Reason) -> Reason:
        """Return why the job cannot end well, in one line; empty where it may.

        lack: of footage, in one line.
        """
        if movement := recorded.normality.movement(self.job.created_at, time.time()):
            return movement
        hours = self._settings.learning_wait_h
        if lack and time.time() - self.job.created_at > 3600 * hours:
            said = f"not enough footage in {hours:g} h: {lack}"
            return Reason(said, code="job_waited", hours=hours, why=lack)
        return self.installation_obstacle()

    def installation_obstacle(self) -> Reason:
        """Return why nothing can be trained here, in one line; empty where it can."""
        folder = self._settings.model_folders[0]
        if folder.exists() and not os.access(folder, os.W_OK):
            said = f"the models folder {folder} cannot be written: the checkpoint has no place"
            return Reason(said, code="job_models_folder", folder=str(folder))
        if missing := [name for name in LIBRARIES if find_spec(name) is None]:
            said = f"{missing[0]} is not installed: pip install 'lookout[train]'"
            return Reason(said, code="job_not_installed", name=missing[0])
        return NO_REASON

    def without_dropped(self, segments: Iterable[Segment]) -> list[Segment]:
        """Return the segments but those that a person said are not normal."""
        known = self._store.left_out(self.job.camera)
        dropped = {name for name, one in known.items() if one.answer == "drop"}
        return [one for one in segments if str(one.first) not in dropped]

    def report_footage(self, usable: Sequence[Segment], reason: Reason) -> None:
        """Save how much footage there is, now and then, and why training does not begin."""
        if time.monotonic() - self._saved_at < SAVE_EVERY_S:
            return
        recorded_s = sum(one.seconds for one in usable)
        left_s = None
        if recorded_s:
            waited_s = time.time() - self.job.created_at
            left_s = max(0.0, self.job.footage_s - recorded_s) * waited_s / recorded_s
        self.save(
            recorded_s=round(recorded_s, 1),
            progress=round(min(1.0, recorded_s / self.job.footage_s), 3),
            left_s=left_s,
            reason=reason,
        )

    # Training

    def begin_training(
        self, camera: Camera, usable: Sequence[Segment], starts: Mapping[str, Path]
    ) -> None:
        """Keep the footage as it is now, and start the process."""
        present = next(iter(starts))
        answers = self._store.left_out(camera.id)
        normal = {name for name, one in answers.items() if one.answer == "include"}
        included = tuple(one.path.name for one in usable if str(one.first) in normal)
        request = TrainingRequest(camera.id, self.job.number, self.job.limit_s, present, included)
        self.files.freeze(usable, starts, request)
        recorded_s = round(sum(one.seconds for one in usable), 1)
        began = self.save(
            state="training",
            recorded_s=recorded_s,
            progress=0.0,
            left_s=None,
            reason=NO_REASON,
            replaces=camera.model,
            is_first_network=camera.model != present,
        )
        if began:
            self.recording.drop()
            self.process = TrainingProcess(self.files.folder)

    def train(self, camera: Camera, may_start: bool, pause: bool) -> None:
        """Follow the training process; start it again where it died."""
        result = self.files.result()
        if result is not None:
            self.stop()
            self.finish_training(camera, result)
            return
        if self.process is None:
            self.resume(may_start)
            return
        code = self.process.exit_code()
        if code is not None:
            self.note_death(code)
            return
        self.process.pause(pause)
        report = self.process.report
        if report.left_out:
            self.show_left_out()
        changed = pause != self.job.paused
        if changed or time.monotonic() - self._saved_at >= SAVE_EVERY_S:
            self.save(
                progress=round(report.progress, 3),
                left_s=report.left_s,
                before=report.before,
                after=report.after,
                left_out=report.left_out,
                started_from=report.started_from,
                paused=pause,
            )

    def show_left_out(self) -> None:
        """Keep, once, what the training left out: for a person's answer, with pictures."""
        if self._shows_left_out:
            return
        segments = self.files.left_out_segments(self.job.number)
        folder = left_out_folder(self._settings.data_dir, self.job.camera)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            for one, picture in segments.items():
                keep(folder / f"{one.id}{PICTURE}", picture)
        except OSError as error:  # the training goes on without them
            log.warning("job %s: no pictures of what it leaves out: %s", self.job.id, error)
        self._store.save_left_out(self.job.camera, list(segments))
        self._shows_left_out = True

    def resume(self, may_start: bool) -> None:
        """Start the process on the job's files; record anew where they are not here."""
        if self.files.request() is None:
            self.save(state="recording", reason=FILES_GONE)
        elif may_start and time.monotonic() >= self._start_at:
            self.process = TrainingProcess(self.files.folder)

    def note_death(self, code: int) -> None:
        """Start a process that died again, later each time; end the job at the last one."""
        words = self.process.last_words() if self.process is not None else ""
        self.process = None
        self._failures += 1
        reason = f"its training process ended with code {code}"
        if words:
            reason += f" ({words})"
        if self._failures >= MAX_FAILURES:
            said = f"{reason}, {self._failures} times"
            self.end_failed(
                Reason(said, code="job_died", exit=code, times=self._failures, words=words)
            )
            return
        wait_s = backoff_s(FIRST_BACKOFF_S, MAX_BACKOFF_S, self._failures)
        self._start_at = time.monotonic() + wait_s
        about = {"camera": self.job.camera}
        log.warning("job %s: %s; it goes on in %.0f s", self.job.id, reason, wait_s, extra=about)

    # The new checkpoint

    def finish_training(self, camera: Camera, result: TrainingReport) -> None:
        """Compare the new checkpoint on live footage, or end the job."""
        self.show_left_out()
        if result.error or result.before is None or result.after is None:
            self.end_failed(
                result.reason or Reason("training gave no figures", code="job_no_figures")
            )
            return
        figures = {
            "before": result.before,
            "after": result.after,
            "left_out": result.left_out,
            "started_from": result.started_from,
            "paused": False,
        }
        if result.after.psnr_db <= result.before.psnr_db:
            self.save(**figures)
            self.end_failed(
                Reason(
                    f"training made nothing better: held-out PSNR {result.after.psnr_db:.2f} dB, "
                    f"and {result.before.psnr_db:.2f} dB before it: the present checkpoint stays",
                    code="job_not_better",
                    after=round(result.after.psnr_db, 2),
                    before=round(result.before.psnr_db, 2),
                )
            )
        elif self.job.shadow_s:
            threshold = camera.alert.threshold or self._settings.alert_threshold
            self.files.ask_for_shadow(ShadowRequest(camera.score, threshold))
            self.save(state="shadow", progress=0.0, left_s=self.job.shadow_s, **figures)
        elif self.save(**figures):
            self.install(camera, shortfall(result.before, result.after))

    def shadow(self, camera: Camera, recorded: Recorded, may_start: bool, pause: bool) -> None:
        """Keep live footage for a while; then let a process compare old and new on it."""
        before = self.job.before
        after = self.job.after
        if self.files.shadow_request() is None or before is None or after is None:
            self.save(state="recording", reason=FILES_GONE)
            return
        result = self.files.shadow_result()
        if result is not None:
            self.stop()
            lack = result.reason or shortfall(before, after)
            if result.shadow is not None:
                lack = lack or shadow_shortfall(result.shadow)
            if self.save(shadow=result.shadow):
                self.install(camera, lack)
            return
        left_s = self.job.changed_at + self.job.shadow_s - time.time()
        if left_s > 0:
            self.keep_live(recorded)
            self.report_progress(1 - left_s / self.job.shadow_s, left_s)
        elif not self.files.shadow.is_dir():
            self.keep_live(recorded)  # what was on its way from the bus when the time was over
            if left_s <= -SHADOW_LATE_S:
                said = "no footage came to compare old and new on"
                self.install(camera, Reason(said, code="job_no_live"))
        elif self.process is None:
            if may_start and time.monotonic() >= self._start_at:
                self.process = TrainingProcess(self.files.folder, "learning.shadow")
        elif (code := self.process.exit_code()) is not None:
            self.note_death(code)
        else:
            self.process.pause(pause)
            self.report_progress(self.process.report.progress, None)

    def keep_live(self, recorded: Recorded) -> None:
        """Keep segments that were recorded since training ended, an even selection over time."""
        since_ms = round(self.job.changed_at * 1000)
        spacing_s = self.job.shadow_s / SHADOW_SEGMENTS
        for segment in recorded.segments:
            begins_s = segment.begins_ms / 1000
            if segment.begins_ms >= since_ms and begins_s >= self._shadow_at + spacing_s:
                self._shadow_at = begins_s
                self.files.keep_for_shadow(segment)

    def report_progress(self, progress: float, left_s: float | None) -> None:
        """Save the progress, now and then."""
        if time.monotonic() - self._saved_at >= SAVE_EVERY_S:
            self.save(progress=round(progress, 3), left_s=left_s)

    def install(self, camera: Camera, lack: Reason) -> None:
        """Install the checkpoint, and promote it where the job's rule says so.

        lack: why the rule says no, in one line.
        """
        name = install(self._settings, self.files.calibrated, self.job, self.kept_models())
        reason = lack
        if self.job.promote == "hand":
            reason = reason or Reason("it waits to be promoted by hand", code="job_waits")
        elif camera.model not in (self.job.replaces, name):
            said = f"the camera's model was changed to {camera.model!r} meanwhile"
            reason = Reason(said, code="job_model_changed", model=camera.model)
        if not reason:
            try:
                promote(self._bus, self._store, replace(self.job, checkpoint=name))
            except ConflictError:  # somebody changed the camera just now: the next step tries again
                return
            except RequestError as error:
                reason = error.reason
        state = "trained" if reason else "promoted"
        if self.save(state=state, reason=reason, checkpoint=name, progress=1.0, left_s=0.0):
            self.drop_files()

    def kept_models(self) -> set[str]:
        """Return the models of all cameras, and those that this camera can go back to."""
        used = {camera.model for camera in self._store.cameras().values()}
        return used | {one.model for one in self._store.former_models(self.job.camera)}
