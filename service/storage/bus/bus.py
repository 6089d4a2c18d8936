"""The bus: frames, scores and heatmaps in bounded Redis streams, and what the stages say of themselves.

Nothing here survives a crash of its server; whoever reads must expect an empty answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from lookout.service.core import metrics, urls
from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import (
    Frame,
    FrameId,
    Gap,
    Heat,
    InferenceReport,
    IngestReport,
    Score,
)
from lookout.service.core.throttle import Rarely
from lookout.service.storage.redis import codec, keys
from lookout.service.storage.redis.cluster import FAILURES, MARK, Cluster
from lookout.service.storage.redis.codec import Row

log = logging.getLogger(__name__)

BROKEN_LINE_EVERY_S, BROKEN_LINES_AT_ONCE = 60.0, 5

UNAVAILABLE = FAILURES
"""What a call raises while its Redis does not answer, or refuses: away, starting, full, with a full disk (MISCONF),
without its replicas. Most of these come as plain ResponseErrors, from a script always. Wait and try again.
"""

Report = TypeVar("Report", IngestReport, InferenceReport)
Message = TypeVar("Message", Frame, Score)
Entry = tuple[bytes, dict[bytes, bytes]]
Key = Callable[[str], str]  # one of keys.py's

# What a script answers. A write shows the token of its lease: one that has lost it (stopped, or stuck, and awake again)
# is refused, whatever it has to say. A stream refuses an id that is not newer: a repetition, after an answer that was
# lost or by a replay, changes nothing.
ADDED, REPEATED = 1, 0
FENCED, UNOWNED = (
    -1,
    -2,
)  # somebody else has the lease; nobody has (it ran out, or the bus was started anew)
LOST = -3  # the frame before this one is not on the bus

_FENCE = """
local owner = redis.call('GET', KEYS[1])
if not owner then return -2 end
if owner ~= ARGV[1] then return -1 end
"""

_ADD = """
local function add(key, id, kept, first, last)
    local answer = redis.pcall('XADD', key, 'MAXLEN', kept, id, unpack(ARGV, first, last))
    if type(answer) ~= 'table' then return 1 end
    if string.find(answer.err, 'equal or smaller', 1, true) then return 0 end
    return answer
end
"""

# KEYS: lease, frames, counters. ARGV: token, id, frames kept, the frame that must be the last ('': any), the frame's
# fields.
_ADD_FRAME = (
    _FENCE
    + _ADD
    + """
if ARGV[4] ~= '' then
    local last = '0-0'
    if redis.call('EXISTS', KEYS[2]) == 1 then
        local info = redis.call('XINFO', 'STREAM', KEYS[2])
        for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = info[i + 1] end end
    end
    if last ~= ARGV[4] and last ~= ARGV[2] then return -3 end
end
local added = add(KEYS[2], ARGV[2], ARGV[3], 5, #ARGV)
if added == 1 then redis.call('HINCRBY', KEYS[3], 'frames', 1) end
return added
"""
)

# KEYS: lease, scores, heat, cursor, counters. ARGV: token, id, scores kept, heats kept, how many words (names and
# values) the heat has, how many the counters have, the counters, the heat's fields, the score's fields.
_ADD_SCORE = (
    _FENCE
    + _ADD
    + """
local counted = 6 + tonumber(ARGV[6])
local pictured = counted + tonumber(ARGV[5])
local added = add(KEYS[2], ARGV[2], ARGV[3], pictured + 1, #ARGV)
if added ~= 1 then return added end
add(KEYS[3], ARGV[2], ARGV[4], counted + 1, pictured)
redis.call('SET', KEYS[4], ARGV[2])
for at = 7, counted, 2 do redis.call('HINCRBY', KEYS[5], ARGV[at], ARGV[at + 1]) end
return 1
"""
)

# KEYS: lease, gaps, cursor, counters. ARGV: token, session, first seq, last seq, reason, gaps kept, counter. Frames
# that the cursor has passed are accounted for already: by whoever owned the camera before, in a replay.
_ADD_GAP = (
    _FENCE
    + """
local session, first, last = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local at, seq = string.match(redis.call('GET', KEYS[3]) or '0-0', '(%d+)-(%d+)')
at, seq = tonumber(at), tonumber(seq)
if at > session or (at == session and seq >= last) then return 0 end
if at == session and seq >= first then first = seq + 1 end
redis.call('SET', KEYS[3], ARGV[2] .. '-' .. ARGV[4])
redis.call('HINCRBY', KEYS[4], ARGV[7], last - first + 1)
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[6], '*', 'session', ARGV[2], 'first', string.format('%.0f', first),
    'frames', string.format('%.0f', last - first + 1), 'reason', ARGV[5])
return 1
"""
)

# KEYS: lease, cursor, saved. ARGV: token, cursor, saved ('': unknown). Only on a bus that has lost them.
_REMIND = (
    _FENCE
    + """
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2], 'NX') end
if ARGV[3] ~= '' then redis.call('SET', KEYS[3], ARGV[3]) end
return 1
"""
)

# KEYS: frames. ARGV: after which id, how many. Ids and times alone: the pixels stay where they are.
_INDEX = """
local found = {}
for _, row in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])) do
    local at = ''
    for i = 1, #row[2], 2 do if row[2][i] == 'captured_at' then at = row[2][i + 1] end end
    found[#found + 1] = row[1]
    found[#found + 1] = at
end
return found
"""

# KEYS: workers, loads. ARGV: worker, load, how long (ms) somebody counts as present. Answers those present: name, load.
_BEAT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - 60000)) do
    redis.call('ZREM', KEYS[1], name)
    redis.call('HDEL', KEYS[2], name)
end
local found = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[3], '+inf')) do
    found[#found + 1] = name
    found[#found + 1] = redis.call('HGET', KEYS[2], name) or '0'
end
return found
"""

# KEYS: workers, loads. ARGV: how long (ms) somebody counts as present. Answers those present: name, load.
_PRESENT = """
local time = redis.call('TIME')
local since = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[1]
local found = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], since, '+inf')) do
    found[#found + 1] = name
    found[#found + 1] = redis.call('HGET', KEYS[2], name) or '0'
end
return found
"""

GAPS_KEPT = 1000
DROPPED = "dropped_"  # a counter's name: this and the reason
WINDOW = "window"  # the reason that is no loss: the first frames of a session only fill the window
PRESENT_S = 10.0  # somebody works at a stage who was heard of so recently


@dataclass(frozen=True, slots=True)
class Overview:
    """What the bus says of one camera; a report that cannot be read counts as none."""

    ingest: IngestReport | None
    inference: InferenceReport | None
    cursor: FrameId | None
    counters: dict[str, int]


@dataclass(frozen=True, slots=True)
class Scored:
    """What the owner of a camera writes of one frame."""

    score: Score
    heat: Heat
    live: bool = False  # how long it took since its capture says something, and is counted


Outcome = Scored | Gap


def connect(url: str) -> redis.Redis:
    """A client that gives up on a silent server after seconds, not never. Does not connect yet."""
    scheme, _, rest = url.partition("://")
    options = {
        "protocol": 2,
        "socket_timeout": 10,
        "socket_connect_timeout": 3,
        "health_check_interval": 15,
        "retry": Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), 2),
    }
    if scheme.endswith(MARK):
        return cast(redis.Redis, Cluster(f"{scheme.removesuffix(MARK)}://{rest}", **options))
    return redis.Redis.from_url(url, **options)


class Bus:
    """Typed access to the bus. Every method may raise one of UNAVAILABLE."""

    def __init__(
        self, client: redis.Redis, *, frames_kept: int, scores_kept: int, heats_kept: int
    ) -> None:
        self._redis = client
        self._frames_kept = frames_kept
        self._scores_kept = scores_kept
        self._heats_kept = heats_kept
        self._broken = Rarely(BROKEN_LINE_EVERY_S, BROKEN_LINES_AT_ONCE)

    @property
    def address(self) -> str:
        """Where its server is, for a person."""
        return urls.of_server(self._redis.connection_pool.connection_kwargs)

    def ping(self) -> None:
        self._redis.ping()

    # Frames

    def add_frame(
        self, frame: Frame, token: str, *, kept: int | None = None, behind: FrameId | None = None
    ) -> int:
        """Append; the oldest frame drops where the stream holds `kept`.

        behind: the frame that must be the newest. Answers ADDED, REPEATED (not newer), FENCED, UNOWNED or LOST.
        """
        of = frame.camera
        names = keys.lease("ingest", of), keys.frames(of), keys.counters(of)
        fields = codec.flat(codec.frame_fields(frame))
        words = (token, str(frame.id), str(kept or self._frames_kept), str(behind or ""))
        return cast(int, self._redis.eval(_ADD_FRAME, len(names), *names, *words, *fields))

    def frames_after(
        self, after: Mapping[str, FrameId | None], count: int
    ) -> dict[str, list[Frame]]:
        """Up to `count` frames of each camera behind its id (None: from the oldest kept), without waiting.

        One that cannot be read is removed from its stream, and comes without pixels: its number is not lost.
        """
        rows = self._after(keys.frames, after, count)
        return {
            camera: self._readable(
                keys.frames, codec.read_frame, camera, found, codec.unreadable_frame
            )
            for camera, found in rows.items()
        }

    def frame(self, camera: str, frame_id: FrameId | None = None) -> Frame | None:
        """One frame, by default the newest; None where it is no longer (or not yet) here."""
        found = self._one(keys.frames, camera, frame_id)
        return codec.read_frame(camera, *found) if found else None

    def frame_times(
        self, camera: str, after: FrameId | None, count: int
    ) -> list[tuple[FrameId, float]]:
        """Id and captured_at of up to `count` frames behind an id, ascending, without their pixels."""
        start = f"({after}" if after else "-"
        found = cast(
            list[bytes], self._redis.eval(_INDEX, 1, keys.frames(camera), start, str(count))
        )
        return [
            (FrameId.parse(entry.decode()), _seconds(at))
            for entry, at in zip(found[::2], found[1::2], strict=True)
        ]

    def newest_frame_id(self, camera: str) -> FrameId | None:
        """The id of the newest frame, without its pixels."""
        try:
            info = cast(dict[str, bytes], self._redis.xinfo_stream(keys.frames(camera)))
        except redis.ResponseError as error:
            if "no such key" not in str(error):
                raise
            return None
        return FrameId.parse(info["last-generated-id"].decode())

    # What becomes of frames: scores with heatmaps, and gaps

    def add_outcomes(self, outcomes: Sequence[tuple[str, Outcome]]) -> list[int]:
        """Write, each with the token of its camera's lease; one answer each: ADDED, REPEATED, FENCED, UNOWNED."""
        pipe = self._redis.pipeline(transaction=False)
        for token, outcome in outcomes:
            if isinstance(outcome, Gap):
                self._queue_gap(pipe, token, outcome)
            else:
                self._queue_score(pipe, token, outcome)
        answers = pipe.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _queue_score(self, pipe: Any, token: str, outcome: Scored) -> None:
        score, of = outcome.score, outcome.score.camera
        names = (
            keys.lease("inference", of),
            keys.scores(of),
            keys.heat(of),
            keys.cursor(of),
            keys.counters(of),
        )
        counted = codec.flat(_counted(outcome))
        cells = codec.flat(codec.heat_fields(outcome.heat))
        limits = self._scores_kept, self._heats_kept, len(cells), len(counted)
        fields = codec.flat(codec.score_fields(score))
        words = (token, str(score.id), *map(str, limits))
        pipe.execute_command(
            "EVAL", _ADD_SCORE, len(names), *names, *words, *counted, *cells, *fields
        )

    def _queue_gap(self, pipe: Any, token: str, gap: Gap) -> None:
        of = gap.camera
        names = keys.lease("inference", of), keys.gaps(of), keys.cursor(of), keys.counters(of)
        last = gap.first_seq + gap.frames - 1
        counter = gap.reason if gap.reason == WINDOW else f"{DROPPED}{gap.reason}"
        words = (token, gap.session, gap.first_seq, last, gap.reason, GAPS_KEPT, counter)
        pipe.execute_command("EVAL", _ADD_GAP, len(names), *names, *map(str, words))

    def gaps(self, camera: str) -> list[Gap]:
        """The newest GAPS_KEPT gaps, ascending."""
        found = cast(list[Entry], self._redis.xrange(keys.gaps(camera)))
        return [codec.read_gap(camera, row) for _, row in found]

    def scores_after(
        self, after: Mapping[str, FrameId | None], count: int
    ) -> dict[str, list[Score]]:
        """Up to `count` scores of each camera behind its id (None: from the oldest kept), without waiting."""
        rows = self._after(keys.scores, after, count)
        return {
            camera: self._readable(keys.scores, codec.read_score, camera, found)
            for camera, found in rows.items()
        }

    def newest_score_id(self, camera: str) -> FrameId | None:
        """Where the scores end now: a listener starts behind it."""
        found = cast(list[Entry], self._redis.xrevrange(keys.scores(camera), count=1))
        return FrameId.parse(found[0][0].decode()) if found else None

    def newest_score_ids(self, cameras: Iterable[str]) -> dict[str, FrameId]:
        """The newest score's id of each camera that has any, in one round trip."""
        names = list(cameras)
        pipe = self._redis.pipeline(transaction=False)
        for camera in names:
            pipe.xrevrange(keys.scores(camera), count=1)
        answers = cast(list[list[Entry]], pipe.execute())
        return {
            camera: FrameId.parse(found[0][0].decode())
            for camera, found in zip(names, answers, strict=True)
            if found
        }

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

    def remind(self, camera: str, token: str, cursor: FrameId | None, saved: FrameId | None) -> int:
        """Tell a bus that was started anew what it has lost, and any bus how far the store is. ADDED or FENCED."""
        names = keys.lease("inference", camera), keys.cursor(camera), keys.saved(camera)
        words = (token, str(cursor or ""), str(saved or ""))
        return cast(int, self._redis.eval(_REMIND, len(names), *names, *words))

    def saved(self, camera: str) -> FrameId | None:
        """The frame up to which the store holds what the camera learned."""
        text = cast(bytes | None, self._redis.get(keys.saved(camera)))
        return FrameId.parse(text.decode()) if text else None

    def cursor(self, camera: str) -> FrameId | None:
        """The last frame that inference has dealt with."""
        text = cast(bytes | None, self._redis.get(keys.cursor(camera)))
        return FrameId.parse(text.decode()) if text else None

    def report_ingest(self, camera: str, report: IngestReport) -> None:
        self._redis.set(keys.ingest_report(camera), codec.dump(report))

    def report_infer(self, camera: str, report: InferenceReport) -> None:
        self._redis.set(keys.infer_report(camera), codec.dump(report))

    def ingest_report(self, camera: str) -> IngestReport | None:
        return self._report(IngestReport, keys.ingest_report(camera))

    def infer_report(self, camera: str) -> InferenceReport | None:
        return self._report(InferenceReport, keys.infer_report(camera))

    def count(self, camera: str, what: str, by: int = 1) -> None:
        self._redis.hincrby(keys.counters(camera), what, by)

    def counters(self, camera: str) -> dict[str, int]:
        """What happened how often: `frames`, `scores`, `memory_updated`, `memory_kept`, `reconnects`, `corrupt`
        (packets), `window` (frames that only filled one), `dropped_<reason>` (frames never scored), `broken`
        (messages that could not be read and were removed), and the histograms of `metrics`.
        """
        return self._counts(keys.counters(camera))

    def count_stage(self, stage: str, counts: Mapping[str, int]) -> None:
        """Add to what the workers of a stage have counted together."""
        pipe = self._redis.pipeline(transaction=False)
        for what, by in counts.items():
            pipe.hincrby(keys.stage_counters(stage), what, by)
        pipe.execute()

    def stage_counters(self, stage: str) -> dict[str, int]:
        """What the workers of a stage did how often: the histograms of `metrics`."""
        return self._counts(keys.stage_counters(stage))

    def _counts(self, key: str) -> dict[str, int]:
        return _as_counts(cast(dict[bytes, bytes], self._redis.hgetall(key)))

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

    def beat(
        self, stage: str, worker: str, load: float = 0.0, present_s: float = PRESENT_S
    ) -> dict[str, float]:
        """Say that `worker` is at work at this stage, carrying `load`; answers everybody who is: worker → load."""
        words = (worker, repr(load), str(int(present_s * 1000)))
        return _as_loads(self._redis.eval(_BEAT, 2, keys.workers(stage), keys.loads(stage), *words))

    def leave(self, stage: str, worker: str) -> None:
        """Say that `worker` is at work no longer."""
        self._redis.zrem(keys.workers(stage), worker)

    def present(self, stage: str) -> dict[str, float]:
        """Those at work at this stage, and what each carries: worker → load."""
        names = keys.workers(stage), keys.loads(stage)
        return _as_loads(self._redis.eval(_PRESENT, len(names), *names, str(int(PRESENT_S * 1000))))

    def beats(self, stage: str) -> bool:
        """Whether anybody is."""
        return bool(self.present(stage))

    def forget(self, camera: str) -> None:
        """Drop everything the bus holds of a camera."""
        streams = [name(camera) for name in (keys.frames, keys.scores, keys.heat, keys.gaps)]
        strings = [keys.cursor, keys.saved, keys.ingest_report, keys.infer_report, keys.counters]
        self._redis.delete(*streams, *(name(camera) for name in strings))

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
        self,
        key: Key,
        read: Callable[[str, FrameId, Row], Message],
        camera: str,
        rows: Sequence[tuple[FrameId, Row]],
        instead: Callable[[str, FrameId], Message] | None = None,
    ) -> list[Message]:
        """What can be read; what cannot is removed from its stream and counted, so that no reader meets it again."""
        messages = []
        for frame_id, row in rows:
            try:
                messages.append(read(camera, frame_id, row))
            except BrokenMessageError as error:
                self._tell_broken(camera, frame_id, error)
                self._redis.xdel(key(camera), str(frame_id))
                self.count(camera, "broken")
                messages += [instead(camera, frame_id)] if instead else []
        return messages

    def _tell_broken(self, camera: str, frame_id: FrameId, error: BrokenMessageError) -> None:
        """Another version may write nothing else."""
        self._broken.note()
        more = self._broken.due()
        if more is not None:
            about = {"camera": camera, "session": frame_id.session, "seq": frame_id.seq}
            log.warning("%s; removed%s", error, more, extra=about)

    def _one(
        self, key: Key, camera: str, frame_id: FrameId | None
    ) -> tuple[FrameId, dict[bytes, bytes]] | None:
        if frame_id is None:
            found = cast(list[Entry], self._redis.xrevrange(key(camera), count=1))
        else:
            found = cast(
                list[Entry], self._redis.xrange(key(camera), min=str(frame_id), max=str(frame_id))
            )
        return (FrameId.parse(found[0][0].decode()), found[0][1]) if found else None

    def _report(self, kind: type[Report], key: str) -> Report | None:
        text = cast(bytes | None, self._redis.get(key))
        return codec.load(kind, text) if text else None


def _overview(
    ingest: bytes | None,
    inference: bytes | None,
    cursor: bytes | None,
    counters: dict[bytes, bytes],
) -> Overview:
    return Overview(
        _readable(IngestReport, ingest),
        _readable(InferenceReport, inference),
        FrameId.parse(cursor.decode()) if cursor else None,
        _as_counts(counters),
    )


def _counted(outcome: Scored) -> codec.Fields:
    """Which of the camera's counters a score raises, and by how much."""
    decision = {True: "memory_updated", False: "memory_kept", None: None}[
        outcome.score.memory_updated
    ]
    counts = {"scores": 1} | ({decision: 1} if decision else {})
    if outcome.live:
        counts |= metrics.observed(metrics.LATENCY, time.time() - outcome.score.captured_at)
    return {name: str(by) for name, by in counts.items()}


def _as_counts(found: Mapping[bytes, bytes]) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in found.items()}


def _as_loads(answer: Any) -> dict[str, float]:
    """Of `_BEAT` and `_PRESENT`."""
    return {
        name.decode(): float(load) for name, load in zip(answer[::2], answer[1::2], strict=True)
    }


def _readable(kind: type[Report], text: bytes | None) -> Report | None:
    try:
        return codec.load(kind, text) if text else None
    except BrokenMessageError:
        return None


def _seconds(text: bytes) -> float:
    """A frame that cannot be read has no time; it is found out when it is fetched."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
