"""Live messages for every listener: a thread for each kind of change reads Redis, the event loop
hands the messages to the clients' queues.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping, Set
from contextlib import suppress

from lookout.service.api.live.changes import (
    CameraChanges,
    Changes,
    LiveMessage,
    ScoreChanges,
    alert_changes,
    event_changes,
)
from lookout.service.core.camera import Camera
from lookout.service.core.throttle import OutageLog
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

RETRY_EVERY_S = 0.5  # while Redis is away
ROOM_EVERY_S = 0.005  # how often a full queue is looked at
PATIENCE_S = 1.0  # time in all that messages wait for a client to catch up
KINDS = 4  # of changes, which may publish at once


class Client:
    """One listener: a bounded queue, and whether it ran over. Used in the event loop only."""

    def __init__(self, cameras: frozenset[str] | None, bound: int) -> None:
        self.cameras = cameras  # None: all
        self.queue: asyncio.Queue[str] = asyncio.Queue(bound)
        self.behind = asyncio.Event()
        self.waited_s = 0.0

    def wants(self, camera: str) -> bool:
        """Return whether the client listens to the camera."""
        return self.cameras is None or camera in self.cameras

    def offer(self, message: LiveMessage) -> None:
        """Queue a message that the client wants; a full queue marks it as behind."""
        if self.behind.is_set() or not self.wants(message.camera):
            return
        if self.queue.empty():
            self.waited_s = 0.0
        try:
            self.queue.put_nowait(message.text)
        except asyncio.QueueFull:
            self.behind.set()

    def may_catch_up(self, room: int) -> bool:
        """Return whether the queue lacks this much room and the client may still make some."""
        lacks_room = self.queue.maxsize - self.queue.qsize() < room
        return lacks_room and self.waited_s < PATIENCE_S and not self.behind.is_set()


class Broadcaster:
    """Publishes what happens from now on, without history. Outlives every outage of Redis."""

    def __init__(self, bus: Bus, store: Store, client_bound: int) -> None:
        """Queue up to `client_bound` messages for a client."""
        self._cameras = CameraChanges(bus, store)
        self._changes: list[Changes] = [
            self._cameras,
            ScoreChanges(bus, self._known),
            alert_changes(store, self._known),
            event_changes(store, self._known),
        ]
        self._wakes = [threading.Event() for _ in self._changes]
        self._threads: list[threading.Thread] = []
        self._bound = client_bound
        self._chunk = max(1, client_bound // (KINDS + 1))
        self._clients: set[Client] = set()
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closed_behind = 0  # clients that could not keep up

    # In the event loop

    def start(self) -> None:
        """Start the reading threads."""
        self._loop = asyncio.get_running_loop()
        for changes, wake in zip(self._changes, self._wakes, strict=True):
            thread = threading.Thread(
                target=self._run, args=(changes, wake), name=f"live {changes.name}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    async def aclose(self, patience_s: float = 1.0) -> None:
        """Stop the threads; one that a hanging Redis holds is waited for up to `patience_s`."""
        self._stop.set()
        self._wake()
        deadline = time.monotonic() + patience_s
        for thread in self._threads:
            await asyncio.to_thread(thread.join, max(0.0, deadline - time.monotonic()))

    async def wait_started(self, patience_s: float = 3.0) -> None:
        """Wait until every reader stands at "now": from here on nothing is missed."""
        deadline = time.monotonic() + patience_s
        while not all(changes.started for changes in self._changes):
            if time.monotonic() >= deadline:
                return
            await asyncio.sleep(0.01)

    @property
    def known(self) -> Set[str]:
        """The cameras of a second ago, even while the store is away."""
        return (self._cameras.known or {}).keys()

    def _known(self) -> Mapping[str, Camera] | None:
        return self._cameras.known

    def join(self, cameras: frozenset[str] | None) -> Client:
        """Add a client that listens to `cameras`; None: to all, those added later too."""
        client = Client(cameras, self._bound)
        self._clients.add(client)
        self._wake()
        return client

    def leave(self, client: Client) -> None:
        """Remove a client."""
        self._clients.discard(client)
        self.closed_behind += client.behind.is_set()

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()

    async def _hand_out(self, messages: list[LiveMessage]) -> None:
        """Queue messages in chunks: a burst larger than a queue closes no client that reads."""
        for first in range(0, len(messages), self._chunk):
            await self._make_room()
            for message in messages[first : first + self._chunk]:
                for client in self._clients:
                    client.offer(message)

    async def _make_room(self) -> None:
        """Let the senders run until every client has room for a chunk, or its patience is over."""
        await asyncio.sleep(0)
        while late := [client for client in self._clients if client.may_catch_up(self._chunk)]:
            began = time.monotonic()
            await asyncio.sleep(ROOM_EVERY_S)
            for client in late:
                client.waited_s += time.monotonic() - began

    # In any thread

    @property
    def listeners(self) -> int:
        return len(self._clients)

    @property
    def longest_queue(self) -> int:
        """Messages that wait for the slowest client."""
        return max((client.queue.qsize() for client in list(self._clients)), default=0)

    def wants(self, camera: str) -> bool:
        """Return whether any client listens to the camera."""
        return any(client.wants(camera) for client in list(self._clients))

    def publish(self, messages: list[LiveMessage]) -> None:
        """Return when the messages are queued: reading Redis does not run ahead of the clients."""
        if not messages or not self._clients or self._loop is None or self._stop.is_set():
            return
        handed_out = asyncio.run_coroutine_threadsafe(self._hand_out(messages), self._loop)
        while not (handed_out.done() or self._stop.is_set()):
            with suppress(TimeoutError):
                handed_out.result(0.2)

    def _run(self, changes: Changes, wake: threading.Event) -> None:
        outage = OutageLog()
        while not self._stop.is_set():
            began = time.thread_time()
            try:
                changes.poll(self)
            except UNAVAILABLE as error:
                if outage.failed():
                    log.warning("live %s: Redis is away, waiting: %s", changes.name, error)
                self._stop.wait(RETRY_EVERY_S)
            except Exception:  # a thread that ended would leave the clients without messages
                if outage.failed():
                    log.exception("live %s: a poll failed", changes.name)
                self._stop.wait(RETRY_EVERY_S)
            else:
                if outage.worked():
                    log.info("live %s: Redis is back", changes.name)
            worked_s = time.thread_time() - began
            wake.wait(changes.pause_s(worked_s, heard=bool(self._clients)))
            wake.clear()
