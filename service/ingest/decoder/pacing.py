"""When a frame may go on, and which time it bears: three paces, one for each kind of source."""

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
LATE_S = 0.5  # a file that goes on after a break: what should have come longer ago is left out


class Pacing(Protocol):
    """`start` is called once, at the first frame; `wait` before each frame that is kept: False leaves it out."""

    def start(self, began: float) -> None: ...

    def wait(self, at_s: float, frame_id: FrameId) -> bool: ...

    def captured_at(self, at_s: float) -> float: ...


class Live:
    """A camera: a frame is captured when it comes, and nothing makes it wait."""

    def start(self, began: float) -> None:
        pass

    def wait(self, at_s: float, frame_id: FrameId) -> bool:  # noqa: ARG002
        return True

    def captured_at(self, at_s: float) -> float:  # noqa: ARG002  a camera's own clock is not ours
        return time.time()


@dataclass(slots=True)
class Realtime:
    """A file played as if it happened now: each frame at the start plus its time stamp."""

    alive: Callable[[], None]  # called while waiting
    _wall_s: float = 0.0
    _clock_s: float = 0.0
    _late_s: float = 0.0  # what was due before we came is past

    def start(self, began: float) -> None:
        """`began`: when the file's time was 0; long ago where its decoder starts again."""
        since_s = time.time() - began
        self._wall_s, self._clock_s, self._late_s = (
            began,
            time.monotonic() - since_s,
            since_s - LATE_S,
        )

    def wait(self, at_s: float, frame_id: FrameId) -> bool:  # noqa: ARG002
        while (left_s := self._clock_s + at_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.5))
            self.alive()
        return at_s >= self._late_s

    def captured_at(self, at_s: float) -> float:
        return self._wall_s + at_s


@dataclass(slots=True)
class Fast:
    """A file as quick as the line takes it: never more than `backlog` frames ahead of what inference has saved.

    So whatever dies, the frames that its successor has to see again are on the bus.
    """

    bus: Bus
    camera: str
    backlog: int
    waiting: Callable[[], None]  # called while waiting
    check: Callable[
        [], None
    ]  # called now and then while waiting: raises where the bus has lost what was added
    _wall_s: float = 0.0
    _saved: FrameId | None = None

    def start(self, began: float) -> None:
        self._wall_s = began

    def wait(self, at_s: float, frame_id: FrameId) -> bool:  # noqa: ARG002
        checked_s = time.monotonic()
        while not self._has_room(frame_id):
            self.waiting()
            time.sleep(NAP_S)
            if time.monotonic() - checked_s >= CHECK_EVERY_S:
                checked_s = time.monotonic()
                self.check()
        return True

    def captured_at(self, at_s: float) -> float:
        return self._wall_s + at_s

    def _has_room(self, frame_id: FrameId) -> bool:
        if self._ahead(frame_id) < self.backlog:
            return True
        try:
            self._saved = self.bus.snapshot_cursor(self.camera) or self._saved
        except UNAVAILABLE:
            return False
        return self._ahead(frame_id) < self.backlog

    def _ahead(self, frame_id: FrameId) -> int:
        saved = self._saved.seq if self._saved and self._saved.session == frame_id.session else -1
        return frame_id.seq - saved
