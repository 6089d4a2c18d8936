"""What happens, told to everybody who listens: a thread for each kind of news reads Redis, the event loop hands out."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress

from lookout.service.api.live.changes import (
    CameraNews,
    Look,
    Message,
    News,
    ScoreNews,
    alert_news,
    event_news,
)
from lookout.service.core.camera import Camera
from lookout.service.core.throttle import OutageLog
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

AWAY_S = 0.5  # until the next attempt
ROOM_S = 0.005  # how often it is looked whether a listener has made room
PATIENCE_S = 1.0  # so long in all is a listener waited for until it has caught up


class Client:
    """One listener: a bounded queue, and whether it ran over. Used in the event loop only."""

    def __init__(self, cameras: frozenset[str], bound: int) -> None:
        self.cameras = cameras  # empty: all
        self.queue: asyncio.Queue[str] = asyncio.Queue(bound)
        self.behind = asyncio.Event()
        self.waited_s = 0.0

    def offer(self, message: Message) -> None:
        if self.behind.is_set() or (self.cameras and message.camera not in self.cameras):
            return
        if self.queue.empty():
            self.waited_s = 0.0
        try:
            self.queue.put_nowait(message.text)
        except asyncio.QueueFull:
            self.behind.set()

    def worth_waiting_for(self, room: int) -> bool:
        """It has no room for so many, and may still make some."""
        lacks = self.queue.maxsize - self.queue.qsize() < room
        return lacks and self.waited_s < PATIENCE_S and not self.behind.is_set()


class Hub:
    """Starts at "now": no history. Outlives every outage of Redis."""

    def __init__(self, bus: Bus, store: Store, look: Look, client_bound: int) -> None:
        self._cameras = CameraNews(bus, store, look)
        others = (
            ScoreNews(bus, self._known),
            alert_news(store, self._known),
            event_news(store, self._known),
        )
        self._news: list[News] = [self._cameras, *others]
        self._wakes = [threading.Event() for _ in self._news]
        self._threads: list[threading.Thread] = []
        self._bound = client_bound
        self._chunk = max(1, client_bound // 5)  # four hand out at once
        self._clients: set[Client] = set()
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closed_behind = 0  # clients that could not keep up

    # In the event loop

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        for news, wake in zip(self._news, self._wakes, strict=True):
            thread = threading.Thread(
                target=self._follow, args=(news, wake), name=f"live {news.name}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    async def aclose(self, patience_s: float = 1.0) -> None:
        """A Redis that hangs may hold a thread up; it is not waited for longer than `patience_s`."""
        self._stop.set()
        self._wake()
        deadline = time.monotonic() + patience_s
        for thread in self._threads:
            await asyncio.to_thread(thread.join, max(0.0, deadline - time.monotonic()))

    async def begun(self, patience_s: float = 3.0) -> None:
        """Wait until the hub stands at "now": from here on nothing is missed."""
        deadline = time.monotonic() + patience_s
        while not all(news.begun for news in self._news) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    @property
    def known(self) -> Set[str]:
        """The cameras of a second ago, whether the store answers now or not."""
        return (self._cameras.known or {}).keys()

    def _known(self) -> Mapping[str, Camera] | None:
        return self._cameras.known

    def join(self, cameras: Iterable[str]) -> Client:
        client = Client(frozenset(cameras), self._bound)
        self._clients.add(client)
        self._wake()
        return client

    def leave(self, client: Client) -> None:
        self._clients.discard(client)
        self.closed_behind += client.behind.is_set()

    @property
    def listeners(self) -> int:
        return len(self._clients)

    @property
    def longest_queue(self) -> int:
        """Messages that wait for the slowest listener; asked for in another thread."""
        return max((client.queue.qsize() for client in list(self._clients)), default=0)

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()

    async def _hand_out(self, messages: list[Message]) -> None:
        """Piece by piece: a burst larger than a queue is no reason to close those who read."""
        for first in range(0, len(messages), self._chunk):
            await self._make_room()
            for message in messages[first : first + self._chunk]:
                for client in self._clients:
                    client.offer(message)

    async def _make_room(self) -> None:
        """Let the senders run, until everybody has room for the next piece or was waited for long enough."""
        await asyncio.sleep(0)
        while late := [client for client in self._clients if client.worth_waiting_for(self._chunk)]:
            began = time.monotonic()
            await asyncio.sleep(ROOM_S)
            for client in late:
                client.waited_s += time.monotonic() - began

    # In the threads

    def _follow(self, news: News, wake: threading.Event) -> None:
        outage = OutageLog()
        while not self._stop.is_set():
            try:
                news.turn(self._tell)
            except UNAVAILABLE as error:
                if outage.failed():
                    log.warning("live %s: Redis is away, waiting: %s", news.name, error)
                self._stop.wait(AWAY_S)
            except Exception:
                if outage.failed():
                    log.exception(
                        "live %s: a turn failed", news.name
                    )  # a listener is never left without its hub
                self._stop.wait(AWAY_S)
            else:
                if outage.worked():
                    log.info("live %s: Redis is back", news.name)
            wake.wait(news.pause_s(heard=bool(self._clients)))
            wake.clear()

    def _tell(self, messages: list[Message]) -> None:
        """Returns when they are handed out: who reads Redis does not run ahead of those who listen."""
        if not messages or not self._clients or self._loop is None or self._stop.is_set():
            return
        handed_out = asyncio.run_coroutine_threadsafe(self._hand_out(messages), self._loop)
        while not (handed_out.done() or self._stop.is_set()):
            with suppress(TimeoutError):
                handed_out.result(0.2)
