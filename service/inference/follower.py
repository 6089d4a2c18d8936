"""What inference wants of the store, in a thread of its own: a store that is away or hangs holds up no score."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any

from service.bus import UNAVAILABLE
from service.messages import Camera
from service.store import Store

log = logging.getLogger(__name__)

FOLLOW_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Followed:
    camera: Camera
    saved: dict[str, Any] | None  # what the store keeps of its learned bounds


class StoreFollower:
    """The cameras as the store last told them, and bounds on their way into it. A context: it ends with its block."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._cameras: dict[str, Followed] | None = None
        self._to_save: dict[str, tuple[Camera, dict[str, Any]]] = {}
        self._stop = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    def __enter__(self) -> StoreFollower:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Saves what is still unsaved, if the store answers."""
        self._stop.set()
        self._thread.join(2.0)

    def cameras(self) -> dict[str, Followed] | None:
        """Every enabled or disabled camera; None until the store has answered once."""
        with self._lock:
            return self._cameras

    def save_bounds(self, camera: Camera, bounds: dict[str, Any]) -> None:
        """Have a camera's bounds written, now or when the store is back."""
        with self._lock:
            self._to_save[camera.id] = (camera, bounds)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._try()
            self._stop.wait(FOLLOW_EVERY_S)
        self._try()

    def _try(self) -> None:
        try:
            cameras = self._store.cameras()
            self._save(cameras)
            followed = {name: Followed(camera, self._saved(camera)) for name, camera in cameras.items()}
        except UNAVAILABLE as error:
            if not self._away:
                log.warning("the store does not answer (%s); scoring goes on", type(error).__name__)
            self._away = True
            return
        if self._away:
            log.warning("the store is back")
        self._away = False
        with self._lock:
            self._cameras = followed

    def _save(self, cameras: dict[str, Camera]) -> None:
        with self._lock:
            waiting = dict(self._to_save)
        for name, (camera, bounds) in waiting.items():
            if cameras.get(name) == camera:  # else it was changed or removed meanwhile, and learns anew
                self._store.save_bounds(name, bounds)
            with self._lock:
                if self._to_save.get(name) == (camera, bounds):
                    del self._to_save[name]

    def _saved(self, camera: Camera) -> dict[str, Any] | None:
        """Asked only while a camera is new to us: what changes later, we write ourselves."""
        with self._lock:
            known = (self._cameras or {}).get(camera.id)
        if known is not None and known.camera == camera:
            return known.saved
        return self._store.bounds(camera.id) if camera.calibration == "learn" else None
