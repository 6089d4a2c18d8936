"""The network before an RTSP server: it can swallow everything, or break every connection."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """A wire on this machine, as a context: from a port of its own to another one."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = (
            threading.Event()
        )  # cleared: whatever comes is kept waiting, and nobody is told
        self._open.set()
        self._cut = False
        self._ended = False
        self._mutex = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._open.set()
        _end(self._listener)
        self._drop()

    def swallow(self) -> None:
        """No byte goes through from now on, in either direction; no connection is closed."""
        self._open.clear()

    def cut(self) -> None:
        """Break every connection, and each new one."""
        self._cut = True
        self._drop()

    def heal(self) -> None:
        self._cut = False
        self._open.set()

    def _drop(self) -> None:
        with self._mutex:
            doomed = list(self._sockets)
            self._sockets.clear()
        for one in doomed:
            _end(one)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._ended:
                client, _ = self._listener.accept()
                self._join(client)

    def _join(self, client: socket.socket) -> None:
        if self._cut:
            _end(client)
            return
        try:
            server = socket.create_connection(("127.0.0.1", self._to_port), timeout=2)
        except OSError:
            _end(client)
            return
        server.settimeout(None)
        with self._mutex:
            self._sockets |= {client, server}
        for pair in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._open.wait()
                target.sendall(data)
        for one in (source, target):
            with self._mutex:
                self._sockets.discard(one)
            _end(one)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
