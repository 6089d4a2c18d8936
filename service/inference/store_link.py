"""The store's part of inference, in its own thread: a store that hangs or is away delays no score.

What waits is bounded by the number of cameras: of each, the newest request counts. A request of one
camera that fails unexpectedly is tried again a few times, then given up; the others go on.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from dataclasses import dataclass
from typing import Literal

from lookout.service.core.camera import Camera
from lookout.service.core.errors import NO_REASON, Reason
from lookout.service.core.messages import CameraEvent, FrameId
from lookout.service.ownership.camera_watcher import CameraWatcher
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.snapshots import Snapshot
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

FOLLOW_EVERY_S = 0.5
EVENTS_KEPT = 1000  # while the store is away
ATTEMPTS = 3  # of a request that fails for no known reason


SaveResult = Literal["saved", "refused", "failed"]
"""A snapshot is refused from a former owner, and behind the stored one."""


@dataclass(frozen=True, slots=True)
class TakeoverAnswer:
    """The store's answer to a take-over: the new epoch, and what the owners before left."""

    camera: str
    epoch: int
    snapshot: Snapshot | None
    error: Reason = NO_REASON  # why the take-over failed; then there is no epoch


@dataclass(frozen=True, slots=True)
class SaveAnswer:
    """The store's answer to a snapshot."""

    camera: str
    epoch: int
    cursor: FrameId
    result: SaveResult
    error: Reason = NO_REASON  # why it failed


class StoreLink:
    """The store's last list of cameras; take-overs and snapshots on their way. A context."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watcher = CameraWatcher(store)
        self._mutex = threading.Lock()
        self._to_take: set[str] = set()
        self._to_save: dict[str, tuple[int, Snapshot]] = {}
        self._events: deque[CameraEvent] = deque(maxlen=EVENTS_KEPT)
        self._taken: list[TakeoverAnswer] = []
        self._saved: list[SaveAnswer] = []
        self._failures = 0
        self._attempts: Counter[tuple[str, str]] = Counter()  # failed ones, by request and camera
        self._wake = threading.Event()
        self._answered = threading.Condition(self._mutex)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    def __enter__(self) -> StoreLink:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join(2.0)

    def cameras(self) -> dict[str, Camera] | None:
        """Return every camera, enabled or not; None until the store has answered once."""
        return self._watcher.cameras

    @property
    def away(self) -> bool:
        """The store did not answer the last time: nobody could take a camera over now."""
        return self._watcher.away

    @property
    def failures(self) -> int:
        """Number of attempts so far that failed for no known reason."""
        return self._failures

    def take(self, camera: str) -> None:
        """Request the camera's snapshot under a new epoch, after what waits to be saved of it."""
        with self._mutex:
            self._to_take.add(camera)
        self._wake.set()

    def save(self, camera: str, epoch: int, snapshot: Snapshot) -> None:
        """Request that a snapshot is written, now or when the store is back."""
        with self._mutex:
            self._to_save[camera] = (epoch, snapshot)
        self._wake.set()

    def add_event(self, event: CameraEvent) -> None:
        """Request that an event is written; of too many that wait, the oldest drop."""
        with self._mutex:
            self._events.append(event)
        self._wake.set()

    def is_saving(self, camera: str) -> bool:
        """Return True while a snapshot of this camera is on its way."""
        with self._mutex:
            return camera in self._to_save

    def forget(self, camera: str) -> None:
        """Drop every request of this camera."""
        with self._mutex:
            self._to_take.discard(camera)
            self._to_save.pop(camera, None)

    def answers(self) -> tuple[list[TakeoverAnswer], list[SaveAnswer]]:
        """Return the store's answers since the last call."""
        with self._mutex:
            taken = self._taken
            saved = self._saved
            self._taken = []
            self._saved = []
        return taken, saved

    def flush(self, limit_s: float) -> bool:
        """Wait until no snapshot is on its way; return False where that takes longer."""
        with self._answered:
            return self._answered.wait_for(lambda: not self._to_save, limit_s)

    # The thread

    def _run(self) -> None:
        while not self._stop.is_set():
            self.poll()
            self._wake.wait(FOLLOW_EVERY_S)
            self._wake.clear()
        self.poll()

    def poll(self) -> None:
        """Ask the store once for everything that waits."""
        self._watcher.refresh()
        try:
            self.write_events()  # before the snapshot that lies behind them
            self.save_snapshots()
            self.take_cameras()
        except UNAVAILABLE:  # what waits is asked again; the watcher logs the outage
            self._stop.wait(FOLLOW_EVERY_S)

    def write_events(self) -> None:
        """Write the events that wait; keep one that fails for the next attempt."""
        with self._mutex:
            waiting = list(self._events)
        for event in waiting:
            try:
                # Idempotent: it may be written twice, after a lost answer.
                self._store.add_camera_event(event)
            except UNAVAILABLE:
                raise
            except Exception as error:
                if not self._give_up("event", event.camera, error):
                    continue
            self._attempts.pop(("event", event.camera), None)
            with self._mutex:
                if event in self._events:
                    self._events.remove(event)

    def save_snapshots(self) -> None:
        """Write the snapshots that wait and note the answers."""
        with self._mutex:
            waiting = dict(self._to_save)
        for camera, request in waiting.items():
            epoch, snapshot = request
            reason = NO_REASON
            result: SaveResult = "saved"
            try:
                if not self._store.save_snapshot(camera, epoch, snapshot):
                    result = "refused"
            except UNAVAILABLE:
                raise
            except Exception as error:
                if not self._give_up("snapshot", camera, error):
                    continue
                result = "failed"
                said = f"its snapshot cannot be saved: {error!r}"
                reason = Reason(said, code="scoring_unsaved", why=repr(error))
            self._attempts.pop(("snapshot", camera), None)
            with self._answered:
                self._saved.append(SaveAnswer(camera, epoch, snapshot.cursor, result, reason))
                if self._to_save.get(camera) is request:
                    del self._to_save[camera]
                self._answered.notify_all()

    def take_cameras(self) -> None:
        """Take over the cameras that wait, except those with a snapshot still to save."""
        with self._mutex:
            # After a new epoch, a snapshot that still waits would be refused.
            waiting = self._to_take - self._to_save.keys()
        for camera in waiting:
            try:
                answer = TakeoverAnswer(camera, *self._store.begin_ownership(camera))
            except UNAVAILABLE:
                raise
            except Exception as error:
                if not self._give_up("take-over", camera, error):
                    continue
                said = f"it cannot be taken over: {error!r}"
                reason = Reason(said, code="scoring_takeover", why=repr(error))
                answer = TakeoverAnswer(camera, 0, None, reason)
            self._attempts.pop(("take-over", camera), None)
            with self._mutex:
                if camera in self._to_take:
                    self._taken.append(answer)
                self._to_take.discard(camera)

    def _give_up(self, request: str, camera: str, error: Exception) -> bool:
        """Count and log a failure; return True after the last attempt."""
        self._failures += 1
        self._attempts[request, camera] += 1
        attempt = self._attempts[request, camera]
        log.error(
            "camera %s: %s failed, attempt %d of %d",
            camera,
            request,
            attempt,
            ATTEMPTS,
            exc_info=error,
            extra={"camera": camera},
        )
        return attempt >= ATTEMPTS
