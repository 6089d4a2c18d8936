"""Numbers the frames of a camera and puts them on the bus; what happens while Redis is away, or refuses."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NoReturn

from lookout.service.core.camera import Camera
from lookout.service.core.errors import SourceLostError
from lookout.service.core.messages import Frame, FrameId, Pixels
from lookout.service.ingest.decoder.reporter import Talk
from lookout.service.storage.bus.bus import FENCED, LOST, REPEATED, UNOWNED, Bus
from lookout.service.storage.bus.counters import DROPPED
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.sessions import Session
from lookout.service.storage.store.store import Store

NAP_S = 0.2


@dataclass(slots=True)
class Writer:
    """`patient`: a file at full pace waits for the bus. Anything live leaves a frame out, and the next one says so."""

    camera: Camera
    token: str  # of the lease under which this worker has the camera
    bus: Bus
    store: Store
    talk: Talk
    patient: bool
    kept: int  # frames that the stream holds
    next_id: FrameId | None = None
    _behind: FrameId | None = None  # what a patient writer's next frame must follow on
    _skipped: int = 0  # numbers left out since the last frame that the bus took
    _skipped_for: str = ""
    _not_before_s: float = 0.0  # of the bus
    _store_not_before_s: float = 0.0
    _uncounted: Counter[str] = field(default_factory=Counter)

    def begin(self, wait: bool, first: int = 0, began: float = 0.0) -> bool:
        """Start a session; False where the store is away, or refuses, and `wait` is not wanted.

        first: which of the source's kept frames its frame 0 is; began: when the source's time was 0 (UTC s).
        """
        while True:
            if time.monotonic() >= self._store_not_before_s:
                try:
                    session = self.store.begin_session(
                        self.camera.id, time.time(), self.camera.revision, first, began
                    )
                except UNAVAILABLE:
                    self._store_not_before_s = time.monotonic() + NAP_S
                else:
                    self._set_out(FrameId(session, 0), None)
                    return True
            if not wait:
                return False
            self.talk.alive()
            time.sleep(NAP_S)

    def resume(self, session: Session, seq: int, behind: FrameId | None) -> None:
        """Go on with a session at `seq`; `behind`: the frame that the bus must hold as the newest."""
        self._set_out(FrameId(session.number, seq), behind)

    def end(self) -> None:
        """Say that the source was read to its end; waits for the store."""
        assert self.next_id is not None, "begin() comes first"  # noqa: S101
        while True:
            try:
                self.store.end_session(self.camera.id, self.next_id.session, self.next_id.seq)
            except UNAVAILABLE:
                self.talk.alive()
                time.sleep(NAP_S)
            else:
                return

    def write(self, pixels: Pixels, captured_at: float) -> None:
        """Put the frame on the bus under `next_id`. Raises SourceLostError where somebody else has this camera, or,
        where frames are waited for, the bus has lost some.
        """
        frame_id = self._take_id()
        of = self.camera
        frame = Frame(
            of.id,
            *frame_id,
            captured_at,
            pixels,
            of.revision,
            skipped=self._skipped,
            skipped_for=self._skipped_for,
        )
        while not self._try(frame):
            if not self.patient:
                self._leave_out("bus_restart")
                return
            self.talk.alive()
            time.sleep(NAP_S)
        self._skipped, self._behind = 0, frame_id
        self.talk.kept(frame.seq, captured_at)

    def skip(self, reason: str) -> None:
        """Leave the next frame out: its number is missing, and the frame after it says why."""
        self._take_id()
        self._leave_out(reason)

    def check(self) -> None:
        """While nothing is written: raises SourceLostError where the bus has lost what was."""
        try:
            lost = (
                self._behind is not None
                and self.bus.newest_frame_id(self.camera.id) != self._behind
            )
        except UNAVAILABLE:
            return
        if lost:
            self._give_up()

    def count(self, what: str) -> None:
        """Count now, or with the next frame that the bus takes."""
        self._uncounted[what] += 1
        if time.monotonic() >= self._not_before_s:
            self._settle()

    def close(self) -> None:
        """What no frame will tell any more is counted, if the bus is there: once, it is not waited for."""
        self._tell_skipped()
        if time.monotonic() >= self._not_before_s:
            self._settle()

    def damaged(self) -> None:
        """A packet that could not be decoded was passed over."""
        self.talk.damaged()
        self.count("corrupt")

    def _set_out(self, next_id: FrameId, behind: FrameId | None) -> None:
        self._tell_skipped()
        self.next_id, self._behind = next_id, behind
        self.talk.session(next_id.session)

    def _leave_out(self, reason: str) -> None:
        self._skipped += 1
        self._skipped_for = reason

    def _tell_skipped(self) -> None:
        """Count what was left out: the frame that would have said so does not come."""
        if self._skipped:
            self._uncounted[DROPPED + self._skipped_for] += self._skipped
            self._skipped = 0

    def _take_id(self) -> FrameId:
        assert self.next_id is not None, "begin() comes first"  # noqa: S101
        taken = self.next_id
        self.next_id = FrameId(taken.session, taken.seq + 1)
        return taken

    def _try(self, frame: Frame) -> bool:
        if time.monotonic() < self._not_before_s:
            return False
        try:
            taken = self._add(frame)
        except UNAVAILABLE:
            taken = False
        if not taken:
            self._not_before_s = time.monotonic() + NAP_S
            return False
        self._settle()
        return True

    def _add(self, frame: Frame) -> bool:
        """False where nobody owns the camera just now: our worker will, again, on a bus that was started anew."""
        behind = self._behind if self.patient else None
        answer = self.bus.add_frame(frame, self.token, kept=self.kept, behind=behind)
        if answer == LOST:
            self._give_up()
        # Refused as not newer: a repetition of what the bus took, or a stranger's session.
        stranger = answer == REPEATED and self.bus.newest_frame_id(frame.camera) != frame.id
        if answer == FENCED or stranger:
            raise SourceLostError("another worker writes this camera's frames")
        return answer != UNOWNED

    def _give_up(self) -> NoReturn:
        self.count("bus_restart")
        raise SourceLostError(
            "the bus was started anew: the file goes on from where its scores are saved"
        )

    def _settle(self) -> None:
        try:
            for what in list(self._uncounted):
                self.bus.count(self.camera.id, what, self._uncounted[what])
                del self._uncounted[what]
        except UNAVAILABLE:
            self._not_before_s = time.monotonic() + NAP_S
