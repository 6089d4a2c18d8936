"""The cameras as the store last listed them: the one way in which every stage follows them.

Ingest and alerting enter it as a context, whose thread reads the list; inference and the API call
`refresh` in the thread that they have for the store. A store that hangs blocks nobody else.
"""

from __future__ import annotations

import logging
import threading

from lookout.service.core.camera import Camera
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

FOLLOW_EVERY_S = 0.5


class CameraWatcher:
    """A context that refreshes itself until its block ends, or as its owner calls `refresh`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cameras: dict[str, Camera] | None = None
        self._away = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cameras", daemon=True)

    def __enter__(self) -> CameraWatcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2.0)

    @property
    def cameras(self) -> dict[str, Camera] | None:
        """Every enabled or disabled camera by its id; None until the store has answered once."""
        return self._cameras

    @property
    def away(self) -> bool:
        """True while the store does not answer: `cameras` are those it listed before."""
        return self._away

    def _run(self) -> None:
        while not self._stop.is_set():
            self.refresh()
            self._stop.wait(FOLLOW_EVERY_S)

    def refresh(self) -> None:
        """Read the cameras once; where the store does not answer, keep those read before."""
        try:
            self._cameras = self._store.cameras()
        except UNAVAILABLE as error:
            self._note_away(f"the store does not answer ({type(error).__name__})", trace=False)
        except Exception:  # whatever it is: nobody would notice if this thread ended
            self._note_away("the store's answer cannot be used", trace=True)
        else:
            if self._away:
                log.info("the store is back")
            self._away = False

    def _note_away(self, what: str, *, trace: bool) -> None:
        if not self._away:
            log.warning("%s; what runs goes on", what, exc_info=trace)
        self._away = True
