"""Reading the stream that each camera has of one kind of message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar, cast

import redis

from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import FrameId
from lookout.service.storage.redis import scripts
from lookout.service.storage.redis.codec import Row

M = TypeVar("M")

StreamEntry = tuple[bytes, dict[bytes, bytes]]


class MessageStream(Generic[M]):
    """A bounded stream a camera. Ids have the form of a frame's, `<number>-<number>`, everywhere.

    An entry that cannot be read is handed to `on_broken` and removed from its stream, so that no
    reader meets it again; where `on_broken` returns a message, that one takes its place.
    """

    def __init__(
        self,
        client: redis.Redis,
        key: Callable[[str], str],
        decode: Callable[[str, FrameId, Row], M],
        on_broken: Callable[[str, FrameId, BrokenMessageError], M | None],
    ) -> None:
        self._redis = client
        self._key = key
        self._decode = decode
        self._on_broken = on_broken

    def after(
        self, after: Mapping[str, FrameId | None], count: int
    ) -> dict[str, list[tuple[FrameId, M]]]:
        """Return up to `count` messages of each camera behind its id, without waiting.

        None: from the oldest kept. Cameras that have none are left out. One round trip, one command
        a camera.
        """
        pipe = self._redis.pipeline(transaction=False)
        for camera, last in after.items():
            pipe.xrange(self._key(camera), min=f"({last}" if last else "-", count=count)
        answers = cast(list[list[StreamEntry]], pipe.execute())
        messages = {
            camera: self.readable(camera, entries)
            for camera, entries in zip(after, answers, strict=True)
        }
        return {camera: found for camera, found in messages.items() if found}

    def newest(self, camera: str, count: int) -> list[tuple[FrameId, M]]:
        """Return the newest `count` messages, newest first."""
        entries = cast(list[StreamEntry], self._redis.xrevrange(self._key(camera), count=count))
        return self.readable(camera, entries)

    def newest_ids(self, cameras: Iterable[str]) -> dict[str, FrameId]:
        """Return the newest id of each camera that has a message, in one round trip."""
        names = list(cameras)
        pipe: Any = self._redis.pipeline(transaction=False)
        for camera in names:
            pipe.execute_command("EVAL", scripts.NEWEST_ID, 1, self._key(camera))
        answers = cast(list[bytes | None], pipe.execute())
        return {
            camera: FrameId.parse(newest.decode())
            for camera, newest in zip(names, answers, strict=True)
            if newest
        }

    def newest_id(self, camera: str) -> FrameId | None:
        """Return the id at which the stream ends now: a listener starts behind it."""
        return self.newest_ids([camera]).get(camera)

    def get(self, camera: str, message_id: FrameId | None = None) -> M | None:
        """Return one message, by default the newest; None where the stream does not hold it.

        Raises BrokenMessageError.
        """
        key = self._key(camera)
        if message_id is None:
            entries = cast(list[StreamEntry], self._redis.xrevrange(key, count=1))
        else:
            one = str(message_id)
            entries = cast(list[StreamEntry], self._redis.xrange(key, min=one, max=one))
        if not entries:
            return None
        entry_id, row = entries[0]
        return self._decode(camera, FrameId.parse(entry_id.decode()), row)

    def readable(self, camera: str, entries: Iterable[StreamEntry]) -> list[tuple[FrameId, M]]:
        """Decode entries, and remove from the stream those that cannot be read."""
        messages = []
        for entry_id, row in entries:
            message_id = FrameId.parse(entry_id.decode())
            message: M | None
            try:
                message = self._decode(camera, message_id, row)
            except BrokenMessageError as error:
                message = self._on_broken(camera, message_id, error)
                self._redis.xdel(self._key(camera), entry_id)
            if message is not None:
                messages.append((message_id, message))
        return messages
