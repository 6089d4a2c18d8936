"""Look at one Redis server from outside, repeatedly, in a thread and with a client of its own."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

COUNT = 500  # entries of a stream in one look

Row = tuple[bytes, dict[bytes, bytes]]


def client(socket_path: str) -> redis.Redis:
    """Return a client that reports at once when its server is away."""
    return redis.Redis(
        unix_socket_path=socket_path, protocol=2, socket_timeout=5, retry=Retry(NoBackoff(), 0)
    )


class Looking(ABC):
    """A context that looks at a server.

    While the server is away it sees nothing, and keeps looking.
    """

    def __init__(self, socket_path: str, every_s: float) -> None:
        self.socket_path = socket_path
        self.mutex = threading.RLock()  # held while what was seen changes
        self.looks = 0
        self.longest_look_s = 0.0
        self._every_s = every_s
        self._redis = client(socket_path)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self._redis.close()

    @abstractmethod
    def _look(self) -> None:
        """Look once. Raise redis.RedisError."""

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            began = time.monotonic()
            try:
                self._look()
            except redis.RedisError:
                continue
            self.looks += 1
            self.longest_look_s = max(self.longest_look_s, time.monotonic() - began)
