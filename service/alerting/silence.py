"""The end of a camera's scores, as ingest and inference report it.

An open alert closes by the times of the scores alone: at a score that is low for long, or that does
not continue the ones before. Where no further score comes, the producers' reports stand in for it.
They are read before the scores that wait on the bus, and judged after them, so that it makes no
difference when alerting reads, how long it was frozen, or which worker reads.
"""

from __future__ import annotations

from dataclasses import dataclass

from lookout.models.scoring.alert_policy import AlertPolicy, PolicyState
from lookout.service.core import urls
from lookout.service.core.camera import Camera
from lookout.service.core.messages import FrameId
from lookout.service.storage.bus.reports import Overview

ABANDONED_AFTER = 4
"""A live camera's scores are at an end after so many times `quiet_after_s` in which inference dealt
with none of its frames: ingest or inference is gone, and says nothing."""

LONGEST_LOOK_S = 1.0
"""At most so much of the time between two looks counts: a reader that was frozen saw nothing."""


@dataclass(frozen=True, slots=True)
class ProducerReports:
    """The producers' reports on one camera, at one moment of the bus."""

    camera: Camera
    overview: Overview
    newest_frame_id: FrameId | None  # on the bus; None where the bus has lost the frames

    def ends_scores(self, policy: AlertPolicy, state: PolicyState, idle_s: float) -> bool:
        """Return True where no later score can continue those of `state`.

        Every score that was on the bus when the reports were read must be in `state`.
        idle_s: time in which inference was seen to deal with none of the camera's frames.
        """
        if self.camera.live and idle_s >= ABANDONED_AFTER * policy.quiet_after_s:
            return True
        cursor = self.overview.cursor
        session = state.session
        if cursor is None or session is None:
            return False
        if cursor.session > session:
            return True
        return self.ends_session(session, cursor) or self.is_past(policy, state, cursor)

    def ends_session(self, session: int, cursor: FrameId) -> bool:
        """Return True where ingest has ended the session, and inference is past its last frame.

        A file continues its session after a break; a stream begins another one.
        """
        report = self.overview.ingest
        if report is None or report.session != session or report.last_seq is None:
            return False
        is_read_out = self.newest_frame_id is None or cursor >= self.newest_frame_id
        if urls.is_file(self.camera.url):
            is_over = report.state in ("ended", "failed")
            return is_over and is_read_out and cursor >= (session, report.last_seq)
        return report.state not in ("starting", "online") and is_read_out

    def is_past(self, policy: AlertPolicy, state: PolicyState, cursor: FrameId) -> bool:
        """Return True where inference dealt with a frame that is too late to continue `state`."""
        report = self.overview.inference
        if report is None or report.session != state.session or report.last_seq is None:
            return False
        if report.last_captured_at is None or state.last_at is None:
            return False
        silence_s = report.last_captured_at - state.last_at
        return cursor >= (report.session, report.last_seq) and silence_s > policy.quiet_after_s


@dataclass(slots=True)
class IdleTime:
    """The time for which a camera was seen to stand still; frozen time does not count."""

    seconds: float = 0.0
    _mark: object = None
    _looked_at: float | None = None

    def look(self, mark: object, now: float) -> None:
        """Note what identifies the camera's progress at `now` (monotonic s)."""
        if self._looked_at is None or mark != self._mark:
            self.seconds = 0.0
        else:
            self.seconds += min(now - self._looked_at, LONGEST_LOOK_S)
        self._mark = mark
        self._looked_at = now

    def restart(self) -> None:
        """Begin again: the camera has moved."""
        self.seconds = 0.0
        self._looked_at = None
