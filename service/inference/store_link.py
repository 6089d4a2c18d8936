"""What inference wants of the store, in a thread of its own: a store that is away or hangs holds up no score.

Everything waiting here is bounded by the number of cameras: of each, the newest wish counts.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass

from lookout.service.core.camera import Camera
from lookout.service.core.messages import CameraEvent, FrameId
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.snapshots import Snapshot
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

FOLLOW_EVERY_S = 0.5
EVENTS_KEPT = 1000  # while the store is away


@dataclass(frozen=True, slots=True)
class Taken:
    """A camera is ours in the store as well: the epoch of our ownership, and what the owners before left."""

    camera: str
    epoch: int
    snapshot: Snapshot | None


@dataclass(frozen=True, slots=True)
class Saved:
    """A snapshot was saved, or refused since somebody else has owned the camera."""

    camera: str
    epoch: int
    cursor: FrameId
    accepted: bool


class StoreLink:
    """The cameras as the store last told them; take-overs and snapshots on their way. A context."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._mutex = threading.Lock()
        self._cameras: dict[str, Camera] | None = None
        self._to_take: set[str] = set()
        self._to_save: dict[str, tuple[int, Snapshot]] = {}
        self._events: deque[CameraEvent] = deque(maxlen=EVENTS_KEPT)
        self._taken: list[Taken] = []
        self._saved: list[Saved] = []
        self._wake = threading.Event()
        self._answered = threading.Condition(self._mutex)
        self._stop = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    def __enter__(self) -> StoreLink:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join(2.0)

    def cameras(self) -> dict[str, Camera] | None:
        """Every enabled or disabled camera; None until the store has answered once."""
        with self._mutex:
            return self._cameras

    @property
    def away(self) -> bool:
        """The store did not answer the last time: nobody could take a camera over now."""
        return self._away

    def take(self, camera: str) -> None:
        """Ask for the camera's snapshot under a new epoch; what waits to be saved of it is saved before."""
        with self._mutex:
            self._to_take.add(camera)
        self._wake.set()

    def save(self, camera: str, epoch: int, snapshot: Snapshot) -> None:
        """Have a snapshot written, now or when the store is back."""
        with self._mutex:
            self._to_save[camera] = (epoch, snapshot)
        self._wake.set()

    def tell(self, event: CameraEvent) -> None:
        """Have a camera's event written; of very many that wait, the oldest drop."""
        with self._mutex:
            self._events.append(event)
        self._wake.set()

    def is_saving(self, camera: str) -> bool:
        """A snapshot of this camera is on its way."""
        with self._mutex:
            return camera in self._to_save

    def forget(self, camera: str) -> None:
        """Nothing of this camera is wanted any more."""
        with self._mutex:
            self._to_take.discard(camera)
            self._to_save.pop(camera, None)

    def answers(self) -> tuple[list[Taken], list[Saved]]:
        """What the store answered since the last call."""
        with self._mutex:
            taken, saved = self._taken, self._saved
            self._taken, self._saved = [], []
        return taken, saved

    def flush(self, limit_s: float) -> bool:
        """Wait until every snapshot is saved or refused; False where the store did not answer in time."""
        with self._answered:
            return self._answered.wait_for(lambda: not self._to_save, limit_s)

    # The thread

    def _run(self) -> None:
        while not self._stop.is_set():
            self._try()
            self._wake.wait(FOLLOW_EVERY_S)
            self._wake.clear()
        self._try()

    def _try(self) -> None:
        try:
            cameras = self._store.cameras()
            self._tell_all()  # before the snapshot that lies behind them
            self._save_all()
            self._take_all()
        except UNAVAILABLE as error:
            self._note_away(f"the store does not answer ({type(error).__name__})", trace=False)
            return
        except Exception:  # whatever it is: nobody would notice if this thread ended
            self._note_away("the store's answer cannot be used", trace=True)
            return
        if self._away:
            log.warning("the store is back")
        self._away = False
        with self._mutex:
            self._cameras = cameras

    def _note_away(self, what: str, *, trace: bool) -> None:
        if not self._away:
            log.warning("%s; scoring goes on", what, exc_info=trace)
        self._away = True
        self._stop.wait(FOLLOW_EVERY_S)

    def _save_all(self) -> None:
        with self._mutex:
            waiting = dict(self._to_save)
        for camera, wish in waiting.items():
            epoch, snapshot = wish
            accepted = self._store.save_snapshot(camera, epoch, snapshot)
            with self._answered:
                self._saved.append(Saved(camera, epoch, snapshot.cursor, accepted))
                if self._to_save.get(camera) is wish:
                    del self._to_save[camera]
                self._answered.notify_all()

    def _take_all(self) -> None:
        with self._mutex:
            waiting = (
                self._to_take - self._to_save.keys()
            )  # after a new epoch that snapshot would be refused
        for camera in waiting:
            epoch, snapshot = self._store.begin_ownership(camera)
            with self._mutex:
                self._taken += [Taken(camera, epoch, snapshot)] if camera in self._to_take else []
                self._to_take.discard(camera)

    def _tell_all(self) -> None:
        while self._events:
            event = self._events[0]
            self._store.add_camera_event(
                event
            )  # a second time, where the answer was lost, changes nothing
            with self._mutex:
                if self._events and self._events[0] is event:
                    self._events.popleft()
