"""The sources of a replay's frames.

Those of a recording are made by the same pipeline as those of a camera that plays it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lookout.models.arrays import Pixels
from lookout.models.media.clip_reader import named_errors, noting_the_end
from lookout.models.media.container import open_video, usual_step_s
from lookout.models.media.decode import pictures
from lookout.models.media.preprocess import Preprocess
from lookout.models.media.timeline import Sampler, Timeline
from lookout.service.core.camera import Camera
from lookout.service.core.clock import EPOCH, Moment
from lookout.service.core.messages import Frame, FrameId
from lookout.service.ingest.decoder.frame_pipeline import FramePipeline
from lookout.service.ingest.decoder.pacing import Capture
from lookout.service.storage.store.sessions import Session

MOST_NOTICES = 20


@dataclass(slots=True)
class NoPacing:
    """A recording that is read as fast as it can be scored. A `Pacing`."""

    _began: Moment = EPOCH

    def note(self, at_s: float, stamped: bool) -> None:
        """Do nothing."""

    def start(self, began: Moment) -> None:
        """Count capture times from `began`."""
        self._began = began

    def wait(self, at_s: float, frame_id: FrameId) -> bool:  # noqa: ARG002
        """Return True at once."""
        return True

    def capture(self, at_s: float) -> Capture:
        """Return the recording's time counted from the start."""
        return Capture(self._began.shifted(at_s))


@dataclass(slots=True)
class FrameCollector:
    """Keeps the frames of a pipeline until they are taken. A `SessionWriter`."""

    camera: Camera
    least_session: int  # of the next session: greater than any that the camera had
    next_id: FrameId | None = None
    frames: int = 0
    damaged: int = 0
    notices: list[str] = field(default_factory=list)
    _collected: list[Frame] = field(default_factory=list)

    def begin(self, wait: bool, first: int = 0, began: Moment = EPOCH) -> bool:  # noqa: ARG002
        """Start a session."""
        session = max(self.least_session, round(1000 * began.utc_s))
        self.least_session = session + 1
        self.next_id = FrameId(session, 0)
        return True

    def resume(self, session: Session, seq: int, behind: FrameId | None) -> None:  # noqa: ARG002
        """Go on with a session at `seq`."""
        self.next_id = FrameId(session.number, seq)

    def write(self, pixels: Pixels, capture: Capture) -> None:
        """Keep a frame."""
        assert self.next_id is not None, "begin() comes first"  # noqa: S101
        at = capture.moment.utc_s
        frame = Frame(self.camera.id, *self.next_id, at, pixels, self.camera.revision)
        self._collected.append(frame)
        self.frames += 1
        self.skip("")

    def skip(self, reason: str) -> None:  # noqa: ARG002
        """Leave a number unused."""
        assert self.next_id is not None, "begin() comes first"  # noqa: S101
        self.next_id = FrameId(self.next_id.session, self.next_id.seq + 1)

    def count(self, counter: str) -> None:
        """Do nothing: a session can always begin."""

    def note_progress(self) -> None:
        """Do nothing."""

    def note_last(self, seq: int, captured: Moment) -> None:
        """Do nothing: a recording is read from its start."""

    def notice(self, text: str) -> None:
        """Keep a line for a person."""
        self.notices.append(text)

    def note_damage(self) -> None:
        """Count a packet or picture that was passed over."""
        self.damaged += 1

    def take(self) -> list[Frame]:
        """Return the frames since the last call."""
        taken = self._collected
        self._collected = []
        return taken


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """A frame of a recording, and the picture that it was made of."""

    frame: Frame
    picture: Pixels  # (H, W, 3) uint8 RGB, as decoded


class ReplaySource(Protocol):
    """Frames to replay. `frames` and `notes` grow while they are read."""

    @property
    def name(self) -> str:
        """Name of the file; empty where it is none."""

    @property
    def frames(self) -> int:
        """Frames so far."""

    def notes(self) -> list[str]:
        """Return what is to be known of the frames, a line each."""

    def frames_after(self, least_session: int) -> Iterator[RecordedFrame]:
        """Yield the frames; their sessions are `least_session` or later. Raises VideoError."""


class RecordedFrames:
    """Reads a recording as a camera's own source, once. A `ReplaySource`."""

    def __init__(self, path: Path, camera: Camera, size: Preprocess, began_s: float) -> None:
        """began_s: when it began (s, UTC)."""
        self.ends: list[str] = []  # that it is cut off, where it is
        self.size_px: tuple[int, ...] | None = None  # (height, width) of its first picture
        self.collected = FrameCollector(camera, 0)
        self._path = path
        self._camera = camera
        self._preprocess = size
        self._began_s = began_s

    @property
    def name(self) -> str:
        """Name of the file."""
        return self._path.name

    @property
    def frames(self) -> int:
        """Frames so far."""
        return self.collected.frames

    def notes(self) -> list[str]:
        """Return what is to be known of the recording, a line each."""
        notes = [f"the recording is cut off: {end}" for end in self.ends]
        notes += self.collected.notices[:MOST_NOTICES]
        if self.collected.damaged:
            notes.append(f"{self.collected.damaged} packets or pictures are damaged")
        return notes

    def frames_after(self, least_session: int) -> Iterator[RecordedFrame]:
        """Yield every frame that a camera would keep. Raises VideoError."""
        collected = self.collected
        collected.least_session = least_session
        with open_video(self._path) as container, named_errors(self._path):
            step_s = usual_step_s(container)
            pipeline = FramePipeline(
                collected,
                NoPacing(),
                self._preprocess,
                Sampler(self._camera.fps),
                Timeline(step_s),
                is_file=True,
            )
            pipeline.start_pacing(Moment(self._began_s))
            for picture in noting_the_end(pictures(container, collected.note_damage), self.ends):
                if self.size_px is None:
                    self.size_px = picture.rgb.shape[:2]
                pipeline.take(picture)
                for frame in collected.take():
                    yield RecordedFrame(frame, picture.rgb)
