"""The files of a job that learns from a recording: the task, what it gave, and the segments."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from lookout.models.arrays import Pixels
from lookout.models.checkpoint.header import Header
from lookout.models.media.atomic_file import write_bytes
from lookout.service.core import urls
from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.jobs import LearningJob
from lookout.service.core.settings import Settings
from lookout.service.learning.reports import TrainingReport
from lookout.service.learning.training_files import read_json
from lookout.service.storage.bus.bus import Bus


@dataclass(frozen=True, slots=True)
class RecordingRequest:
    """The task of the process that reads a recording, as JSON."""

    camera: str
    path: str
    width_px: int  # that the camera's model takes
    height_px: int
    fps: float | None  # frames a second that the camera is scored at; None: unknown, keep all
    footage_s: float  # of normal footage that it must hold
    limit_bytes: int  # of segments
    free_mb: int  # free disk below which nothing is written


class RecordingFiles:
    """Paths of one job's recording, beside those of its training. Methods may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.segments = folder / "segments"
        self.lock = folder / "lock"
        self._view = folder / "view.npy"
        self._request = folder / "request.json"
        self._result = folder / "result.json"

    def ask(self, request: RecordingRequest, view: Pixels | None) -> None:
        """Write the task. view: the camera's live picture, (H, W, 3) uint8 RGB, if it has one."""
        self.drop()
        self.folder.mkdir(parents=True)
        if view is not None:
            np.save(self._view, view)
        write_bytes(self._request, msgspec.json.encode(request))

    def request(self) -> RecordingRequest | None:
        """Return the task; None where it is not here."""
        return read_json(self._request, RecordingRequest)

    def view(self) -> Pixels | None:
        """Return the camera's live picture, (H, W, 3) uint8 RGB; None where there is none."""
        with contextlib.suppress(FileNotFoundError):
            return np.asarray(np.load(self._view), np.uint8)
        return None

    def result(self) -> TrainingReport | None:
        """Return the report of a reading that has come to its end; None before."""
        return read_json(self._result, TrainingReport)

    def finish(self, report: TrainingReport) -> None:
        """Write the report of the reading's end."""
        write_bytes(self._result, msgspec.json.encode(report))

    def drop(self) -> None:
        """Remove all of it."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder)


def recording_request(
    settings: Settings, bus: Bus, camera: Camera, job: LearningJob, model: Header
) -> RecordingRequest:
    """Return the task of reading a job's recording. model: of the checkpoint to train from.

    Raises SourceRefusedError where the media folder has no such file, or one of UNAVAILABLE.
    """
    seen = bus.overview([camera.id])[camera.id].inference
    live_fps = None if seen is None else seen.fps
    return RecordingRequest(
        camera.id,
        str(urls.recording_path(job.recording, settings.media_dir)),
        model.preprocess.width_px,
        model.preprocess.height_px,
        fps=camera.fps or live_fps or model.fps,
        footage_s=job.footage_s,
        limit_bytes=settings.learning_camera_mb * 2**20,
        free_mb=settings.learning_free_mb,
    )


def live_view(bus: Bus, camera: str) -> Pixels | None:
    """Return a camera's newest picture, (H, W, 3) uint8 RGB; None where there is none to see."""
    with contextlib.suppress(BrokenMessageError):
        frame = bus.frame(camera)
        if frame is not None and frame.pixels.size:
            return frame.pixels
    return None
