"""Keys of a camera that hold something else: removed, so that one camera stops nobody.

Redis refuses a command on a key of another type (WRONGTYPE), and with it the whole pipeline that
serves many cameras. Nothing on the bus is worth more than the line that goes on: what stands there
is dropped with a log line, and the caller, which tries again as after any refusal, finds it gone.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import redis

from lookout.service.core.stages import REPORTING_NAMES
from lookout.service.storage.redis import codec, keys
from lookout.service.storage.redis.connect import Server, is_wrong_key

log = logging.getLogger(__name__)

KINDS: dict[Callable[[str], str], str] = {
    keys.frames: "stream",
    keys.scores: "stream",
    keys.heat: "stream",
    keys.gaps: "stream",
    keys.cursor: "string",
    keys.snapshot_cursor: "string",
    keys.ingest_report: "string",
    keys.inference_report: "string",
    keys.evidence: "hash",
    keys.looked_at: "string",
    keys.live_picture: "stream",
    keys.counters: "hash",
}
"""Every key that the bus has of a camera, and its type, but leases and owners."""

STAGE_KINDS: dict[Callable[[str], str], str] = {
    keys.workers: "zset",
    keys.loads: "hash",
    keys.stage_counters: "hash",
}
"""Every key that the bus has of a stage."""


class Mending(Server):
    """A server whose data may be dropped."""

    @contextlib.contextmanager
    def mending(self, cameras: Iterable[str]) -> Iterator[None]:
        """Remove wrong keys of these cameras where Redis refuses the block for one; raise on."""
        try:
            yield
        except redis.ResponseError as error:
            if is_wrong_key(error):
                self.remove_wrong_keys(cameras)
            raise

    def remove_wrong_keys(self, cameras: Iterable[str]) -> None:
        """Remove the keys of cameras and stages that are not of the type that they should be.

        A cursor that is none, and counters that are no numbers, go with them.
        """
        names = list(cameras)
        wanted = {key(camera): kind for camera in names for key, kind in KINDS.items()}
        for camera in names:
            for stage in REPORTING_NAMES:
                wanted[keys.lease(stage, camera)] = wanted[keys.owner(stage, camera)] = "string"
        wanted |= {
            key(stage): kind for stage in REPORTING_NAMES for key, kind in STAGE_KINDS.items()
        }
        pipe = self._redis.pipeline(transaction=False)
        for name in wanted:
            pipe.type(name)
        wrong = {}
        for (name, kind), found in zip(wanted.items(), pipe.execute(), strict=True):
            if found.decode() not in ("none", kind):
                wrong[name] = f"was a {found.decode()}"
        for camera in names:
            for name in {keys.cursor(camera), keys.snapshot_cursor(camera)} - wrong.keys():
                text = cast(bytes | None, self._redis.get(name))
                if text is not None and codec.frame_id(text) is None:
                    wrong[name] = f"held {text[:20]!r}"
            if (name := keys.counters(camera)) not in wrong:
                values = cast(list[bytes], self._redis.hvals(name))
                if not all(value.isdigit() and len(value) < 19 for value in values):
                    wrong[name] = "held no numbers"
        for name, what in wrong.items():
            log.warning("the bus's key %s %s and is removed", name, what)
            self._redis.delete(name)
