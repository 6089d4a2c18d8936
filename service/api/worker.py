"""The API stage: one uvicorn server that ends with a stop event."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from asyncio.transports import BaseTransport
from collections.abc import Iterator

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from lookout.service.api.app import create_app
from lookout.service.core.errors import AddressError
from lookout.service.core.settings import Settings, check_protected
from lookout.service.storage.connections import open_bus, open_store
from lookout.service.storage.redis.connect import UNAVAILABLE

log = logging.getLogger(__name__)

SEND_BUFFER_BYTES = 64 * 1024
LINGER_S = 5.0
SHUTDOWN_S = 2
ORDINARY = (asyncio.CancelledError, OSError, UnicodeError, *UNAVAILABLE)
"""No bugs: cut off at the end, a client that left, bytes that are not text, Redis away."""


def run(settings: Settings, stop: threading.Event) -> None:
    """Serve until `stop` is set.

    Raises AddressError where it cannot listen there, UnprotectedError where anybody could come in.
    """
    check_protected(settings)
    app = create_app(settings, open_bus(settings), open_store(settings))
    logging.getLogger("uvicorn.error").addFilter(in_one_line)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        ws=LiveProtocol,
        ws_max_size=64 * 1024,
        ws_per_message_deflate=False,  # messages are small
        timeout_graceful_shutdown=SHUTDOWN_S,
        log_config=None,
        log_level="warning",  # its own start and end take seven lines
        access_log=False,
        server_header=False,
    )
    with bound_socket(settings.host, settings.port) as listener:
        log.info("listening on %s", http_address(listener))
        ApiServer(config, stop).run(sockets=[listener])


def in_one_line(record: logging.LogRecord) -> bool:
    """Drop the stack traces that uvicorn logs of ORDINARY errors; bugs keep theirs."""
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

    def __init__(self, config: uvicorn.Config, stop: threading.Event) -> None:
        super().__init__(config)
        self._stop = stop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._stop.is_set()


class LiveProtocol(WebSocketsSansIOProtocol):
    """Notices after little data that a client does not read, and drops all of it at its close."""

    def connection_made(self, transport: BaseTransport) -> None:
        # By default Linux buffers megabytes: minutes of scores beside the bounded queue.
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES
        )
        super().connection_made(transport)

    async def run_asgi(self) -> None:
        try:
            await super().run_asgi()
        finally:
            asyncio.get_running_loop().call_later(LINGER_S, self.transport.abort)


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
        yield listener


def http_address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{port}"
