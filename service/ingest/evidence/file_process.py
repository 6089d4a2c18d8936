"""The worker's side of evidence from files: one process at a time reads a file again."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from lookout.service.core import urls
from lookout.service.core.camera import Camera
from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder.protocol import Job
from lookout.service.ingest.forking.children import Child, Children
from lookout.service.storage.bus.bus import Bus

LOG = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
LIMIT_S = 120.0  # for the requests of one camera
AGAIN_S = 5.0  # until the next turn of a camera: the others have theirs


class FileEvidence:
    """Starts a process for a file camera that has requests, one at a time. No method waits.

    Every `now` is a monotonic clock in seconds.
    """

    def __init__(self, settings: Settings, bus: Bus, children: Children) -> None:
        self._settings = settings
        self._bus = bus
        self._children = children
        self._process: Child | None = None
        self._limit = 0.0
        self._look_at = 0.0
        self._not_before: dict[str, float] = {}  # camera → its next turn

    def step(self, cameras: Iterable[Camera], now: float) -> None:
        """Look after the process, and start one where a file camera has requests.

        Raises one of UNAVAILABLE.
        """
        if self._process is not None:
            if self._process.exit_code() is not None:
                self._process.close()
                self._process = None
            elif now > self._limit:
                self._process.kill()
        if self._process is not None or now < self._look_at or not self._settings.clip_camera_mb:
            return
        self._look_at = now + LOOK_EVERY_S
        files = {camera.id: camera for camera in cameras if urls.is_file(camera.url)}
        self._not_before = {
            name: at for name, at in self._not_before.items() if name in files and at > now
        }
        waiting = self._bus.cameras_with_evidence_requests(files.keys() - self._not_before.keys())
        for name in waiting:
            if self.has_due(name):
                self._not_before[name] = now + AGAIN_S
                self.start(files[name], now)
                return

    def has_due(self, camera: str) -> bool:
        """Tell whether a camera has a request that is to be served now. Raises UNAVAILABLE."""
        now = time.time()
        requests = self._bus.evidence_requests(camera)
        return any(request.is_due(now, self._settings.clip_most_s) for request in requests)

    def start(self, camera: Camera, now: float) -> None:
        """Start a process for one camera."""
        try:
            self._process = self._children.start("evidence", Job(camera, self._settings, "").dump())
        except (OSError, ValueError) as error:
            LOG.warning("camera %s: no process for its clips: %s", camera.id, error)
            return
        self._limit = now + LIMIT_S

    def end(self) -> None:
        """Kill the process that runs, if any: its temporary file is removed later."""
        if self._process is not None:
            self._process.kill()
            self._process.close()
            self._process = None
