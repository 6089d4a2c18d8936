"""Watching the bus from outside, with a client of its own: frame ids, scores and gaps, read often
and kept here.

It trusts no counter of the service. When the bus is started anew, its streams begin anew, and so
does the reading; what was written after the last look at the former bus, nobody has seen.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, cast

from lookout.service.core.messages import FrameId
from lookout.service.storage.redis import keys
from tests.chaos.looking import COUNT, Looking, Row, client
from tests.chaos.seen import STAGES, CameraSeen, GapSeen, ScoreSeen

LOOK_EVERY_S = 0.03
LIFE = "chaos_life"  # on the bus, how often it was emptied: each time, another life begins

_NUMBERS = (b"psnr_db", b"distance", b"gate_error", b"memory_updated", b"value")
_ANSWERS = 6 + len(STAGES)  # a camera's, of one look


@dataclass(slots=True)
class Life:
    """One run of the bus, or the time until it was emptied, from the first to the last look."""

    name: str
    first_look: float
    last_look: float
    whole: bool = False  # nothing was written after the last look


@dataclass(slots=True)
class _Places:
    """The positions up to which one camera's streams have been read in this life of the bus."""

    frames: str = "-"
    scores: str = "-"
    gaps: str = "-"


class BusWatch(Looking):
    """Watches the bus: `follow` a camera, and read its observations under `seen`."""

    def __init__(self, socket_path: str) -> None:
        super().__init__(socket_path, LOOK_EVERY_S)
        self.lives: list[Life] = []
        self.seen: dict[str, CameraSeen] = {}
        self._places: dict[str, _Places] = {}

    def follow(self, camera: str) -> None:
        with self.mutex:
            self.seen[camera] = CameraSeen()
            self._places[camera] = _Places()

    def leave(self, camera: str) -> None:
        """Stop reading the camera's streams; its observations stay."""
        with self.mutex:
            self._places.pop(camera, None)

    def followed(self) -> list[str]:
        with self.mutex:
            return list(self._places)

    def freeze(self, limit_ms: int) -> None:
        """Stop all writes for a while, so that the rest can be read to its end.

        Raise redis.RedisError.
        """
        with client(self.socket_path) as one:
            one.execute_command("CLIENT", "PAUSE", limit_ms, "WRITE")

    def empty(self) -> None:
        """Drop everything that the bus holds, in one step. Raise redis.RedisError."""
        with client(self.socket_path) as one:
            pipe = one.pipeline(transaction=True)
            pipe.flushall()
            pipe.set(LIFE, len(self.lives))
            pipe.execute()

    def stored_score_ids(self, camera: str) -> list[FrameId]:
        """Return the ids of all scores on the bus now. Raise redis.RedisError."""
        with client(self.socket_path) as one:
            rows = cast(list[Row], one.xrange(keys.scores(camera)))
        return [FrameId.parse(entry.decode()) for entry, _ in rows]

    def _look(self) -> None:
        """Read all cameras at one moment of the bus.

        The observations of one look belong together.
        """
        with self.mutex:
            places = dict(self._places)
        pipe = self._redis.pipeline(transaction=True)
        pipe.info("server")
        pipe.get(LIFE)
        for camera, place in places.items():
            _ask(pipe, camera, place)
        info, life, *answers = pipe.execute()
        with self.mutex:
            if self._is_new(f"{info['run_id']} {life}"):
                return  # asked from where the former bus had ended
            now = self.lives[-1].last_look = time.time()
            for i, (camera, place) in enumerate(places.items()):
                self._take(camera, place, answers[_ANSWERS * i : _ANSWERS * (i + 1)], now)

    def _is_new(self, name: str) -> bool:
        if self.lives and self.lives[-1].name == name:
            return False
        self.lives.append(Life(name, time.time(), time.time()))
        self._places = {camera: _Places() for camera in self._places}
        return True

    def _take(self, camera: str, place: _Places, answers: list[Any], now: float) -> None:
        seen, life = self.seen[camera], len(self.lives) - 1
        frames, scores, gaps, cursor, inference, ingest, *tokens = answers
        for entry, _ in cast(list[Row], frames):
            seen.add_frame(FrameId.parse(entry.decode()), life, now)
            place.frames = f"({entry.decode()}"
        for entry, row in cast(list[Row], scores):
            seen.add_score(FrameId.parse(entry.decode()), _score(row, life, now))
            place.scores = f"({entry.decode()}"
        for entry, row in cast(list[Row], gaps):
            session, first, count = (int(row[name]) for name in (b"session", b"first", b"frames"))
            seen.gaps.append(GapSeen(session, first, count, row[b"reason"].decode(), life, now))
            place.gaps = f"({entry.decode()}"
        if cursor:
            seen.add_cursor(FrameId.parse(cursor.decode()), life)
        for stage, token in zip(STAGES, tokens, strict=True):
            seen.add_lease(stage, token.decode() if token else None, now)
        seen.inference_worker = _worker(inference) or seen.inference_worker
        seen.ingest_worker = _worker(ingest) or seen.ingest_worker
        seen.ingest_state = json.loads(ingest)["state"] if ingest else seen.ingest_state


def _ask(pipe: Any, camera: str, place: _Places) -> None:
    pipe.xrange(keys.frames(camera), min=place.frames, count=COUNT)
    pipe.xrange(keys.scores(camera), min=place.scores, count=COUNT)
    pipe.xrange(keys.gaps(camera), min=place.gaps, count=COUNT)
    pipe.get(keys.cursor(camera))
    pipe.get(keys.inference_report(camera))
    pipe.get(keys.ingest_report(camera))
    for stage in STAGES:
        pipe.get(keys.lease(stage, camera))


def _score(row: dict[bytes, bytes], life: int, now: float) -> ScoreSeen:
    psnr, distance, gate, updated, value = (
        float(row[name]) if name in row else None for name in _NUMBERS
    )
    numbers = (psnr, distance, gate, updated, value)
    return ScoreSeen(float(row[b"captured_at"]), float(row[b"scored_at"]), now, life, numbers)


def _worker(report: bytes | None) -> int | None:
    """Return the process id in a worker's name, `<host>-<pid>-<4 hex>`."""
    name = json.loads(report).get("worker", "") if report else ""
    parts = name.rsplit("-", 2)
    return int(parts[1]) if len(parts) == 3 else None
