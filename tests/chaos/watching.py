"""Watching the bus from outside, with a client of its own: frame ids, scores and gaps, read often and kept here.

It trusts no counter of the service. When the bus is started anew, its streams begin anew, and so does the reading; what
was written after the last look at the former bus, nobody has seen.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from service import keys
from service.messages import FrameId
from tests.chaos.seen import CameraSeen, GapSeen, ScoreSeen

LOOK_EVERY_S = 0.03
COUNT = 500

_NUMBERS = (b"psnr_db", b"distance", b"gate_error", b"memory_updated", b"value")
_ANSWERS = 6  # a camera's, of one look

Row = tuple[bytes, dict[bytes, bytes]]


def client(socket_path: str) -> redis.Redis:
    """One that says at once when its server is away."""
    return redis.Redis(unix_socket_path=socket_path, protocol=2, socket_timeout=5, retry=Retry(NoBackoff(), 0))


@dataclass(slots=True)
class Life:
    """One run of the bus, from its first to its last look."""

    run_id: str
    first_look: float
    last_look: float
    whole: bool = False  # nothing was written after the last look


@dataclass(slots=True)
class _Places:
    """Up to where one camera's streams have been read in this life."""

    frames: str = "-"
    scores: str = "-"
    gaps: str = "-"


@dataclass
class BusWatch:
    """A thread, as a context. `follow` a camera; read what was seen of it under `seen`."""

    socket_path: str
    lives: list[Life] = field(default_factory=list)
    seen: dict[str, CameraSeen] = field(default_factory=dict)
    looks: int = 0
    longest_look_s: float = 0.0

    def __post_init__(self) -> None:
        self.mutex = threading.RLock()  # held while `seen` changes
        self._redis = client(self.socket_path)
        self._places: dict[str, _Places] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bus watch", daemon=True)

    def __enter__(self) -> BusWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self._redis.close()

    def follow(self, camera: str) -> None:
        with self.mutex:
            self.seen[camera] = CameraSeen()
            self._places[camera] = _Places()

    def leave(self, camera: str) -> None:
        """Nothing more is to come of it; what was seen stays."""
        with self.mutex:
            self._places.pop(camera, None)

    def followed(self) -> list[str]:
        with self.mutex:
            return list(self._places)

    def freeze(self, limit_ms: int) -> None:
        """Let nobody write for so long: what has been written can be read to its end. Raises redis.RedisError."""
        with client(self.socket_path) as one:
            one.execute_command("CLIENT", "PAUSE", limit_ms, "WRITE")

    def stored_score_ids(self, camera: str) -> list[FrameId]:
        """All that are on the bus now. Raises redis.RedisError."""
        with client(self.socket_path) as one:
            rows = cast(list[Row], one.xrange(keys.scores(camera)))
        return [FrameId.parse(entry.decode()) for entry, _ in rows]

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            began = time.monotonic()
            try:
                self._look()
            except redis.RedisError:
                continue
            self.looks += 1
            self.longest_look_s = max(self.longest_look_s, time.monotonic() - began)

    def _look(self) -> None:
        """All cameras at one moment of the bus: what one look sees belongs together."""
        with self.mutex:
            places = dict(self._places)
        pipe = self._redis.pipeline(transaction=True)
        pipe.info("server")
        for camera, place in places.items():
            _ask(pipe, camera, place)
        info, *answers = pipe.execute()
        with self.mutex:
            if self._is_new(str(info["run_id"])):
                return  # asked from where the former bus had ended
            now = self.lives[-1].last_look = time.time()
            for i, (camera, place) in enumerate(places.items()):
                self._take(camera, place, answers[_ANSWERS * i : _ANSWERS * (i + 1)], now)

    def _is_new(self, run_id: str) -> bool:
        if self.lives and self.lives[-1].run_id == run_id:
            return False
        self.lives.append(Life(run_id, time.time(), time.time()))
        self._places = {camera: _Places() for camera in self._places}
        return True

    def _take(self, camera: str, place: _Places, answers: list[Any], now: float) -> None:
        seen, life = self.seen[camera], len(self.lives) - 1
        frames, scores, gaps, cursor, infer, ingest = answers
        for entry, _ in cast(list[Row], frames):
            seen.add_frame(FrameId.parse(entry.decode()), life, now)
            place.frames = f"({entry.decode()}"
        for entry, row in cast(list[Row], scores):
            seen.add_score(FrameId.parse(entry.decode()), _score(row, life, now))
            place.scores = f"({entry.decode()}"
        for entry, row in cast(list[Row], gaps):
            session, first, count = (int(row[name]) for name in (b"session", b"first", b"frames"))
            seen.gaps.append(GapSeen(session, first, count, row[b"reason"].decode(), life))
            place.gaps = f"({entry.decode()}"
        if cursor:
            seen.add_cursor(FrameId.parse(cursor.decode()), life)
        seen.infer_worker = _worker(infer) or seen.infer_worker
        seen.ingest_worker = _worker(ingest) or seen.ingest_worker
        seen.ingest_state = json.loads(ingest)["state"] if ingest else seen.ingest_state


def _ask(pipe: Any, camera: str, place: _Places) -> None:
    pipe.xrange(keys.frames(camera), min=place.frames, count=COUNT)
    pipe.xrange(keys.scores(camera), min=place.scores, count=COUNT)
    pipe.xrange(keys.gaps(camera), min=place.gaps, count=COUNT)
    pipe.get(keys.cursor(camera))
    pipe.get(keys.infer_report(camera))
    pipe.get(keys.ingest_report(camera))


def _score(row: dict[bytes, bytes], life: int, now: float) -> ScoreSeen:
    psnr, distance, gate, updated, value = (float(row[name]) if name in row else None for name in _NUMBERS)
    numbers = (psnr, distance, gate, updated, value)
    return ScoreSeen(float(row[b"captured_at"]), float(row[b"scored_at"]), now, life, numbers)


def _worker(report: bytes | None) -> int | None:
    """The process id in a worker's name, `<host>-<pid>-<4 hex>`."""
    name = json.loads(report).get("worker", "") if report else ""
    parts = name.rsplit("-", 2)
    return int(parts[1]) if len(parts) == 3 else None
