"""The outcome of each frame, a score with its heatmap or a gap, and the cursor behind both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import redis

from lookout.service.core import clock, metrics
from lookout.service.core.clock import Moment
from lookout.service.core.messages import FrameId, Gap, Heat, Score
from lookout.service.storage.bus.counters import DROPPED, UNREAD, WINDOW, Counters
from lookout.service.storage.redis import codec, keys, scripts
from lookout.service.storage.redis.streams import MessageStream, StreamEntry

GAPS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class ScoredFrame:
    """The score and heatmap that the owner of a camera writes for one frame."""

    score: Score
    heat: Heat
    captured: Moment | None = None  # of a live frame: its age counts in the latency histogram


Outcome = ScoredFrame | Gap


class OutcomeWrite(NamedTuple):
    """One outcome with the token of its camera's inference lease."""

    token: str
    outcome: Outcome
    behind: FrameId | None = None  # whose outcome the bus must have before; None: any


class OutcomeStreams(Counters):
    """Scores, heatmaps, gaps and cursors. Every method may raise one of UNAVAILABLE."""

    def __init__(self, client: redis.Redis, *, scores_kept: int, heats_kept: int) -> None:
        Counters.__init__(self, client)  # not super(): Bus passes each subject its own bounds
        self._scores_kept = scores_kept
        self._heats_kept = heats_kept
        self._scores = MessageStream(client, keys.scores, codec.read_score, self.count_broken)
        self._heats = MessageStream(client, keys.heat, codec.read_heat, self.count_broken)

    def add_outcomes(self, outcomes: Sequence[tuple[str, Outcome] | OutcomeWrite]) -> list[int]:
        """Write outcomes, each with the token of its camera's inference lease.

        Returns one of ADDED, REPEATED, FENCED, UNOWNED, LOST for each.
        """
        pipe = self._redis.pipeline(transaction=False)
        writes = [OutcomeWrite(*one) for one in outcomes]
        for token, outcome, behind in writes:
            if isinstance(outcome, Gap):
                queue_gap(pipe, token, outcome, behind)
            else:
                counted = codec.flat(counters_of(outcome))
                self._queue_score(pipe, token, outcome, behind, counted)
        with self.mending({camera_of(write.outcome) for write in writes}):
            return answers_of(pipe)

    def restore_outcomes(self, token: str, outcomes: Iterable[Outcome]) -> list[int]:
        """Write again what a bus has lost, in order, without counting it again.

        What the bus has already is not written twice. Returns as `add_outcomes`.
        """
        pipe = self._redis.pipeline(transaction=False)
        cameras = set()
        for outcome in outcomes:
            cameras.add(camera_of(outcome))
            if isinstance(outcome, Gap):
                queue_gap(pipe, token, outcome, counts=False)
            else:
                self._queue_score(pipe, token, outcome)
        with self.mending(cameras):
            return answers_of(pipe)

    def _queue_score(
        self,
        pipe: Any,
        token: str,
        outcome: ScoredFrame,
        behind: FrameId | None = None,
        counted: Sequence[str | bytes] = (),
    ) -> None:
        score = outcome.score
        camera = score.camera
        names = (
            keys.lease("inference", camera),
            keys.scores(camera),
            keys.heat(camera),
            keys.cursor(camera),
            keys.counters(camera),
        )
        cells = codec.flat(codec.heat_fields(outcome.heat))
        limits = (self._scores_kept, self._heats_kept, len(cells), len(counted))
        fields = codec.flat(codec.score_fields(score))
        words = (token, str(score.id), *map(str, limits), str(behind or ""))
        pipe.execute_command(
            "EVAL", scripts.ADD_SCORE, len(names), *names, *words, *counted, *cells, *fields
        )

    def gaps(self, camera: str) -> list[Gap]:
        """Return the newest GAPS_KEPT gaps, ascending. Raises BrokenMessageError."""
        entries = cast(list[StreamEntry], self._redis.xrange(keys.gaps(camera)))
        return [codec.read_gap(camera, row) for _, row in entries]

    def scores_after(
        self, after: Mapping[str, FrameId | None], count: int
    ) -> dict[str, list[Score]]:
        """Return up to `count` scores of each camera behind its id, ascending, without waiting.

        None: from the oldest kept. Cameras without new scores are left out.
        """
        with self.mending(after):
            found = self._scores.after(after, count)
        return {camera: [score for _, score in scores] for camera, scores in found.items()}

    def count_trimmed(self, camera: str, after: FrameId, first: FrameId) -> int:
        """Count the scores between two ids that the stream has dropped for newer ones.

        after: the last one that was read; first: the oldest that the stream holds behind it.
        Returns at least how many: of sessions between the two, nothing is known.
        """
        is_next = first == (after.session, after.seq + 1)
        if is_next or self._redis.xlen(keys.scores(camera)) < self._scores_kept:
            return 0
        if self._redis.xrange(keys.scores(camera), str(after), str(after)):
            return 0
        begin = 0
        if after.session == first.session:
            begin = after.seq + 1
        lost = first.seq - begin
        for gap in self.gaps(camera):
            if gap.session == first.session:
                end = min(first.seq, gap.first_seq + gap.frames)
                lost -= max(0, end - max(begin, gap.first_seq))
        self.count(camera, UNREAD, lost)
        return lost

    def newest_score_id(self, camera: str) -> FrameId | None:
        """Return the id at which the scores end now: a listener starts behind it."""
        with self.mending([camera]):
            return self._scores.newest_id(camera)

    def newest_score_ids(self, cameras: Iterable[str]) -> dict[str, FrameId]:
        """Return the newest score's id of each camera that has any, in one round trip."""
        names = list(cameras)
        with self.mending(names):
            return self._scores.newest_ids(names)

    def newest_scores(self, camera: str, count: int) -> list[Score]:
        """Return the newest `count` scores, ascending."""
        with self.mending([camera]):
            return [score for _, score in reversed(self._scores.newest(camera, count))]

    def heat(self, camera: str, frame_id: FrameId | None = None) -> Heat | None:
        """Return one heatmap, by default the newest; None where the stream does not hold it.

        Raises BrokenMessageError.
        """
        with self.mending([camera]):
            return self._heats.get(camera, frame_id)

    def restore_cursors(
        self, camera: str, token: str, cursor: FrameId | None, snapshot_cursor: FrameId | None
    ) -> int:
        """Set the cursor on a bus that has lost it, and the snapshot's cursor on any.

        Returns ADDED, FENCED or UNOWNED.
        """
        names = (
            keys.lease("inference", camera),
            keys.cursor(camera),
            keys.snapshot_cursor(camera),
        )
        words = (token, str(cursor or ""), str(snapshot_cursor or ""))
        with self.mending([camera]):
            return cast(int, self._redis.eval(scripts.RESTORE_CURSORS, len(names), *names, *words))

    def cursor(self, camera: str) -> FrameId | None:
        """Return the last frame that inference has scored or dropped."""
        with self.mending([camera]):
            text = cast(bytes | None, self._redis.get(keys.cursor(camera)))
        return codec.frame_id(text)

    def snapshot_cursor(self, camera: str) -> FrameId | None:
        """Return the frame up to which the store holds what the camera learned."""
        with self.mending([camera]):
            text = cast(bytes | None, self._redis.get(keys.snapshot_cursor(camera)))
        return codec.frame_id(text)


class ScoreFollower:
    """Follows the scores of many cameras: a cursor each, behind the last score returned."""

    def __init__(self, streams: OutcomeStreams, count: int = 500) -> None:
        self._streams = streams
        self._count = count
        self.cursors: dict[str, FrameId | None] = {}  # None: from the oldest that is kept

    def poll(self) -> dict[str, list[Score]]:
        """Return the new scores of each camera that has some, ascending, without waiting."""
        if not self.cursors:
            return {}
        new_scores = self._streams.scores_after(self.cursors, self._count)
        for camera, scores in new_scores.items():
            self.cursors[camera] = scores[-1].id
        return new_scores


def camera_of(outcome: Outcome) -> str:
    """Return the camera of a score or gap."""
    if isinstance(outcome, Gap):
        return outcome.camera
    return outcome.score.camera


def answers_of(pipe: Any) -> list[int]:
    """Run a pipeline of scripts and return their answers. Raises the first error."""
    answers = cast(list[int | Exception], pipe.execute(raise_on_error=False))
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return cast(list[int], answers)


def queue_gap(
    pipe: Any, token: str, gap: Gap, behind: FrameId | None = None, *, counts: bool = True
) -> None:
    """Queue the write of a gap in a pipeline."""
    camera = gap.camera
    names = (
        keys.lease("inference", camera),
        keys.gaps(camera),
        keys.cursor(camera),
        keys.counters(camera),
    )
    last_seq = gap.first_seq + gap.frames - 1
    counter = ""
    if counts:
        counter = WINDOW if gap.reason == WINDOW else f"{DROPPED}{gap.reason}"
    words = (token, gap.session, gap.first_seq, last_seq, gap.reason, GAPS_KEPT, counter)
    pipe.execute_command(
        "EVAL", scripts.ADD_GAP, len(names), *names, *map(str, words), str(behind or "")
    )


def counters_of(outcome: ScoredFrame) -> codec.Fields:
    """Return the camera's counters that a score raises, and by how much."""
    counts = {"scores": 1}
    if outcome.score.reused:
        counts["reused"] = 1
    elif outcome.score.memory_updated is not None:
        counts["memory_updated" if outcome.score.memory_updated else "memory_kept"] = 1
    if outcome.captured is not None:
        counts |= metrics.observed(metrics.LATENCY, outcome.captured.age_s(clock.now()))
    return {name: str(by) for name, by in counts.items()}
