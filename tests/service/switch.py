"""A proxy between a client and a server's socket that a test can cut.

While it is cut, connections break and new ones are refused.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path


class Switch:
    def __init__(self, server: str, path: Path) -> None:
        self.path = path
        self._server = server
        self._pairs: list[socket.socket] = []
        self._listener: socket.socket | None = None

    def __enter__(self) -> Switch:
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def mend(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(os.fspath(self.path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        if self._listener:
            self.path.unlink()
            _end(self._listener)
            self._listener = None
        while self._pairs:
            _end(self._pairs.pop())

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._pairs += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    _end(source)
    _end(target)


def _end(open_socket: socket.socket) -> None:
    with contextlib.suppress(OSError):
        open_socket.shutdown(socket.SHUT_RDWR)
    open_socket.close()
