"""Keys of a camera that hold something else: removed, so that one camera stops nobody.

Redis refuses a command on a key of another type (WRONGTYPE), and with it the whole pipeline that
serves many cameras. Nothing on the bus is worth more than the line that goes on: what stands there
is dropped with a log line, and the caller, which tries again as after any refusal, finds it gone.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator

import redis

from lookout.service.core.stages import REPORTING_NAMES
from lookout.service.storage.redis import keys
from lookout.service.storage.redis.connect import Server

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
    keys.counters: "hash",
}
"""Every key that the bus has of a camera, and its type, but leases and owners."""


class Mending(Server):
    """A server whose data may be dropped."""

    @contextlib.contextmanager
    def mending(self, cameras: Iterable[str]) -> Iterator[None]:
        """Remove wrong keys of these cameras where Redis refuses the block for one; raise on."""
        try:
            yield
        except redis.ResponseError as error:
            if "WRONGTYPE" in str(error):
                self.remove_wrong_keys(cameras)
            raise

    def remove_wrong_keys(self, cameras: Iterable[str]) -> None:
        """Remove the cameras' keys that are not of the type that they should be."""
        wanted = {key(camera): kind for camera in cameras for key, kind in KINDS.items()}
        for camera in cameras:
            for stage in REPORTING_NAMES:
                wanted[keys.lease(stage, camera)] = wanted[keys.owner(stage, camera)] = "string"
        pipe = self._redis.pipeline(transaction=False)
        for name in wanted:
            pipe.type(name)
        for (name, kind), found in zip(wanted.items(), pipe.execute(), strict=True):
            if found.decode() not in ("none", kind):
                log.warning("the bus's key %s was a %s and is removed", name, found.decode())
                self._redis.delete(name)
