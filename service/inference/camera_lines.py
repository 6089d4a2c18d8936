"""The lines of the cameras that this worker owns, and the cameras that cannot be scored."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterable

from lookout.models.errors import CheckpointError
from lookout.service.core import clock
from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError, Reason
from lookout.service.core.messages import FrameId
from lookout.service.core.settings import Settings
from lookout.service.inference.batch import ReadyFrame
from lookout.service.inference.camera_line import CameraLine
from lookout.service.inference.frame_accounting import TAKEOVER
from lookout.service.inference.line_start import line_start
from lookout.service.inference.scorers import Scorers, Signature
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.snapshots import Snapshot, camera_identity, view_identity

log = logging.getLogger(__name__)

RETRY_FAILED_EVERY_S = 30.0
FETCH = 8  # frames of a camera in one go
INDEX = 4096  # frames looked at in one go when a camera lags

# Shares of the bound on a live score's age: a camera whose next frame is older than STALE continues
# with one that is younger than FRESH, so that several are scored in a row before the next jump;
# after a take-over with the first one that is not STALE.
STALE = 0.75
FRESH = 0.4


@dataclasses.dataclass(frozen=True, slots=True)
class FailedCamera:
    """A camera that cannot be scored, the reason, and the time of the next try."""

    camera: Camera
    reason: Reason
    signature: Signature | None  # of the checkpoint: another file is tried at once
    retry_at: float


class CameraLines:
    """Starts, feeds and stops lines."""

    def __init__(self, settings: Settings, bus: Bus, scorers: Scorers) -> None:
        self.running: dict[str, CameraLine] = {}
        self.failed: dict[str, FailedCamera] = {}
        self._paused: dict[str, CameraLine] = {}
        self._settings = settings
        self._bus = bus
        self._scorers = scorers

    # Starting and stopping

    def is_outdated(self, camera: Camera) -> bool:
        """Return True where camera or checkpoint changed, or a failed camera may be tried again."""
        signature = self.signature(camera.model)
        line = self.running.get(camera.id)
        failed = self.failed.get(camera.id)
        if line is not None:
            return (line.camera.revision, line.signature) != (camera.revision, signature)
        if failed is not None:
            is_same = (failed.camera.revision, failed.signature) == (camera.revision, signature)
            return not is_same or time.monotonic() >= failed.retry_at
        return True

    def start(self, camera: Camera, epoch: int, snapshot: Snapshot | None) -> None:
        """Start where the snapshot ends; without one at the oldest frame.

        With another checkpoint than the snapshot's, start at the newest frame.
        """
        signature = self.signature(camera.model)
        try:
            scorer, checkpoint_digest = self._scorers.get(camera.model)
            identity = camera_identity(camera, checkpoint_digest)
            view = view_identity(camera, scorer.checkpoint.preprocess)
            begun = line_start(
                camera,
                scorer,
                snapshot,
                identity=identity,
                view=view,
                learn_frames=self._settings.learn_frames,
            )
            line = CameraLine(
                camera,
                scorer,
                begun.state,
                self.start_position(camera.id, snapshot, begun.snapshot),
                watch=begun.watch,
                epoch=epoch,
                signature=signature,
                identity=identity,
                view=view,
                recorded_id=self._bus.cursor(camera.id),
                zones=begun.zones,
            )
        except CheckpointError as error:
            self.fail(camera, signature, Reason(error, code="model_unusable", why=str(error)))
            return
        if epoch > 1 and line.frames.accounted_id is not None:
            line.frames.resume_after_takeover()
        self.failed.pop(camera.id, None)
        self.running[camera.id] = line

    def pause(self, name: str) -> None:
        """Score no more of a camera that is being handed over; `resume` goes on, `stop` ends it."""
        line = self.running.pop(name, None)
        if line is not None:
            self._paused[name] = line

    def resume(self, name: str) -> None:
        """Go on with a paused line, if there is one, where it stood."""
        if name in self._paused:
            self.running[name] = self._paused.pop(name)

    def stop(self, name: str) -> None:
        """Stop the camera's line, and forget a failure."""
        self.running.pop(name, None)
        self._paused.pop(name, None)
        self.failed.pop(name, None)

    def fail(self, camera: Camera, signature: Signature | None, reason: Reason) -> None:
        """Stop the camera's line; it is tried again later."""
        known = self.failed.get(camera.id)
        if known is None or (known.camera, known.reason) != (camera, reason):
            log.error("camera %s: %s", camera.id, reason, extra={"camera": camera.id})
        self.running.pop(camera.id, None)
        self.failed[camera.id] = FailedCamera(
            camera, reason, signature, time.monotonic() + RETRY_FAILED_EVERY_S
        )

    def keep_checkpoints(self, models: set[str]) -> None:
        """Unload checkpoints that no camera uses."""
        self._scorers.keep_only(models)

    def signature(self, model: str) -> Signature | None:
        """Return the signature of the checkpoint's file; None where there is none."""
        try:
            return self._scorers.signature(model)
        except CheckpointError:
            return None

    def start_position(
        self, name: str, snapshot: Snapshot | None, ours: Snapshot | None
    ) -> FrameId | None:
        """Return the frame up to which everything is accounted for; None for the oldest one.

        ours: the snapshot if it belongs to this camera's checkpoint.
        """
        if ours is not None:
            return ours.cursor
        if snapshot is None:
            return None
        return max(snapshot.cursor, self._bus.cursor(name) or snapshot.cursor)

    # Feeding

    def fetch(self, lines: Iterable[CameraLine]) -> list[CameraLine]:
        """Fetch for all lines that have no frames, in one request; return lines that have some."""
        sent = {line.camera.id: line for line in lines if not line.outbox.unsent}
        cursors = {
            name: line.frames.cursor for name, line in sent.items() if not line.frames.has_fetched
        }
        if cursors:
            for name, frames in self._bus.frames_after(cursors, FETCH).items():
                sent[name].offer(frames)
        return [line for line in sent.values() if line.frames.has_fetched]

    def end_sessions(self) -> None:
        """Count the last frames of files at their ends, where their scores wait for later ones."""
        for name, line in self.running.items():
            if line.frames.waiting_id is not None and line.frames.waiting_id == self.file_end(name):
                line.end_session()

    def file_end(self, name: str) -> FrameId | None:
        """Return the last frame of a file that ingest has ended; None before that."""
        try:
            report = self._bus.ingest_report(name)
        except BrokenMessageError:
            return None
        if report is None or report.state != "ended":
            return None
        if report.session is None or report.last_seq is None:
            return None
        return FrameId(report.session, report.last_seq)

    def ready(self, lines: Iterable[CameraLine]) -> list[ReadyFrame]:
        """Return the next frame of each line that has one; score it now, while it is fresh.

        The bus may fail only before the first frame is taken: a taken frame is accounted for.
        """
        lines = list(lines)
        for line in lines:
            self.skip_stale(line)
        return [(line, frame) for line in lines if (frame := line.next_frame()) is not None]

    def skip_stale(self, line: CameraLine) -> None:
        """Skip the frames that are too old; the next one has its window all the same."""
        now = clock.now()
        if not line.frames.is_stale(now, STALE * self._settings.live_age_s):
            return
        share = STALE if line.frames.loss_reason == TAKEOVER else FRESH
        limit_s = share * self._settings.live_age_s
        times = self._bus.frame_times(line.camera.id, line.frames.accounted_id, INDEX)
        fresh = next(
            (i for i, (_, due) in enumerate(times) if due.age_s(now) <= limit_s), len(times)
        )
        line.skip(frame_id for frame_id, _ in times[:fresh])


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
