"""Numbers the frames of a camera and puts them on the bus; what happens while Redis is away, or refuses."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from service.bus import UNAVAILABLE, Bus
from service.errors import SourceLostError
from service.ingest.talk import Talk
from service.messages import Frame, FrameId, Pixels
from service.store import Store

NAP_S = 0.2


@dataclass(slots=True)
class Writer:
    """`patient`: a file at full pace waits for the bus. Anything live drops the frame, and its number is missing."""

    camera: str
    bus: Bus
    store: Store
    talk: Talk
    patient: bool
    next_id: FrameId | None = None
    _not_before_s: float = 0.0
    _uncounted: Counter[str] = field(default_factory=Counter)

    def begin(self, wait: bool) -> bool:
        """Start a session; False where the store is away, or refuses, and `wait` is not wanted."""
        while True:
            if time.monotonic() >= self._not_before_s:
                try:
                    session = self.store.next_session(self.camera, time.time())
                except UNAVAILABLE:
                    self._not_before_s = time.monotonic() + NAP_S
                else:
                    self.next_id = FrameId(session, 0)
                    self.talk.session(session)
                    return True
            if not wait:
                return False
            self.talk.alive()
            time.sleep(NAP_S)

    def write(self, pixels: Pixels, captured_at: float) -> None:
        """Put the frame on the bus under `next_id`. Raises SourceLostError where somebody else writes this camera."""
        frame_id = self._take_id()
        frame = Frame(self.camera, frame_id.session, frame_id.seq, captured_at, pixels)
        while not self._try(frame):
            if not self.patient:
                self.count("dropped_bus")
                return
            self.talk.alive()
            time.sleep(NAP_S)
        self.talk.kept(frame.seq, captured_at)

    def count(self, what: str) -> None:
        """Count now, or with the next frame that the bus takes."""
        self._uncounted[what] += 1
        if time.monotonic() >= self._not_before_s:
            self._settle()

    def damaged(self) -> None:
        """A packet that could not be decoded was passed over."""
        self.talk.damaged()
        self.count("corrupt")

    def _take_id(self) -> FrameId:
        assert self.next_id is not None, "begin() comes first"  # noqa: S101
        taken = self.next_id
        self.next_id = FrameId(taken.session, taken.seq + 1)
        return taken

    def _try(self, frame: Frame) -> bool:
        if time.monotonic() < self._not_before_s:
            return False
        try:
            self._add(frame)
        except UNAVAILABLE:
            self._not_before_s = time.monotonic() + NAP_S
            return False
        self._settle()
        return True

    def _add(self, frame: Frame) -> None:
        try:
            self.bus.add_frame(frame)
        except ValueError:  # refused as not newer: a repetition of what the bus took, or a stranger's session
            newest = self.bus.frame(self.camera)
            if newest is None or newest.id != frame.id:
                raise SourceLostError("another decoder writes this camera's frames") from None

    def _settle(self) -> None:
        try:
            for what in list(self._uncounted):
                self.bus.count(self.camera, what, self._uncounted[what])
                del self._uncounted[what]
        except UNAVAILABLE:
            self._not_before_s = time.monotonic() + NAP_S
