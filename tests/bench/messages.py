"""Time to write and read messages of Redis, types checked, without the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from lookout.service.core.messages import Alert, FrameId, IngestReport, Score
from lookout.service.storage.redis import codec
from tests.bench.table import Row

COMMAND = "python -m tests.bench messages"

AT = 1700000000.25
SCORE = Score("gate", 1000, 7, AT, AT, "square", 30.1234, 0.0042, 0.1, True, 0.25, 31.25)
ALERT = Alert("gate:1000-7", "gate", "open", AT, None, 0.75, 0.9, AT)
REPORT = IngestReport("online", AT, 1, None, 1000, 7, AT, 10.0, worker="w-1")


def microseconds(work: Callable[[], object], times: int) -> float:
    """Return the mean time of a call in microseconds, the best of three rounds."""
    rounds = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(times):
            work()
        rounds.append(time.perf_counter() - start)
    return min(rounds) / times * 1e6


def report(_folder: Path, times: int = 20_000) -> Iterator[Row]:
    """Yield two rows for each message: the time to write it, and to read it."""
    row = {
        name.encode(): value if isinstance(value, bytes) else value.encode()
        for name, value in codec.score_fields(SCORE).items()
    }
    frame_id = FrameId(1000, 7)
    parts = [
        (
            "score",
            microseconds(lambda: codec.score_fields(SCORE), times),
            microseconds(lambda: codec.read_score("gate", frame_id, row), times),
        )
    ]
    for name, message in (("alert", ALERT), ("report", REPORT)):
        text = codec.dump(message)
        parts.append(
            (
                name,
                microseconds(partial(codec.dump, message), times),
                microseconds(partial(codec.load, type(message), text), times),
            )
        )
    for name, written_us, read_us in parts:
        yield Row(f"message: {name}, to write (µs)", written_us, COMMAND)
        yield Row(f"message: {name}, to read (µs)", read_us, COMMAND)
