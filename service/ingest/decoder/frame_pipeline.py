"""Take every decoded picture through time, sampling, session, pace, preprocessing and the bus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from lookout.models.arrays import Pixels
from lookout.models.media.decode import Picture
from lookout.models.media.preprocess import Preprocess
from lookout.models.media.timeline import Sampler, Timeline
from lookout.service.core import clock
from lookout.service.core.clock import EPOCH, Moment
from lookout.service.core.errors import Reason
from lookout.service.core.messages import FrameId
from lookout.service.ingest.decoder.limits import RestartLimit
from lookout.service.ingest.decoder.pacing import Capture, Pacing
from lookout.service.ingest.decoder.resume import ResumePosition
from lookout.service.storage.store.sessions import Session


class SessionWriter(Protocol):
    """Numbers the frames of a source, session by session, and takes them."""

    next_id: FrameId | None

    def begin(self, wait: bool, first: int = 0, began: Moment = EPOCH) -> bool:
        """Start a session; return False where it cannot begin now."""

    def resume(self, session: Session, seq: int, behind: FrameId | None) -> None:
        """Go on with a session at `seq`."""

    def write(self, pixels: Pixels, capture: Capture) -> None:
        """Take the frame `next_id`; pixels: uint8 (H, W, 3) RGB."""

    def skip(self, reason: str) -> None:
        """Leave the frame `next_id` out."""

    def count(self, counter: str) -> None:
        """Count one event."""

    def note_progress(self) -> None:
        """Take note that the source goes on."""

    def note_last(self, seq: int, captured: Moment) -> None:
        """Take note of the last frame of a session of which nothing is left."""

    def notice(self, said: Reason) -> None:
        """Take note of something that a person should know of."""


class FramePipeline:
    """The pipeline of one source, from its first picture to its end."""

    def __init__(
        self,
        writer: SessionWriter,
        pacing: Pacing,
        preprocess: Preprocess,
        sampler: Sampler,
        timeline: Timeline,
        *,
        is_file: bool,
        resume: ResumePosition | None = None,
        on_capture: Callable[[float | None, float], None] | None = None,
    ) -> None:
        """Set up the pipeline.

        A file waits for the store before its first frame, and may go on at `resume`; a camera
        drops frames instead. on_capture: is given each kept picture's own time stamp (s) and
        when it was captured (s, UTC).
        """
        self.size: tuple[int, ...] | None = None  # (height, width) of the session's pictures
        self._writer = writer
        self._pacing = pacing
        self._preprocess = preprocess
        self._sampler = sampler
        self._timeline = timeline
        self._is_file = is_file
        self._resume = resume
        self._on_capture = on_capture
        self._index = -1  # of the last frame that the sampler kept
        self._began: Moment | None = None  # when the source's time was 0
        self._jumped = False  # the source's clock jumped, and no session has begun since
        self._restarts = RestartLimit()

    def run(self, stream: Iterator[Picture]) -> None:
        """Take every picture of the stream. Raises SourceLostError."""
        for picture in stream:
            self.take(picture)
            self._writer.note_progress()
        if self._resume is not None:  # the file ends before the position: nothing is left to do
            resume = self._resume
            self.go_on(resume, (0, 0))
            if resume.seq:  # alerting waits for inference to be past the session's last frame
                self._writer.note_last(resume.seq - 1, resume.session.began)

    def take(self, picture: Picture) -> None:
        """Take one picture: write it, skip it, or leave it out."""
        at_s = self._timeline.at(picture.pts_s)
        self._pacing.note(at_s, self._timeline.stamped)
        self._jumped |= self._timeline.jumped
        if not self._sampler.keeps(at_s):
            return
        self._index += 1
        size = picture.rgb.shape[:2]
        if self._resume is not None:
            if self._index < self._resume.index:  # on the bus, or scored, already
                self._jumped = False
                return
            self.go_on(self._resume, size)
        if not self.ensure_session(size):
            return
        assert self._writer.next_id is not None  # noqa: S101
        if self._pacing.wait(at_s, self._writer.next_id):
            capture = self._pacing.capture(at_s)
            if self._on_capture is not None:
                self._on_capture(picture.pts_s, capture.moment.utc_s)
            self._writer.write(self._preprocess(picture.rgb), capture)
        else:
            self._writer.skip("takeover")

    def go_on(self, resume: ResumePosition, size: tuple[int, ...]) -> None:
        """Go on with the session of an earlier decoder."""
        self._writer.resume(resume.session, resume.seq, resume.behind)
        self.start_pacing(resume.session.began)
        self.size = size
        self._resume = None
        self._jumped &= resume.seq > 0  # a jump at frame 0 is the session's own beginning

    def ensure_session(self, size: tuple[int, ...]) -> bool:
        """Return whether a session runs for pictures of this size; begin one where none does.

        size: (height, width). A jump of the clock or another size needs a new session.
        """
        former = self.size
        if size == former and not self._jumped:
            return True
        began = clock.now() if self._began is None else self._began
        if not self._writer.begin(wait=self._is_file, first=self._index, began=began):
            self._writer.count("dropped_store")
            return False
        self.size = size
        self._jumped = False
        if former is None:
            self.start_pacing(began)
            return True
        notice = Reason("the stream's clock jumped", code="source_clock")
        if size != former:
            sizes = (size_text(former), size_text(size))
            said = f"frame size changed from {sizes[0]} to {sizes[1]}"
            notice = Reason(said, code="source_size", before=sizes[0], after=sizes[1])
        self._writer.notice(notice)
        if not self._is_file:
            self._restarts.add(time.monotonic())
        return True

    def start_pacing(self, began: Moment) -> None:
        """Pace the frames from `began`, when the source's time was 0."""
        self._began = began
        self._pacing.start(began)


def size_text(size: tuple[int, ...]) -> str:
    """Return a size (height, width) as `640x480`: width first."""
    return f"{size[1]}x{size[0]}"
