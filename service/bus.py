"""The bus: frames, scores and heatmaps in bounded Redis streams, and what the stages say of themselves.

Nothing here survives a crash of its server; whoever reads must expect an empty answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from service import codec, keys, urls
from service.codec import Row
from service.errors import BrokenMessageError
from service.messages import Frame, FrameId, Heat, InferReport, IngestReport, Score

log = logging.getLogger(__name__)

UNAVAILABLE = (redis.RedisError,)
"""What a call raises while its Redis does not answer, or refuses: away, starting, full, with a full disk (MISCONF),
without its replicas. Most of these come as plain ResponseErrors, from a script always. Wait and try again.
"""

Report = TypeVar("Report", IngestReport, InferReport)
Message = TypeVar("Message", Frame, Score)
Entry = tuple[bytes, dict[bytes, bytes]]
Key = Callable[[str], str]  # one of keys.py's

# A frame or score and what is counted with it, all or nothing. A stream refuses an id that is not newer: a repetition,
# after an answer that was lost or by a replay, changes nothing. Each answers 1, or 0 where the id was refused.
_ADD = """
local function add(key, id, kept, first, last)
    local answer = redis.pcall('XADD', key, 'MAXLEN', kept, id, unpack(ARGV, first, last))
    if type(answer) ~= 'table' then return 1 end
    if string.find(answer.err, 'equal or smaller', 1, true) then return 0 end
    return answer
end
"""

# KEYS: frames, counters. ARGV: id, frames kept, the frame's fields.
_ADD_FRAME = (
    _ADD
    + """
local added = add(KEYS[1], ARGV[1], ARGV[2], 3, #ARGV)
if added == 1 then redis.call('HINCRBY', KEYS[2], 'frames', 1) end
return added
"""
)

# KEYS: scores, heat, cursor, counters. ARGV: id, scores kept, heats kept, how many fields (names and values) the heat
# has, what else is counted ('': nothing), the heat's fields, the score's fields.
_ADD_SCORE = (
    _ADD
    + """
local heat = tonumber(ARGV[4])
local added = add(KEYS[1], ARGV[1], ARGV[2], 6 + heat, #ARGV)
if added ~= 1 then return added end
add(KEYS[2], ARGV[1], ARGV[3], 6, 5 + heat)
redis.call('SET', KEYS[3], ARGV[1])
redis.call('HINCRBY', KEYS[4], 'scores', 1)
if ARGV[5] ~= '' then redis.call('HINCRBY', KEYS[4], ARGV[5], 1) end
return 1
"""
)


@dataclass(frozen=True, slots=True)
class Overview:
    """What the bus says of one camera; a report that cannot be read counts as none."""

    ingest: IngestReport | None
    infer: InferReport | None
    cursor: FrameId | None
    counters: dict[str, int]


def connect(url: str) -> redis.Redis:
    """A client that gives up on a silent server after seconds, not never. Does not connect yet."""
    return redis.Redis.from_url(
        url,
        protocol=2,
        socket_timeout=10,
        socket_connect_timeout=3,
        health_check_interval=15,
        retry=Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), 2),
    )


class Bus:
    """Typed access to the bus. Every method may raise one of UNAVAILABLE."""

    def __init__(self, client: redis.Redis, *, frames_kept: int, scores_kept: int, heats_kept: int) -> None:
        self._redis = client
        self._frames_kept = frames_kept
        self._scores_kept = scores_kept
        self._heats_kept = heats_kept

    @property
    def address(self) -> str:
        """Where its server is, for a person."""
        return urls.of_server(self._redis.connection_pool.connection_kwargs)

    def ping(self) -> None:
        self._redis.ping()

    # Frames

    def add_frame(self, frame: Frame) -> None:
        """Append; the oldest frame drops where the stream is full. Raises ValueError for an id that is not newer."""
        names = keys.frames(frame.camera), keys.counters(frame.camera)
        fields = codec.flat(codec.frame_fields(frame))
        if not self._redis.eval(_ADD_FRAME, len(names), *names, str(frame.id), str(self._frames_kept), *fields):
            raise ValueError(f"frame {frame.id} of {frame.camera} is not newer than the last")

    def frames_after(self, after: Mapping[str, FrameId | None], count: int) -> dict[str, list[Frame]]:
        """Up to `count` frames of each camera behind its id (None: from the oldest kept), without waiting."""
        rows = self._after(keys.frames, after, count)
        return {camera: self._readable(keys.frames, codec.read_frame, camera, found) for camera, found in rows.items()}

    def frame(self, camera: str, frame_id: FrameId | None = None) -> Frame | None:
        """One frame, by default the newest; None where it is no longer (or not yet) here."""
        found = self._one(keys.frames, camera, frame_id)
        return codec.read_frame(camera, *found) if found else None

    # Scores and heatmaps

    def add_scores(self, results: Sequence[tuple[Score, Heat]]) -> int:
        """Append scores and heatmaps under their frames' ids; returns how many were refused as not newer."""
        pipe = self._redis.pipeline(transaction=False)
        for score, heat in results:
            self._queue(pipe, score, heat)
        answers = pipe.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers.count(0)

    def _queue(self, pipe: Any, score: Score, heat: Heat) -> None:
        of = score.camera
        names = keys.scores(of), keys.heat(of), keys.cursor(of), keys.counters(of)
        decision = {True: "memory_updated", False: "memory_kept", None: ""}[score.memory_updated]
        cells = codec.flat(codec.heat_fields(heat))
        limits = self._scores_kept, self._heats_kept, len(cells)
        fields = codec.flat(codec.score_fields(score))
        pipe.eval(_ADD_SCORE, len(names), *names, str(score.id), *map(str, limits), decision, *cells, *fields)

    def scores_after(self, after: Mapping[str, FrameId | None], count: int) -> dict[str, list[Score]]:
        """Up to `count` scores of each camera behind its id (None: from the oldest kept), without waiting."""
        rows = self._after(keys.scores, after, count)
        return {camera: self._readable(keys.scores, codec.read_score, camera, found) for camera, found in rows.items()}

    def newest_score_id(self, camera: str) -> FrameId | None:
        """Where the scores end now: a listener starts behind it."""
        found = cast(list[Entry], self._redis.xrevrange(keys.scores(camera), count=1))
        return FrameId.parse(found[0][0].decode()) if found else None

    def newest_scores(self, camera: str, count: int) -> list[Score]:
        """The newest `count` scores, ascending."""
        found = cast(list[Entry], self._redis.xrevrange(keys.scores(camera), count=count))
        rows = [(FrameId.parse(entry.decode()), row) for entry, row in reversed(found)]
        return self._readable(keys.scores, codec.read_score, camera, rows)

    def heat(self, camera: str, frame_id: FrameId | None = None) -> Heat | None:
        """One heatmap, by default the newest; None where it is no longer (or not yet) here."""
        found = self._one(keys.heat, camera, frame_id)
        return codec.read_heat(camera, *found) if found else None

    # Cursor, reports, counters

    def set_cursor(self, camera: str, frame_id: FrameId) -> None:
        self._redis.set(keys.cursor(camera), str(frame_id))

    def cursor(self, camera: str) -> FrameId | None:
        """The last frame that inference has dealt with."""
        text = cast(bytes | None, self._redis.get(keys.cursor(camera)))
        return FrameId.parse(text.decode()) if text else None

    def report_ingest(self, camera: str, report: IngestReport) -> None:
        self._redis.set(keys.ingest_report(camera), codec.dump(report))

    def report_infer(self, camera: str, report: InferReport) -> None:
        self._redis.set(keys.infer_report(camera), codec.dump(report))

    def ingest_report(self, camera: str) -> IngestReport | None:
        return self._report(IngestReport, keys.ingest_report(camera))

    def infer_report(self, camera: str) -> InferReport | None:
        return self._report(InferReport, keys.infer_report(camera))

    def count(self, camera: str, what: str, by: int = 1) -> None:
        self._redis.hincrby(keys.counters(camera), what, by)

    def counters(self, camera: str) -> dict[str, int]:
        """What happened how often: `frames`, `scores`, `memory_updated`, `memory_kept`, `reconnects`, `corrupt`
        (packets), `bus_restart` (noticed by a file at full pace), `dropped_<reason>` (frames).
        """
        found = cast(dict[bytes, bytes], self._redis.hgetall(keys.counters(camera)))
        return {name.decode(): int(value) for name, value in found.items()}

    def overview(self, cameras: Iterable[str]) -> dict[str, Overview]:
        """Reports, cursor and counters of many cameras in one round trip."""
        names = list(cameras)
        pipe = self._redis.pipeline(transaction=False)
        for camera in names:
            pipe.get(keys.ingest_report(camera))
            pipe.get(keys.infer_report(camera))
            pipe.get(keys.cursor(camera))
            pipe.hgetall(keys.counters(camera))
        answers = pipe.execute()
        return {camera: _overview(*answers[4 * i : 4 * i + 4]) for i, camera in enumerate(names)}

    def beat(self, stage: str, lifetime_s: float = 10.0) -> None:
        """Say that somebody works at this stage."""
        self._redis.set(keys.worker(stage), b"1", px=int(lifetime_s * 1000))

    def beats(self, stage: str) -> bool:
        return bool(self._redis.exists(keys.worker(stage)))

    def forget(self, camera: str) -> None:
        """Drop everything the bus holds of a camera."""
        streams = [name(camera) for name in (keys.frames, keys.scores, keys.heat)]
        strings = [name(camera) for name in (keys.cursor, keys.ingest_report, keys.infer_report, keys.counters)]
        self._redis.delete(*streams, *strings)

    def forget_run(self, camera: str) -> None:
        """Drop what the stages said of a camera's former configuration; its frames and scores stay."""
        self._redis.delete(keys.ingest_report(camera), keys.infer_report(camera))

    # Inside

    def _after(
        self, key: Key, after: Mapping[str, FrameId | None], count: int
    ) -> dict[str, list[tuple[FrameId, dict[bytes, bytes]]]]:
        """One round trip for all cameras, one command a camera."""
        pipe = self._redis.pipeline(transaction=False)
        for camera, last in after.items():
            pipe.xrange(key(camera), min=f"({last}" if last else "-", count=count)
        answers = cast(list[list[Entry]], pipe.execute())
        return {
            camera: [(FrameId.parse(entry.decode()), row) for entry, row in found]
            for camera, found in zip(after, answers, strict=True)
            if found
        }

    def _readable(
        self, key: Key, read: Callable[[str, FrameId, Row], Message], camera: str, rows: Sequence[tuple[FrameId, Row]]
    ) -> list[Message]:
        """What can be read; what cannot is removed from its stream and counted, so that no reader meets it again."""
        messages = []
        for frame_id, row in rows:
            try:
                messages.append(read(camera, frame_id, row))
            except BrokenMessageError as error:
                log.warning("%s; removed", error)
                self._redis.xdel(key(camera), str(frame_id))
                self.count(camera, "dropped_broken")
        return messages

    def _one(self, key: Key, camera: str, frame_id: FrameId | None) -> tuple[FrameId, dict[bytes, bytes]] | None:
        if frame_id is None:
            found = cast(list[Entry], self._redis.xrevrange(key(camera), count=1))
        else:
            found = cast(list[Entry], self._redis.xrange(key(camera), min=str(frame_id), max=str(frame_id)))
        return (FrameId.parse(found[0][0].decode()), found[0][1]) if found else None

    def _report(self, kind: type[Report], key: str) -> Report | None:
        text = cast(bytes | None, self._redis.get(key))
        return codec.load(kind, text) if text else None


def _overview(
    ingest: bytes | None, infer: bytes | None, cursor: bytes | None, counters: dict[bytes, bytes]
) -> Overview:
    return Overview(
        _readable(IngestReport, ingest),
        _readable(InferReport, infer),
        FrameId.parse(cursor.decode()) if cursor else None,
        {name.decode(): int(value) for name, value in counters.items()},
    )


def _readable(kind: type[Report], text: bytes | None) -> Report | None:
    try:
        return codec.load(kind, text) if text else None
    except BrokenMessageError:
        return None
