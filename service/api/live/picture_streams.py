"""Live pictures on their way to those who look.

One task follows the pictures of every camera that somebody looks at, and asks for more of them. A
viewer holds one picture: a newer one takes its place, so that a slow viewer sees fewer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import UNAVAILABLE

MOST_VIEWERS = 32  # of this process
POLL_S = 0.04
ASK_EVERY_S = 1.0
SILENT_S = 5.0  # without a picture: the last one is sent again, and ids may have begun anew


class Viewer:
    """Somebody who looks at a camera. Used in the event loop only."""

    def __init__(self, camera: str) -> None:
        self.camera = camera
        self.jpeg: bytes | None = None  # the picture that is to be sent
        self.due = asyncio.Event()
        self.is_ended = False

    def end(self) -> None:
        """Let the viewer's stream end."""
        self.is_ended = True
        self.due.set()


class PictureStreams:
    """Hands each camera's pictures to its viewers. Used in the event loop only."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._viewers: set[Viewer] = set()
        self._following: asyncio.Task[None] | None = None
        self._is_stopped = False
        self.dropped = 0  # pictures that a newer one replaced before a viewer took them

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    @property
    def has_room(self) -> bool:
        """Return whether one more may look."""
        return len(self._viewers) < MOST_VIEWERS and not self._is_stopped

    def join(self, camera: str) -> Viewer:
        """Add a viewer of a camera; the picture that others see is its first."""
        viewer = Viewer(camera)
        for other in self._viewers:
            if other.camera == camera and other.jpeg is not None:
                viewer.jpeg = other.jpeg
                viewer.due.set()
        self._viewers.add(viewer)
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow())
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Remove a viewer."""
        self._viewers.discard(viewer)

    def stop(self) -> None:
        """End every stream: the process ends."""
        self._is_stopped = True
        for viewer in self._viewers:
            viewer.end()

    async def _follow(self) -> None:
        """Hand out pictures as long as anybody looks; outlive every outage of the bus."""
        last: dict[str, tuple[str, float]] = {}  # id of a camera's newest picture, and since when
        asked_s = 0.0
        while self._viewers:
            now = time.monotonic()
            cameras = {viewer.camera for viewer in self._viewers}
            last = {
                camera: seen
                for camera, seen in last.items()
                if camera in cameras and now - seen[1] < SILENT_S
            }
            with contextlib.suppress(*UNAVAILABLE):
                if now - asked_s >= ASK_EVERY_S or cameras - last.keys():
                    asked_s = now
                    await asyncio.to_thread(self._bus.ask_pictures, cameras)
                after = {camera: last[camera][0] if camera in last else None for camera in cameras}
                found = await asyncio.to_thread(self._bus.pictures_after, after)
                for camera, picture in found.items():
                    last[camera] = (picture.id, now)
                    self._hand_out(camera, picture.jpeg)
            await asyncio.sleep(POLL_S)

    def _hand_out(self, camera: str, jpeg: bytes) -> None:
        for viewer in self._viewers:
            if viewer.camera == camera:
                self.dropped += viewer.due.is_set()
                viewer.jpeg = jpeg
                viewer.due.set()
