"""The API stage: one uvicorn server that ends with a stop event."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from lookout.service.api.app import create_app
from lookout.service.api.protocols import Connections, HttpProtocol, LiveProtocol
from lookout.service.core.errors import AddressError
from lookout.service.core.lifecycle import raise_file_limit
from lookout.service.core.settings import Settings, check_protected
from lookout.service.core.throttle import Throttle
from lookout.service.storage.connections import open_bus, open_store
from lookout.service.storage.redis.connect import UNAVAILABLE

log = logging.getLogger(__name__)

SHUTDOWN_S = 2
MAX_CONNECTIONS = 4096
RESERVED_FILES = 128  # of the file limit: Redis, files that are being sent, logs
BACKLOG = 256
UNACKNOWLEDGED_MS = 30_000
UNSENT_BYTES = 128 * 1024
NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
LOG_EVERY_S = 60.0
ORDINARY = (asyncio.CancelledError, OSError, UnicodeError, *UNAVAILABLE)
"""No bugs: cut off at the end, a client that left, bytes that are not text, Redis away."""


def run(settings: Settings, stop: threading.Event) -> None:
    """Serve until `stop` is set.

    Raises AddressError where it cannot listen there, UnprotectedError where anybody could come in.
    """
    check_protected(settings)
    bus = open_bus(settings)
    store = open_store(settings)
    if not store.has_secret_key:
        log.warning(
            "the passwords of cameras are stored as they are: give every stage LOOKOUT_SECRET_KEY "
            "(`openssl rand -hex 32` makes one)"
        )
    app = create_app(settings, bus, store)
    logging.getLogger("uvicorn.error").addFilter(in_one_line)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=HttpProtocol,
        ws=LiveProtocol,
        backlog=BACKLOG,
        ws_max_size=64 * 1024,
        ws_per_message_deflate=False,  # messages are small
        timeout_graceful_shutdown=SHUTDOWN_S,
        log_config=None,
        log_level="warning",  # its own start and end take seven lines
        access_log=False,
        forwarded_allow_ips=settings.trusted_proxies,
        server_header=False,
    )
    with bound_socket(settings.host, settings.port) as listener:
        log.info("listening on %s", http_address(listener))
        most = max_connections(raise_file_limit())
        server = ApiServer(config, stop, most, on_stop=app.state.services.pictures.stop)
        server.run(sockets=[listener])


def max_connections(file_limit: int) -> int:
    """Return how many connections may be open beside the other files of the process."""
    return min(MAX_CONNECTIONS, file_limit - min(RESERVED_FILES, file_limit // 2))


def in_one_line(record: logging.LogRecord) -> bool:
    """Drop the stack traces that uvicorn logs of ORDINARY errors; bugs keep theirs.

    A stranger's broken request is answered, and no line at all.
    """
    if record.msg == "Invalid HTTP request received.":
        return False
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ORDINARY):
        message = record.getMessage().strip()
        record.msg = "%s: %s"
        record.args = (message, error)
        record.exc_info = None
        record.exc_text = None
    return True


class ApiServer(uvicorn.Server):
    """Ends with `stop`, and leaves signals to its caller."""

    def __init__(
        self,
        config: uvicorn.Config,
        stop: threading.Event,
        most: int,
        on_stop: Callable[[], None],
    ) -> None:
        """Hold up to `most` connections; call `on_stop` for answers that have no other end."""
        super().__init__(config)
        self.connections = Connections(most)
        self.server_state = self.connections
        self._stop = stop
        self._on_stop = on_stop
        self._throttle = Throttle(LOG_EVERY_S)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self.on_loop_error)
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)
        # One that came while the listeners closed, or whose client takes nothing more.
        for connection in list(self.connections.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # until they are told

    def on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Make room where a connection finds no file; asyncio logs each of its many attempts."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in NO_FILES):
            loop.default_exception_handler(context)
            return
        self.connections.make_room()
        self._throttle.note()
        unlogged = self._throttle.due()
        if unlogged is not None:
            log.error("a connection has to wait: %s%s", error.strerror, unlogged)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._stop.is_set()


@contextlib.contextmanager
def bound_socket(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.create_server(address[:2], family=family, backlog=256)
    except OSError as error:
        raise AddressError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    with listener:
        # Accepted connections inherit both. asyncio itself sets the first one only on sockets that
        # name their protocol, which create_server's do not: each small answer then waits 40 ms for
        # the delayed acknowledgement of its header.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform == "linux":  # a client that takes nothing more
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
            # A slow viewer of live pictures lags by this, and not by megabytes.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        yield listener


def http_address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{port}"
