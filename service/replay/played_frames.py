"""The frames of a period of a camera that plays a file: those of the file, at the times of then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lookout.service.core.replay import KeptPart
from lookout.service.replay.recording import RecordedFrame, RecordedFrames
from lookout.service.storage.bus.counters import WINDOW


@dataclass(slots=True)
class PlayedFrames:
    """Reads the part of a file that was played in a period, once. A `ReplaySource`.

    A frame has the number and the time that it had as the camera played it.
    """

    recording: RecordedFrames  # which began when the file's time was 0
    begins_s: float  # s, UTC
    ends_s: float
    frames: int = 0
    kept_s: float = 0.0

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.recording.name

    @property
    def part(self) -> KeptPart:
        """Share of the period in which the file was played."""
        asked_s = self.ends_s - self.begins_s
        return KeptPart(asked_s=asked_s, kept_s=round(self.kept_s, 3), segments=1, vanished=0)

    def notes(self) -> list[str]:
        """Return what is to be known of the frames, a line each."""
        part = self.part
        played = (
            f"{part.kept_s:.1f} of {part.asked_s:.0f} seconds were played by the camera from "
            f"{self.name}"
        )
        return [played, *self.recording.notes()]

    def frames_after(self, least_session: int) -> Iterator[RecordedFrame]:
        """Yield the frames of the period; their sessions are `least_session` or later.

        Raises VideoError.
        """
        session = -1
        first_s = 0.0
        for recorded in self.recording.frames_after(least_session):
            frame = recorded.frame
            if frame.captured_at < self.begins_s:
                continue
            if frame.captured_at > self.ends_s:
                return
            if not self.frames:
                first_s = frame.captured_at
            if frame.session != session:  # what was played before the period is no loss
                session = frame.session
                skipped_for = WINDOW if frame.seq else ""
                frame = replace(frame, skipped=frame.seq, skipped_for=skipped_for)
            self.frames += 1
            self.kept_s = frame.captured_at - first_s
            yield replace(recorded, frame=frame)
