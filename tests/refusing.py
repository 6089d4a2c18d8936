"""A Redis of the test's own that refuses to write, and one whose answer is lost on the way."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import redis

from lookout.service.storage.redis.connect import connect
from lookout.service.storage.redis.embedded import RedisServer
from tests.waiting import wait_until

REFUSALS = ("OOM", "MISCONF", "NOREPLICAS")


class Refusing:
    """Switches one kind of refusal on and off, on a server that nobody else uses."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = connect(url)

    def close(self) -> None:
        self._client.close()

    def refuse(self, kind: str) -> None:
        if kind == "OOM":
            self._client.config_set("maxmemory", 1)
        elif kind == "NOREPLICAS":
            self._client.config_set("min-replicas-to-write", 1)
        else:
            self._break_the_disk()

    def mend(self) -> None:
        self._client.config_set("maxmemory", 0)
        self._client.config_set("min-replicas-to-write", 0)
        self._client.config_set("save", "")

    def ask_for_password(self, password: str) -> None:
        self._client.config_set("requirepass", password)

    def _break_the_disk(self) -> None:
        """Make a snapshot fail: from then on Redis refuses every write, and PING.

        A folder stands where its file would; to move `dir` elsewhere, Redis 7 forbids.
        """
        folder, name = (self._client.config_get(key)[key] for key in ("dir", "dbfilename"))
        Path(f"{folder}/{name}/full").mkdir(parents=True, exist_ok=True)
        self._client.config_set("save", "900 1")
        self._client.bgsave()
        wait_until(
            lambda: self._client.info("persistence")["rdb_last_bgsave_status"] == "err",
            "the snapshot fails",
        )


@contextlib.contextmanager
def refusing_redis(folder: Path, role: str = "bus") -> Iterator[Refusing]:
    with (
        RedisServer(role, folder) as server,
        contextlib.closing(Refusing(server.url)) as refusing,
    ):
        yield refusing


class LosesAnswers:
    """A proxy to a server's socket: on request, a command gets through but its answer is lost."""

    def __init__(self, server_url: str, path: Path) -> None:
        self.lost = 0
        self._server = server_url.removeprefix("unix://")
        self._path = path
        self._left: int | None = None  # answers until the one that is lost
        self._listener = socket.socket(socket.AF_UNIX)
        self._open: list[socket.socket] = [self._listener]

    def __enter__(self) -> LosesAnswers:
        self._listener.bind(os.fspath(self._path))
        self._listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._open:
            _end(one)

    def client(self) -> redis.Redis:
        """Return a connected client.

        What it loses next is the answer to a command of the test's.
        """
        client = connect(f"unix://{self._path}")
        client.ping()
        return client

    def lose_answer(self, after: int = 0) -> None:
        """Lose one answer, after letting `after` answers through."""
        self._left = after

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._open += [client, server]
                for pair in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if answers and self._loses():
                    break
                target.sendall(data)
        _end(source)
        _end(target)

    def _loses(self) -> bool:
        if self._left is None:
            return False
        self._left -= 1
        if self._left >= 0:
            return False
        self._left, self.lost = None, self.lost + 1
        return True


def _end(open_socket: socket.socket) -> None:
    with contextlib.suppress(OSError):
        open_socket.shutdown(socket.SHUT_RDWR)
    open_socket.close()
