"""One camera as the learning stage has it: its recording, what is normal, and its job."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from lookout.models.media.atomic_file import write_text
from lookout.service.core import urls
from lookout.service.core.camera import Camera
from lookout.service.core.errors import NO_REASON, Reason
from lookout.service.core.jobs import LearningJob
from lookout.service.core.messages import Frame
from lookout.service.core.settings import Settings
from lookout.service.core.throttle import OutageLog
from lookout.service.learning.footage import FootageFolder
from lookout.service.learning.job import CameraJob
from lookout.service.learning.normality import Normality, read_normality
from lookout.service.learning.recorder import Recorder
from lookout.service.learning.reports import file_reason
from lookout.service.learning.sufficiency import Recorded
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

NORMALITY_EVERY_S = 2.0
DAY_S = 86_400.0
SOURCE = "source"
"""File with a digest of the address, without its password, that the footage comes from."""


class LearningCamera:
    """A camera that this worker owns. Methods may raise one of UNAVAILABLE."""

    def __init__(self, settings: Settings, bus: Bus, store: Store, folder: Path) -> None:
        """`folder`: of this camera. Raises OSError where it cannot be read."""
        self.footage = FootageFolder(folder / "footage")
        self.recorder = Recorder(self.footage)
        self.job: CameraJob | None = None
        self.records = False
        self._settings = settings
        self._bus = bus
        self._store = store
        self._folder = folder
        self._normality = Normality([])
        self._normality_at = 0.0
        self._recorded = 0  # frames
        self._excluded = 0
        self._disk = OutageLog()
        self._trouble = NO_REASON  # of the disk
        self._source: str | None = None
        with contextlib.suppress(OSError):
            self._source = (folder / SOURCE).read_text()

    @property
    def is_training(self) -> bool:
        """Whether a training process of it is there."""
        return self.job is not None and self.job.is_training

    def stop(self) -> None:
        """Stop its training; another worker goes on with it."""
        if self.job is not None:
            self.job.stop()

    def abandon(self) -> None:
        """End its job, which is over."""
        if self.job is not None:
            self.job.abandon()
            self.job = None

    def follow(self, camera: Camera, job: LearningJob | None, limit_bytes: int) -> None:
        """Take the camera's settings and its active job; keep the footage within its bounds."""
        self.follow_source(camera)
        number = None if job is None else job.number
        if self.job is not None and self.job.job.number != number:
            self.abandon()
        if job is not None and self.job is None:
            jobs = self._folder / "jobs"
            self.job = CameraJob(self._settings, self._bus, self._store, job, jobs)
        waits = job is not None and job.state in ("queued", "recording", "shadow")
        self.records = camera.enabled and (camera.learning != "off" or waits)
        if time.monotonic() < self._normality_at:
            return
        self._normality_at = time.monotonic() + NORMALITY_EVERY_S
        self._normality = read_normality(self._store, camera.id)
        self.tidy(limit_bytes)

    def follow_source(self, camera: Camera) -> None:
        """Drop the footage of another address: it shows another scene."""
        source = sha256(urls.mask(camera.url).encode()).hexdigest()[:16]
        if source == self._source:
            return
        if self._source is not None or self.footage.segments:
            log.info("camera %s: another address, another recording", camera.id)
            if self.job is not None:
                said = "the camera's address was changed: it shows another scene"
                self.job.end_failed(Reason(said, code="job_address"))
        try:
            self.footage.drop(list(self.footage.segments))
            write_text(self._folder / SOURCE, source)
        except OSError as error:
            self.note_disk(error)
        else:
            self._source = source

    def tidy(self, limit_bytes: int) -> None:
        """Drop what turned out not to be normal, what is old, and what is too much."""
        segments = self.footage.segments
        normal = self._normality.normal(segments)
        gone = [one for one in segments if one not in normal]
        frames = sum(one.frames for one in gone)
        oldest_s = time.time() - self._settings.learning_days * DAY_S
        try:
            self.footage.drop(gone)
            self.footage.drop_before(oldest_s)
            self.footage.shrink(limit_bytes)
        except OSError as error:
            self.note_disk(error)
        self._excluded += frames
        self._recorded = max(0, self._recorded - frames)

    def record(self, frames: Sequence[Frame], *, may_write: bool) -> None:
        """Take new frames, ascending by id."""
        camera = frames[0].camera
        try:
            taken = self.recorder.take(frames, self._normality.excluded, may_write)
        except OSError as error:
            self.note_disk(error)
            return
        self._recorded += taken.recorded
        self._excluded += taken.excluded
        counts = {
            "learning_recorded": taken.recorded,
            "learning_thinned": taken.thinned,
            "learning_excluded": taken.excluded,
            "learning_missed": taken.missed,
        }
        for name, count in counts.items():
            if count:
                self._bus.count(camera, name, count)
        if taken.recorded:
            self._trouble = NO_REASON
        if self._disk.worked():
            log.info("camera %s: recording goes on", camera, extra={"camera": camera})

    def note_disk(self, error: OSError) -> None:
        """Log once that the disk takes nothing; scoring goes on without the recording."""
        self._trouble = file_reason(error, self._folder)
        if self._disk.failed():
            camera = self._folder.name
            about = {"camera": camera}
            log.warning("camera %s: not recorded: %s", camera, self._trouble, extra=about)

    def advance(self, camera: Camera, trouble: Reason, *, may_start: bool, pause: bool) -> None:
        """Work on the job, where there is one. trouble: of the disk, for all cameras."""
        if self.job is None:
            return
        normal = self._normality.normal(self.footage.segments)
        seen = self._recorded + self._excluded
        share = self._excluded / seen if seen else 0.0
        recorded = Recorded(normal, self._normality, share, trouble or self._trouble)
        self.job.step(camera, recorded, may_start=may_start, pause=pause)
        if not self.job.job.is_active:
            self.job = None
