"""Counters of cameras and stages, shared by all workers of a stage."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import cast

import redis

from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import FrameId
from lookout.service.core.throttle import Throttle
from lookout.service.storage.bus.mending import Mending
from lookout.service.storage.redis import codec, keys

log = logging.getLogger(__name__)

BROKEN_LINE_EVERY_S = 60.0
BROKEN_LINES_AT_ONCE = 5

DROPPED = "dropped_"
"""Prefix of a counter's name; the reason follows."""

UNREAD = "unread"
"""Scores that alerting had not read when their stream dropped them."""

WINDOW = "window"
"""A reason that is no loss: the first frames of a session only fill the window."""

STORE_FAILURES = "store_failures"
"""Counter of the stage `inference`."""


class Counters(Mending):
    """Counters in Redis, which start at zero when the bus restarts."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client)
        self._broken_log = Throttle(BROKEN_LINE_EVERY_S, BROKEN_LINES_AT_ONCE)

    def count(self, camera: str, name: str, by: int = 1) -> None:
        """Add to a counter of a camera."""
        with self.mending([camera]):
            self._redis.hincrby(keys.counters(camera), name, by)

    def counters(self, camera: str) -> dict[str, int]:
        """Return a camera's counters.

        `frames`, `scores`, `reused` (of them: of a still picture), `memory_updated`,
        `memory_kept`, `reconnects`, `corrupt` (packets),
        `window` (frames that only filled one), `dropped_<reason>` (frames never scored), `unread`
        (scores that alerting has missed), `broken` (messages that could not be read and were
        removed), `clips_written`, `clips_failed`, `clips_dropped`,
        `evidence_copied`, `evidence_lost`, `alerts_suppressed`, and the histograms of `metrics`.
        """
        with self.mending([camera]):
            counted = self._redis.hgetall(keys.counters(camera))
        return parse_counters(cast(dict[bytes, bytes], counted))

    def count_stage(self, stage: str, counts: Mapping[str, int]) -> None:
        """Add to the counters that the workers of a stage share."""
        pipe = self._redis.pipeline(transaction=False)
        for name, by in counts.items():
            pipe.hincrby(keys.stage_counters(stage), name, by)
        with self.mending([]):
            pipe.execute()

    def stage_counters(self, stage: str) -> dict[str, int]:
        """Return the counters of a stage: the histograms of `metrics`."""
        with self.mending([]):
            counted = self._redis.hgetall(keys.stage_counters(stage))
        return parse_counters(cast(dict[bytes, bytes], counted))

    def count_broken(self, camera: str, frame_id: FrameId, error: BrokenMessageError) -> None:
        """Count and log a message that is removed since it cannot be read.

        A writer of another version may write nothing else, so the log is throttled.
        """
        self._broken_log.note()
        unsaid = self._broken_log.due()
        if unsaid is not None:
            about = {"camera": camera, "session": frame_id.session, "seq": frame_id.seq}
            log.warning("%s; removed%s", error, unsaid, extra=about)
        self.count(camera, "broken")


def parse_counters(fields: Mapping[bytes, bytes]) -> dict[str, int]:
    """Return a hash of counters as numbers; what is none counts as 0."""
    values = fields.values()
    read = int if all(map(bytes.isdigit, values)) else codec.count
    return dict(zip(map(counter_name, fields), map(read, values), strict=True))


@lru_cache(maxsize=1000)
def counter_name(field: bytes) -> str:
    """Return a counter's name; few names stand in the hashes of many cameras."""
    return field.decode(errors="replace")
