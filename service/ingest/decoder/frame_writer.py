"""Number the frames of a camera and add them to the bus, also while Redis is away or refuses."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NoReturn

from lookout.models.arrays import Pixels
from lookout.service.core.camera import Camera
from lookout.service.core.clock import EPOCH, Moment
from lookout.service.core.errors import Reason, SourceLostError
from lookout.service.core.messages import Frame, FrameId
from lookout.service.ingest.decoder.pacing import Capture
from lookout.service.ingest.decoder.reporter import Reporter
from lookout.service.storage.bus.bus import FENCED, LOST, REPEATED, UNOWNED, Bus
from lookout.service.storage.bus.counters import DROPPED
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.sessions import Session
from lookout.service.storage.store.store import Store

NAP_S = 0.2


@dataclass(slots=True)
class FrameWriter:
    """Write one camera's frames, session by session.

    A `patient` writer (a file at full pace) waits for the bus. Any other leaves out the frame that
    the bus does not take; the next frame carries how many were left out, and why.
    """

    camera: Camera
    token: str  # of the lease under which this worker has the camera
    bus: Bus
    store: Store
    reporter: Reporter
    patient: bool
    kept: int  # frames that the stream holds
    next_id: FrameId | None = None
    longest_session: int = 0  # frames of the longest session so far, this writer's or resumed
    _behind: FrameId | None = None  # what a patient writer's next frame must follow on
    _skipped: int = 0  # numbers left out since the last frame that the bus took
    _skipped_for: str = ""
    _not_before_s: float = 0.0  # when the bus is tried again, monotonic
    _store_not_before_s: float = 0.0
    _uncounted: Counter[str] = field(default_factory=Counter)

    def begin(self, wait: bool, first: int = 0, began: Moment = EPOCH) -> bool:
        """Start a session; return False where the store is unavailable and `wait` is False.

        first: index of its frame 0 among the source's kept frames; began: when the source's time
        was 0.
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
                    self.go_to(FrameId(session, 0), None)
                    return True
            if not wait:
                return False
            self.reporter.heartbeat()
            time.sleep(NAP_S)

    def resume(self, session: Session, seq: int, behind: FrameId | None) -> None:
        """Go on with a session at `seq`; the bus must hold `behind` as its newest frame."""
        self.go_to(FrameId(session.number, seq), behind)
        self.longest_session = max(self.longest_session, seq)

    def end(self) -> None:
        """Store that the source was read to its end; wait for the store."""
        assert self.next_id is not None, "begin() comes first"  # noqa: S101
        while True:
            try:
                self.store.end_session(self.camera.id, self.next_id.session, self.next_id.seq)
            except UNAVAILABLE:
                self.reporter.heartbeat()
                time.sleep(NAP_S)
            else:
                return

    def write(self, pixels: Pixels, capture: Capture) -> None:
        """Add the frame to the bus under `next_id`; pixels: uint8 (H, W, 3) RGB.

        Raises SourceLostError where another worker writes this camera, or, for a patient writer,
        where the bus has lost frames.
        """
        frame_id = self.take_id()
        frame = Frame(
            self.camera.id,
            *frame_id,
            capture.moment.utc_s,
            pixels,
            self.camera.revision,
            skipped=self._skipped,
            skipped_for=self._skipped_for,
            uptime_s=capture.moment.uptime_s,
            machine=capture.moment.machine,
            late_s=capture.late_s,
        )
        while not self.offer(frame):
            if not self.patient:
                self._leave_out("bus_restart")
                return
            self.reporter.heartbeat()
            time.sleep(NAP_S)
        self._skipped = 0
        self._behind = frame_id
        self.reporter.note_frame(frame.seq, capture.moment)

    def skip(self, reason: str) -> None:
        """Leave the next frame out: its number stays unused, and the frame after it says why."""
        self.take_id()
        self._leave_out(reason)

    def check(self) -> None:
        """Raise SourceLostError where the bus has lost the last frame; do nothing while it is away.

        Call it while no frame is written.
        """
        if self._behind is None:
            return
        try:
            newest = self.bus.newest_frame_id(self.camera.id)
        except UNAVAILABLE:
            return
        if newest != self._behind:
            self._raise_lost()

    def count(self, counter: str) -> None:
        """Count one now, or with the next frame that the bus takes."""
        self._uncounted[counter] += 1
        if time.monotonic() >= self._not_before_s:
            self.flush_counts()

    def note_damage(self) -> None:
        """Count a packet that could not be decoded and was passed over."""
        self.reporter.note_damage()
        self.count("corrupt")

    def note_progress(self) -> None:
        """Send a sign of life."""
        self.reporter.heartbeat()

    def note_last(self, seq: int, captured: Moment) -> None:
        """Report the last frame of a session of which nothing is left."""
        self.reporter.note_frame(seq, captured)

    def notice(self, said: Reason) -> None:
        """Send a line for a person."""
        self.reporter.send("notice", said)

    def close(self) -> None:
        """Count what no later frame can carry, with one attempt if the bus is not known away."""
        self._count_skipped()
        if time.monotonic() >= self._not_before_s:
            self.flush_counts()

    def go_to(self, next_id: FrameId, behind: FrameId | None) -> None:
        """Number the next frame `next_id`, and report its session."""
        self._count_skipped()
        self.next_id = next_id
        self._behind = behind
        self.reporter.begin_session(next_id.session)

    def take_id(self) -> FrameId:
        """Return `next_id` and move on to the id after it."""
        assert self.next_id is not None, "begin() comes first"  # noqa: S101
        taken = self.next_id
        self.next_id = FrameId(taken.session, taken.seq + 1)
        self.longest_session = max(self.longest_session, taken.seq + 1)
        return taken

    def offer(self, frame: Frame) -> bool:
        """Try once to add the frame; return whether the bus took it.

        After a failure the bus is left alone for NAP_S. Raises as `write` does.
        """
        if time.monotonic() < self._not_before_s:
            return False
        try:
            taken = self.add(frame)
        except UNAVAILABLE:
            taken = False
        if not taken:
            self._not_before_s = time.monotonic() + NAP_S
            return False
        self.flush_counts()
        return True

    def add(self, frame: Frame) -> bool:
        """Add the frame; return False where nobody owns the camera.

        That is so on a bus that was restarted, until our worker owns the camera again. Raises one
        of UNAVAILABLE, and as `write` does.
        """
        behind = self._behind if self.patient else None
        answer = self.bus.add_frame(frame, self.token, kept=self.kept, behind=behind)
        if answer == LOST:
            self._raise_lost()
        # An id that is not newer repeats a frame that the bus took, or another writer's session.
        is_foreign = answer == REPEATED and self.bus.newest_frame_id(frame.camera) != frame.id
        if answer == FENCED or is_foreign:
            raise SourceLostError(
                "another worker writes this camera's frames", code="source_other_worker"
            )
        return answer != UNOWNED

    def flush_counts(self) -> None:
        """Add the pending counts to the bus, or keep them while it is away."""
        try:
            for counter in list(self._uncounted):
                self.bus.count(self.camera.id, counter, self._uncounted[counter])
                del self._uncounted[counter]
        except UNAVAILABLE:
            self._not_before_s = time.monotonic() + NAP_S

    def _leave_out(self, reason: str) -> None:
        self._skipped += 1
        self._skipped_for = reason

    def _count_skipped(self) -> None:
        """Count the frames left out: the frame that would have carried their number never comes."""
        if self._skipped:
            self._uncounted[DROPPED + self._skipped_for] += self._skipped
            self._skipped = 0

    def _raise_lost(self) -> NoReturn:
        self.count("bus_restart")
        raise SourceLostError(
            "the bus was started anew: the file goes on from where its scores are saved",
            code="source_bus_restart",
        )
