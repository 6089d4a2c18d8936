"""Live pictures of cameras that somebody looks at: asked for by the API, made by ingest.

A key that runs out says that pictures of a camera are wanted; the newest one lies in a stream that
holds no other, and runs out as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast

from lookout.service.storage.bus.mending import Mending
from lookout.service.storage.redis import keys

ASKED_S = 5
"""Pictures are made for so long after they were asked for: whoever asks, asks again."""

KEPT_S = 3
"""A picture stays for so long: a camera that is away shows none."""

PICTURE = "jpeg"  # the field


class LivePicture(NamedTuple):
    """A picture, and its id in the stream."""

    id: str
    jpeg: bytes


class LivePictures(Mending):
    """The live pictures of every camera. Every method may raise one of UNAVAILABLE."""

    def ask_pictures(self, cameras: Iterable[str]) -> None:
        """Ask for pictures of cameras for the next ASKED_S."""
        pipe = self._redis.pipeline(transaction=False)
        for camera in cameras:
            pipe.set(keys.looked_at(camera), "1", ex=ASKED_S)
        pipe.execute()

    def pictures_asked(self, camera: str) -> bool:
        """Return whether somebody wants pictures of a camera."""
        return bool(self._redis.exists(keys.looked_at(camera)))

    def show_picture(self, camera: str, jpeg: bytes) -> None:
        """Put a picture in place of the one before."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.xadd(keys.live_picture(camera), {PICTURE: jpeg}, maxlen=1, approximate=False)
        pipe.expire(keys.live_picture(camera), KEPT_S)
        with self.mending([camera]):
            pipe.execute()

    def pictures_after(self, after: Mapping[str, str | None]) -> dict[str, LivePicture]:
        """Return the newest picture of each camera that has another than that with the id."""
        pipe = self._redis.pipeline(transaction=False)
        for camera, last in after.items():
            pipe.xrange(keys.live_picture(camera), min=f"({last}" if last else "-", count=1)
        with self.mending(after):
            found = cast(list[list[tuple[bytes, dict[bytes, bytes]]]], pipe.execute())
        return {
            camera: LivePicture(rows[0][0].decode(), rows[0][1].get(PICTURE.encode(), b""))
            for camera, rows in zip(after, found, strict=True)
            if rows
        }
