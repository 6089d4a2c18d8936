"""Outcomes of one camera's frames on their way to the bus, and the latest for its report."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import deque

from lookout.service.core.messages import FrameId
from lookout.service.storage.bus.outcomes import Outcome, ScoredFrame

RESTORED_S = 10.0
RESTORED_OUTCOMES = 256
"""Outcomes that a restarted bus is sent again: of the last seconds before it ended, and so many at
most. Whoever reads the bus had not read all of them.
"""

RATE_FRAMES = 100
LEAST_RATE_FRAMES = 20

PEAK_S = 15.0
"""Longer than a scrape's interval: no scrape misses a peak."""


class Outbox:
    """Outcomes that the bus has not acknowledged, in order, and the newest that it has."""

    def __init__(self, acked_id: FrameId | None, recorded_id: FrameId | None = None) -> None:
        """Start behind what the bus has.

        acked_id: outcomes up to this frame are in the camera's snapshot.
        recorded_id: the bus has outcomes of a former owner up to this frame. They are scored again
            for the memory's sake, and not sent again.
        """
        self._unsent: list[Outcome] = []
        known = [frame_id for frame_id in (acked_id, recorded_id) if frame_id is not None]
        self._acked_id = max(known, default=None)
        # With the times (monotonic s) at which they were acknowledged.
        self._acked: deque[tuple[float, Outcome]] = deque(maxlen=RESTORED_OUTCOMES)
        self._bus_is_new = False

    @property
    def unsent(self) -> tuple[Outcome, ...]:
        """Outcomes to send, oldest first."""
        return tuple(self._unsent)

    @property
    def acked_id(self) -> FrameId | None:
        """The bus has the outcomes of every frame up to this one."""
        return self._acked_id

    @property
    def acked(self) -> list[Outcome]:
        """The newest outcomes that the bus has acknowledged, oldest first."""
        return [outcome for _, outcome in self._acked]

    @property
    def must_restore(self) -> bool:
        """The bus was restarted, and `acked` is to be written again before anything else."""
        return self._bus_is_new and bool(self._acked)

    @property
    def behind_id(self) -> FrameId | None:
        """The frame whose outcome the bus must have before it takes more; None: any."""
        return self._acked_id if self._acked else None

    def note_new_bus(self) -> None:
        """Note that the bus has lost what it acknowledged."""
        self._bus_is_new = True

    def note_restored(self) -> None:
        """Note that the bus has what it acknowledged again."""
        self._bus_is_new = False

    def add(self, outcome: Outcome) -> None:
        """Append what the bus does not have of an outcome; each follows on the one before."""
        new = new_part(outcome, self._acked_id)
        if new is not None:
            self._unsent.append(new)

    def acknowledge(self) -> None:
        """Move what is unsent to what the bus has."""
        now = time.monotonic()
        self._acked.extend((now, outcome) for outcome in self._unsent)
        self._acked_id = last_id(self._unsent[-1])
        self._unsent.clear()

    def forget_old(self) -> None:
        """Forget what the bus, which answered just now, has had for long: it was read."""
        now = time.monotonic()
        while not self._bus_is_new and self._acked and now - self._acked[0][0] > RESTORED_S:
            self._acked.popleft()


def last_id(outcome: Outcome) -> FrameId:
    """Return the id of a scored frame, or of a gap's last frame."""
    if isinstance(outcome, ScoredFrame):
        return outcome.score.id
    return FrameId(outcome.session, outcome.first_seq + outcome.frames - 1)


def new_part(outcome: Outcome, known_id: FrameId | None) -> Outcome | None:
    """Return the part of an outcome that follows on frame `known_id`; None where there is none."""
    if known_id is None:
        return outcome
    if last_id(outcome) <= known_id:
        return None
    if isinstance(outcome, ScoredFrame) or known_id.session < outcome.session:
        return outcome
    first_seq = max(outcome.first_seq, known_id.seq + 1)
    frames = outcome.frames - (first_seq - outcome.first_seq)
    return dataclasses.replace(outcome, first_seq=first_seq, frames=frames)


class CaptureRate:
    """Frames a second that come from one camera, by the times at which they were filmed.

    Frames that are left out count, and so does no time for which the network held them back.
    """

    def __init__(self) -> None:
        self._newest: deque[tuple[FrameId, float]] = deque(maxlen=RATE_FRAMES)

    def add(self, frame_id: FrameId, captured_at: float) -> None:
        """Take the next frame's time (s)."""
        if self._newest and self._newest[-1][0].session != frame_id.session:
            self._newest.clear()
        self._newest.append((frame_id, captured_at))

    @property
    def fps(self) -> float | None:
        """None before there are LEAST_RATE_FRAMES."""
        if len(self._newest) < LEAST_RATE_FRAMES:
            return None
        (first, since_s), (last, until_s) = self._newest[0], self._newest[-1]
        if until_s <= since_s:
            return None
        return (last.seq - first.seq) / (until_s - since_s)


class RecentScores:
    """The newest value of one camera, and the highest of the last PEAK_S."""

    def __init__(self, now: float = -math.inf) -> None:
        """now: monotonic s; from then on its first score is waited for."""
        self._waits_since = now
        self._newest: float | None = None
        # Time (monotonic s) and value of what may still become the peak, each lower than the last.
        self._peaks: deque[tuple[float, float]] = deque()

    @property
    def newest(self) -> float | None:
        """None while the camera learns."""
        return self._newest

    def add(self, value: float | None, now: float) -> None:
        """Take the next score's value; `now`: monotonic s."""
        self._waits_since = now
        self._newest = value
        if value is None:
            return
        while self._peaks and self._peaks[-1][1] <= value:
            self._peaks.pop()
        self._peaks.append((now, value))
        self._drop_older(now)

    def age_s(self, now: float) -> float:
        """Return the time since the newest score; without any, since the beginning."""
        return now - self._waits_since

    def peak(self, now: float) -> float | None:
        """Return the highest value of the PEAK_S before `now` (monotonic s), None without any."""
        self._drop_older(now)
        return self._peaks[0][1] if self._peaks else None

    def _drop_older(self, now: float) -> None:
        while self._peaks and now - self._peaks[0][0] > PEAK_S:
            self._peaks.popleft()
