"""Pacing: when a frame is passed on and its capture time, for each of three kinds of source."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from lookout.service.core import clock
from lookout.service.core.clock import EPOCH, Moment
from lookout.service.core.messages import FrameId
from lookout.service.ingest.decoder.stream_clock import Arrival, StreamClock
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import UNAVAILABLE

NAP_S = 0.02
CHECK_EVERY_S = 1.0
LATE_S = 0.5  # a file that goes on after a break: frames due longer ago are left out


class Capture(NamedTuple):
    """The capture of a frame."""

    moment: Moment
    late_s: float = 0.0  # so much later it was due: the network's time, not that of Lookout


class Pacing(Protocol):
    """The pace of a source."""

    def note(self, at_s: float, stamped: bool) -> None:
        """Take note of a picture as it comes, kept or not.

        at_s: source time; stamped: it is from the picture's own time stamp.
        """

    def start(self, began: Moment) -> None:
        """Begin at the first frame; `began`: when the source's time was 0."""

    def wait(self, at_s: float, frame_id: FrameId) -> bool:
        """Wait until the frame at source time `at_s` may pass; return False to leave it out."""

    def capture(self, at_s: float) -> Capture:
        """Return the capture time of the frame at source time `at_s`, the last one noted."""


class LivePacing:
    """A camera: frames pass at once, captured when the stream's clock says."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._clock = StreamClock()
        self._last = Arrival(0.0, 0.0)
        self._began = EPOCH

    def note(self, at_s: float, stamped: bool) -> None:
        """Take the picture's time of arrival."""
        self._last = self._clock.take(at_s, self._monotonic(), stamped=stamped)

    def start(self, began: Moment) -> None:
        """Take both clocks as they are at `began`: a later step of the wall clock moves nothing."""
        self._began = began

    def wait(self, at_s: float, frame_id: FrameId) -> bool:  # noqa: ARG002
        """Return True at once."""
        return True

    def capture(self, at_s: float) -> Capture:  # noqa: ARG002  of the picture that was noted
        """Return when the picture was filmed, and how much later it was due."""
        since_s = self._last.captured_s - (self._began.uptime_s or 0.0)
        return Capture(self._began.shifted(since_s), self._last.due_s - self._last.captured_s)


@dataclass(slots=True)
class RealtimePacing:
    """A file played as if it happened now: each frame passes at the start plus its time stamp."""

    on_wait: Callable[[], None]  # called while waiting
    _began: Moment = EPOCH
    _clock_s: float = 0.0  # `_began` on the monotonic clock
    _skip_before_s: float = 0.0  # source time that was due before this decoder started

    def note(self, at_s: float, stamped: bool) -> None:
        """Do nothing."""

    def start(self, began: Moment) -> None:
        """Begin at `began`: long ago where the decoder starts again."""
        since_s = began.age_s(clock.now())
        self._began = began
        self._clock_s = time.monotonic() - since_s
        self._skip_before_s = since_s - LATE_S

    def wait(self, at_s: float, frame_id: FrameId) -> bool:  # noqa: ARG002
        """Wait until the frame is due; return False for one that was due before the start."""
        while (left_s := self._clock_s + at_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.5))
            self.on_wait()
        return at_s >= self._skip_before_s

    def capture(self, at_s: float) -> Capture:
        """Return the time at which the frame was due."""
        return Capture(self._began.shifted(at_s))


@dataclass(slots=True)
class FastPacing:
    """A file at full pace, at most `backlog` frames ahead of inference's snapshot.

    So whatever process dies, the frames that its successor must replay are on the bus.
    """

    bus: Bus
    camera: str
    backlog: int
    on_wait: Callable[[], None]  # called while waiting
    check: Callable[[], None]  # raises where the bus has lost frames; called now and then
    _began: Moment = EPOCH
    _snapshot_id: FrameId | None = None

    def note(self, at_s: float, stamped: bool) -> None:
        """Do nothing."""

    def start(self, began: Moment) -> None:
        """Count capture times from `began`."""
        self._began = began

    def wait(self, at_s: float, frame_id: FrameId) -> bool:  # noqa: ARG002
        """Wait until the frame is within the backlog; always return True."""
        checked_s = time.monotonic()
        while not self.has_room(frame_id):
            self.on_wait()
            time.sleep(NAP_S)
            if time.monotonic() - checked_s >= CHECK_EVERY_S:
                checked_s = time.monotonic()
                self.check()
        return True

    def capture(self, at_s: float) -> Capture:
        """Return the source time counted from the start."""
        return Capture(self._began.shifted(at_s))

    def has_room(self, frame_id: FrameId) -> bool:
        """Return whether the frame is within the backlog; False while the bus is away."""
        if self.frames_ahead(frame_id) < self.backlog:
            return True
        try:
            self._snapshot_id = self.bus.snapshot_cursor(self.camera) or self._snapshot_id
        except UNAVAILABLE:
            return False
        return self.frames_ahead(frame_id) < self.backlog

    def frames_ahead(self, frame_id: FrameId) -> int:
        """Return the distance of the frame from the last snapshot of its session."""
        if self._snapshot_id and self._snapshot_id.session == frame_id.session:
            return frame_id.seq - self._snapshot_id.seq
        return frame_id.seq + 1
