"""Pacing: when a frame is passed on and its capture time, for each of three kinds of source."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lookout.service.core.messages import FrameId
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import UNAVAILABLE

NAP_S = 0.02
CHECK_EVERY_S = 1.0
LATE_S = 0.5  # a file that goes on after a break: frames due longer ago are left out


class Pacing(Protocol):
    """The pace of a source."""

    def start(self, began: float) -> None:
        """Begin at the first frame; `began`: when the source's time was 0 (UTC s)."""

    def wait(self, at_s: float, frame_id: FrameId) -> bool:
        """Wait until the frame at source time `at_s` may pass; return False to leave it out."""

    def captured_at(self, at_s: float) -> float:
        """Return the capture time (UTC s) of the frame at source time `at_s`."""


class LivePacing:
    """A camera: frames pass at once, captured on arrival."""

    def start(self, began: float) -> None:
        """Do nothing."""

    def wait(self, at_s: float, frame_id: FrameId) -> bool:  # noqa: ARG002
        """Return True at once."""
        return True

    def captured_at(self, at_s: float) -> float:  # noqa: ARG002  a camera's own clock is not ours
        """Return the time now."""
        return time.time()


@dataclass(slots=True)
class RealtimePacing:
    """A file played as if it happened now: each frame passes at the start plus its time stamp."""

    on_wait: Callable[[], None]  # called while waiting
    _began: float = 0.0  # UTC s
    _clock_s: float = 0.0  # `_began` on the monotonic clock
    _skip_before_s: float = 0.0  # source time that was due before this decoder started

    def start(self, began: float) -> None:
        """Begin at `began`: long ago where the decoder starts again."""
        since_s = time.time() - began
        self._began = began
        self._clock_s = time.monotonic() - since_s
        self._skip_before_s = since_s - LATE_S

    def wait(self, at_s: float, frame_id: FrameId) -> bool:  # noqa: ARG002
        """Wait until the frame is due; return False for one that was due before the start."""
        while (left_s := self._clock_s + at_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.5))
            self.on_wait()
        return at_s >= self._skip_before_s

    def captured_at(self, at_s: float) -> float:
        """Return the time at which the frame was due."""
        return self._began + at_s


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
    _began: float = 0.0
    _snapshot_id: FrameId | None = None

    def start(self, began: float) -> None:
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

    def captured_at(self, at_s: float) -> float:
        """Return the source time counted from the start."""
        return self._began + at_s

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
