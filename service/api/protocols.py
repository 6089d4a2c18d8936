"""Bounds of a connection, which uvicorn leaves to a proxy: how long, how much and how many.

A proxy need not be there, and a stranger needs no token to open connections.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from asyncio.transports import BaseTransport, Transport
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import InvalidMessage

from lookout.service.api.problems import problem
from lookout.service.core.throttle import Throttle

log = logging.getLogger(__name__)

HEADER_S = 10.0  # for the whole header of a request, from its first byte or the connection on
BODY_S = 30.0  # for the whole body; of an upload, for each UPLOAD_STEP_BYTES
UPLOAD_STEP_BYTES = 256 * 1024
LINGER_S = 5.0  # for a client to take what it was sent, once the connection is being closed
LOG_EVERY_S = 60.0

SEND_BUFFER_BYTES = 64 * 1024
SLICE_BYTES = 1024  # of WebSocket frames between two turns of the event loop
FRAME_BYTES_AT_ONCE = 128 * 1024  # listeners have nothing to send but pings and their closing
FRAME_BYTES_PER_S = 16 * 1024


class Connections(ServerState):
    """The connections of this process, at most `most` of them.

    One that waits for a request makes room for a new one, the longest-waiting first. WebSockets
    and requests that are being answered are never cut for a new connection, and take up to three
    quarters.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.cut = 0  # to make room
        self.waiting: dict[HttpProtocol, None] = {}  # in the order since when they wait
        self._throttle = Throttle(LOG_EVERY_S)

    @property
    def may_listen(self) -> bool:
        """Return whether there is room for one more WebSocket."""
        return len(self.connections) - len(self.waiting) < max(1, self.most * 3 // 4)

    def make_room(self) -> bool:
        """Close the longest-waiting connection. Return whether there was one."""
        if not self.waiting:
            return False
        protocol = next(iter(self.waiting))
        del self.waiting[protocol]
        self.connections.discard(protocol)
        protocol.transport.abort()
        self.cut += 1
        self._throttle.note()
        unlogged = self._throttle.due()
        if unlogged is not None:
            log.warning(
                "%d connections are open, as many as may be: idle ones make room%s",
                self.most,
                unlogged,
            )
        return True


class HttpProtocol(H11Protocol):
    """HTTP with an end to slow headers, slow bodies and too many connections."""

    server_state: Connections

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._deadline: asyncio.TimerHandle | None = None
        self._reads_body = False
        self._received_bytes = 0  # since the deadline of a body was set

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take the connection where there is room."""
        super().connection_made(transport)
        if len(self.connections) > self.server_state.most and not self.server_state.make_room():
            self.refuse(503, "too many connections are open; try again")
            return
        self.server_state.waiting[self] = None
        self._set_deadline(HEADER_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._cancel_deadline()
        self.server_state.waiting.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse a part of a request, and watch that the whole comes in time."""
        super().data_received(data)
        self._received_bytes += len(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self.server_state.waiting[self] = None
        self._watch()

    def _watch(self) -> None:
        """Set the deadline of what is under way: a header, a body, or nothing."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.server_state.waiting.pop(self, None)
        state = self.conn.their_state
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._cancel_deadline()
        elif state is h11.SEND_BODY:
            goes_on = self.scope["method"] == "PUT" and self._received_bytes >= UPLOAD_STEP_BYTES
            if goes_on or not self._reads_body:
                self._set_deadline(BODY_S)
                self._received_bytes = 0
            self._reads_body = True
        elif state is h11.IDLE and self.timeout_keep_alive_task is None:
            if self._deadline is None or self._reads_body:
                self._set_deadline(HEADER_S)
            self._reads_body = False
        else:
            self._cancel_deadline()

    def _set_deadline(self, after_s: float) -> None:
        self._cancel_deadline()
        self._deadline = self.loop.call_later(after_s, self._on_deadline)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._reads_body = False

    def _on_deadline(self) -> None:
        has_begun = self._reads_body or bool(self.conn.trailing_data[0])
        if has_begun and (self.cycle is None or not self.cycle.response_started):
            self.refuse(408, "the request did not come in time")
        else:
            self.end()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to LiveProtocol, where there is room for a listener."""
        self._cancel_deadline()
        has_room = self.server_state.may_listen
        self.server_state.waiting.pop(self, None)
        if has_room:
            super().handle_websocket_upgrade(event)
        else:
            self.refuse(503, "too many WebSockets are open; try again")

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: a client may offer an upgrade, and a server pass over it (RFC 9110, 7.8)."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's text
        """Answer what is not HTTP, or a header beyond all limits."""
        error = sys.exc_info()[1]  # uvicorn calls this while it handles h11's
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431:
            self.refuse(431, "the header of the request is too large")
        else:
            self.refuse(400, "the request is not HTTP")

    def refuse(self, status: int, reason: str) -> None:
        """Answer with a problem, unless an answer has begun, and end the connection."""
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(raw_problem(status, reason))
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.end()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that nothing more was asked on."""
        self.end()

    def end(self) -> None:
        """Close the connection; what the client does not take within LINGER_S is dropped."""
        self.server_state.waiting.pop(self, None)
        self.transport.close()
        self.loop.call_later(LINGER_S, self.transport.abort)


class LiveProtocol(WebSocketsSansIOProtocol):
    """A WebSocket that notices early that its client does not read, and reads little itself."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._frames = bytearray()  # received, and not parsed yet
        self._allowed_bytes = float(FRAME_BYTES_AT_ONCE)
        self._allowed_at = self.loop.time()

    def connection_made(self, transport: BaseTransport) -> None:
        """Take over a connection; by default Linux buffers megabytes, minutes of scores."""
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES
        )
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Parse the handshake at once, frames in slices between other connections' turns."""
        if not self.handshake_initiated:
            super().data_received(data)
            if self.conn.handshake_exc is not None:
                self._answer_broken_handshake()
            return
        now = self.loop.time()
        gained = (now - self._allowed_at) * FRAME_BYTES_PER_S
        self._allowed_bytes = min(FRAME_BYTES_AT_ONCE, self._allowed_bytes + gained) - len(data)
        self._allowed_at = now
        if self._allowed_bytes < 0:
            self._end_flood()
            return
        is_running = bool(self._frames)
        self._frames += data
        if not is_running:
            self._parse_slice()

    def _parse_slice(self) -> None:
        if self.transport.is_closing():
            self._frames.clear()
            return
        part = bytes(self._frames[:SLICE_BYTES])
        super().data_received(part)
        del self._frames[:SLICE_BYTES]
        if self._frames:
            self.loop.call_soon(self._parse_slice)

    def _end_flood(self) -> None:
        self._frames.clear()
        if self.close_sent or self.transport.is_closing():
            return
        self.conn.fail(1008, "too much was sent: nothing is expected here")
        self.handle_parser_exception()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def _answer_broken_handshake(self) -> None:
        status, reason = 431, "a header of the handshake is too large"
        if isinstance(self.conn.handshake_exc, InvalidMessage):
            status, reason = 400, "the handshake is not HTTP"
        self.handshake_complete = True
        self.close_sent = True
        self.transport.write(raw_problem(status, reason))
        self.transport.close()

    async def send(self, message: Any) -> None:
        """Send a message of the application; a refusal completes the handshake.

        uvicorn takes it for a fault of the application otherwise, and logs each as an error.
        """
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True

    async def run_asgi(self) -> None:
        """Serve one listener, and drop all of it at its close."""
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(LINGER_S, self.transport.abort)


def raw_problem(status: int, reason: str) -> bytes:
    """Return a whole response in bytes, for what never reaches the application."""
    answer = problem(status, reason, {"Connection": "close"})
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
    lines += [name + b": " + value for name, value in answer.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])
