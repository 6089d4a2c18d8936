"""When a frame may go on, and which time it bears: three paces, one for each kind of source."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from service.bus import UNAVAILABLE, Bus
from service.messages import FrameId

NAP_S = 0.02
LOOK_EVERY_S = 1.0


class Pacing(Protocol):
    """`start` is called once, at the first frame; `wait` before each frame that is kept."""

    def start(self) -> None: ...

    def wait(self, at_s: float, frame_id: FrameId) -> None: ...

    def captured_at(self, at_s: float) -> float: ...


class Live:
    """A camera: a frame is captured when it comes, and nothing makes it wait."""

    def start(self) -> None:
        pass

    def wait(self, at_s: float, frame_id: FrameId) -> None:
        pass

    def captured_at(self, at_s: float) -> float:  # noqa: ARG002  a camera's own clock is not ours
        return time.time()


@dataclass(slots=True)
class Realtime:
    """A file played as if it happened now: each frame at the start plus its time stamp."""

    alive: Callable[[], None]  # called while waiting
    _wall_s: float = 0.0
    _clock_s: float = 0.0

    def start(self) -> None:
        self._wall_s, self._clock_s = time.time(), time.monotonic()

    def wait(self, at_s: float, frame_id: FrameId) -> None:  # noqa: ARG002
        while (left_s := self._clock_s + at_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.5))
            self.alive()

    def captured_at(self, at_s: float) -> float:
        return self._wall_s + at_s


@dataclass(slots=True)
class Fast:
    """A file as quick as the line takes it: never more than `backlog` frames ahead of inference's cursor."""

    bus: Bus
    camera: str
    backlog: int
    waiting: Callable[[], None]  # called while waiting
    _wall_s: float = 0.0
    _done: FrameId | None = None  # every frame up to here is dealt with
    _looked_at_s: float = 0.0

    def start(self) -> None:
        self._wall_s = time.time()

    def wait(self, at_s: float, frame_id: FrameId) -> None:  # noqa: ARG002
        self._looked_at_s = time.monotonic()
        while not self._has_room(frame_id):
            self.waiting()
            time.sleep(NAP_S)
            self._pass_over_what_was_lost(frame_id)

    def captured_at(self, at_s: float) -> float:
        return self._wall_s + at_s

    def _has_room(self, frame_id: FrameId) -> bool:
        if self._ahead(frame_id) < self.backlog:
            return True
        try:
            cursor = self.bus.cursor(self.camera)
        except UNAVAILABLE:
            return False
        self._done = max(cursor or FrameId(0, 0), self._done or FrameId(0, 0))
        return self._ahead(frame_id) < self.backlog

    def _ahead(self, frame_id: FrameId) -> int:
        done = self._done.seq if self._done and self._done.session == frame_id.session else -1
        return frame_id.seq - done

    def _pass_over_what_was_lost(self, frame_id: FrameId) -> None:
        """A bus that was started anew has lost the frames that everybody waits for."""
        if time.monotonic() - self._looked_at_s < LOOK_EVERY_S:
            return
        self._looked_at_s = time.monotonic()
        last = FrameId(frame_id.session, frame_id.seq - 1)
        try:
            if self.bus.frame(self.camera, last) is None:
                self._done = last
                self.bus.count(self.camera, "bus_restart")
        except UNAVAILABLE:
            pass
