"""The observations of one camera on the bus, in their order. Times are UTC seconds."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from lookout.service.core.messages import FrameId

STAGES = ("inference", "ingest")  # where a camera has an owner, as the keys name them

Numbers = tuple[float | None, float | None, float | None, float | None, float | None]


@dataclass(frozen=True, slots=True)
class ScoreSeen:
    captured_at: float
    scored_at: float
    seen_at: float
    life: int  # of the bus
    numbers: Numbers  # PSNR, distance, gate error, memory updated (1 or 0), value

    @property
    def value(self) -> float | None:
        return self.numbers[-1]


@dataclass(frozen=True, slots=True)
class GapSeen:
    session: int
    first: int
    frames: int
    reason: str
    life: int
    seen_at: float


@dataclass(slots=True)
class CameraSeen:
    leases: dict[str, list[tuple[float, str | None]]] = field(default_factory=dict)
    """Stage → the times from which on a token held the lease; None: nobody's."""
    frames: dict[FrameId, tuple[int, float]] = field(
        default_factory=dict
    )  # first seen in which life, and when
    scores: dict[FrameId, ScoreSeen] = field(default_factory=dict)
    gaps: list[GapSeen] = field(default_factory=list)
    again: list[tuple[FrameId, ScoreSeen]] = field(
        default_factory=list
    )  # under an id that had a score already
    cursors: dict[int, tuple[FrameId, FrameId]] = field(
        default_factory=dict
    )  # life → the first and the last
    inference_worker: int | None = None  # process id, by its own report
    ingest_worker: int | None = None
    ingest_state: str = ""
    times: list[float] = field(default_factory=list)  # scored_at, as the scores came
    frame_times: list[float] = field(default_factory=list)  # when new frames were seen

    def add_frame(self, frame_id: FrameId, life: int, now: float) -> None:
        if frame_id not in self.frames:
            self.frames[frame_id] = life, now
            self.frame_times.append(now)

    def add_score(self, frame_id: FrameId, score: ScoreSeen) -> None:
        if frame_id in self.scores:
            self.again.append((frame_id, score))
            return
        self.scores[frame_id] = score
        self.times.append(max(score.scored_at, self.times[-1] if self.times else 0.0))

    def add_cursor(self, cursor: FrameId, life: int) -> None:
        first, _ = self.cursors.get(life, (cursor, cursor))
        self.cursors[life] = first, cursor

    def add_lease(self, stage: str, token: str | None, now: float) -> None:
        held = self.leases.setdefault(stage, [])
        if not held or held[-1][1] != token:
            held.append((now, token))

    @property
    def last_scored_at(self) -> float:
        return self.times[-1] if self.times else 0.0

    @property
    def newest_score(self) -> FrameId | None:
        return next(reversed(self.scores), None)

    def scored_between(self, first: float, last: float) -> int:
        return bisect_right(self.times, last) - bisect_right(self.times, first)

    def told_late(self, life: int, since: float) -> int:
        """Return the number of scores of this life of the bus that were seen after `since`."""
        return sum(score.life == life and score.seen_at > since for score in self.scores.values())


def first_after(times: list[float], at: float) -> float | None:
    """Return the first of the sorted `times` after `at`; None where there is none."""
    place = bisect_right(times, at)
    return times[place] if place < len(times) else None
