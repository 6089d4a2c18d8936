"""Ask a camera's address by a plain socket, before a decoder process is started for it.

A probe resolves the host, connects to the first of its addresses that answers, sends one RTSP
request (OPTIONS, as libav does) and reads the first line of the answer. It costs about a
millisecond of CPU, where a decoder that finds nobody costs most of a second. All probes run on one
thread. Its bounds are shared: cameras that failed last time have a lane of their own, so that
however many they are, none that works waits for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import ssl
import threading
from asyncio.staggered import staggered_race
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from lookout.service.core.camera import Camera
from lookout.service.core.errors import Reason

RTSP_PORT = 554
NEXT_ADDRESS_AFTER_S = 0.25  # a host of several addresses: the next is tried beside the first
MOST_ADDRESSES = 8
MOST_ANSWER_BYTES = 1024
STOP_WITHIN_S = 1.0

REFUSED = Reason("connection refused", code="source_refused")
RESET = Reason("the connection was reset", code="source_reset")
UNREACHABLE = Reason("the host cannot be reached", code="source_unreachable")
NO_NETWORK = Reason("no network leads to the host", code="source_no_network")
UNRESOLVED = Reason("the host's name cannot be resolved", code="source_unresolved")
NO_TLS = Reason("no TLS connection can be made", code="source_no_tls")
NO_RTSP = Reason("the answer is no RTSP stream that can be read", code="source_no_rtsp")
UNAUTHORIZED = Reason("401 unauthorized: user or password is wrong", code="source_unauthorized")
FORBIDDEN = Reason("403 forbidden: this user may not see the stream", code="source_forbidden")
NOT_FOUND = Reason("404 not found: the server has no such stream", code="source_not_found")
TOO_MANY_REQUESTS = Reason(
    "429 too many requests: the server wants to be asked less often", code="source_asked_often"
)
SERVER_FAILED = Reason(
    "the server has failed, or has too many viewers (a 5xx answer)", code="source_server_failed"
)
STATUS_ERRORS = {
    403: FORBIDDEN,
    404: NOT_FOUND,
    429: TOO_MANY_REQUESTS,
    500: SERVER_FAILED,
    502: SERVER_FAILED,
    503: SERVER_FAILED,
}
"""Answers to OPTIONS after which libav gives up, too. It judges all others by itself."""

CONNECT_ERRORS = {
    errno.ECONNREFUSED: REFUSED,
    errno.ECONNRESET: RESET,
    errno.EPIPE: RESET,
    errno.EHOSTUNREACH: UNREACHABLE,
    errno.EHOSTDOWN: UNREACHABLE,
    errno.ENETUNREACH: NO_NETWORK,
    errno.EADDRNOTAVAIL: NO_NETWORK,
}
Address = tuple[socket.AddressFamily, Any]


class NoAnswerError(Exception):
    """The address does not answer as a camera does.

    reason: why, without the address.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a probe, or of a trial."""

    error: Reason | None = None  # None: a camera answers there
    stalled: bool = False  # it went silent after it was opened
    # Whether a trial (trials.py) got a packet; False: none can say it; None: there was none.
    shows: bool | None = None


class Probe(Protocol):
    """A probe under way. No method waits."""

    def answer(self) -> Answer | None:
        """Return how the probe ended; None while it runs."""

    def cancel(self) -> None:
        """Give the probe up."""


@dataclass(slots=True)
class RunningProbe:
    """A probe on the prober's thread."""

    future: Future[Answer]

    def answer(self) -> Answer | None:
        """Return how the probe ended; None while it runs."""
        if not self.future.done():
            return None
        if self.future.cancelled():
            return Answer(Reason("the attempt was broken off", code="source_broken_off"))
        if error := self.future.exception():
            kind = type(error).__name__
            said = f"the attempt failed: {kind}"
            return Answer(Reason(said, code="source_attempt_failed", why=kind))
        return self.future.result()

    def cancel(self) -> None:
        """Give the probe up."""
        self.future.cancel()


@dataclass(slots=True)
class Lane:
    """Bounds the probes of some cameras: at once, a second, and look-ups of names at once."""

    at_once: asyncio.Semaphore
    lookups: asyncio.Semaphore
    per_s: float
    _next_s: float = field(default=0.0)

    async def wait_turn(self) -> None:
        """Wait until the next probe may begin."""
        now = asyncio.get_running_loop().time()
        self._next_s = max(now, self._next_s) + 1 / self.per_s
        await asyncio.sleep(self._next_s - 1 / self.per_s - now)


class Prober:
    """Runs the probes on a thread of its own, as a context."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread
        self._fresh = Lane(asyncio.Semaphore(128), asyncio.Semaphore(16), per_s=100.0)
        self._failing = Lane(asyncio.Semaphore(64), asyncio.Semaphore(8), per_s=20.0)

    def __enter__(self) -> Prober:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="probes", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(cancel_all(), self._loop).result(STOP_WITHIN_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_WITHIN_S)
        if not self._thread.is_alive():
            self._loop.close()

    def ask(self, camera: Camera, limit_s: float, *, failing: bool) -> Probe:
        """Begin to probe an `rtsp://` or `rtsps://` camera, within `limit_s` once it has its turn.

        failing: the last attempt failed.
        """
        lane = self._failing if failing else self._fresh
        work: Coroutine[Any, Any, Answer] = probe(urlsplit(camera.url), limit_s, lane)
        return RunningProbe(asyncio.run_coroutine_threadsafe(work, self._loop))


async def cancel_all() -> None:
    """Cancel every other task of the loop, and wait until they have ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def probe(url: SplitResult, limit_s: float, lane: Lane) -> Answer:
    """Return whether a camera answers at `url` within `limit_s` seconds, or why not."""
    await lane.wait_turn()
    late = no_answer(limit_s)
    try:
        async with lane.at_once, asyncio.timeout(limit_s):
            host = url.hostname or ""
            late = Reason(
                f"the host's name was not resolved within {limit_s:g} s",
                code="source_lookup",
                seconds=limit_s,
            )
            addresses = await resolve(host, url.port or RTSP_PORT, lane.lookups)
            late = no_answer(limit_s)
            status = await request_options(await connect(addresses), url)
    except TimeoutError:
        return Answer(late)
    except NoAnswerError as error:
        return Answer(error.reason)
    if status == 401 and url.username is None:
        return Answer(UNAUTHORIZED)
    return Answer(STATUS_ERRORS.get(status))


def no_answer(seconds: float) -> Reason:
    """Return that nobody answered within so many seconds."""
    return Reason(f"no answer within {seconds:g} s", code="source_no_answer", seconds=seconds)


async def resolve(host: str, port: int, lookups: asyncio.Semaphore) -> list[Address]:
    """Return the host's addresses in the system's order; none where its name has none.

    A look-up cannot be broken off. It has a daemon thread, and holds its place among `lookups`
    until the system gives it up, whoever still waits for it.
    """
    if is_address(host):
        return find_addresses(host, port, socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[list[Address]] = loop.create_future()

    def finish(addresses: list[Address]) -> None:
        lookups.release()
        if not answered.done():
            answered.set_result(addresses)

    def look_up() -> None:
        addresses = find_addresses(host, port)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(finish, addresses)

    await lookups.acquire()
    try:
        threading.Thread(target=look_up, name="look-up", daemon=True).start()
    except RuntimeError:  # no more threads
        lookups.release()
        raise
    return await answered


def find_addresses(host: str, port: int, flags: int = 0) -> list[Address]:
    """Return the first MOST_ADDRESSES of a host; none where it has none. This call may block."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError):
        return []
    return [(family, address) for family, *_, address in found[:MOST_ADDRESSES]]


def is_address(host: str) -> bool:
    """Return whether the host is an IPv4 or IPv6 address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def connect(addresses: list[Address]) -> socket.socket:
    """Return a socket that is connected to the first address that takes it.

    Raises NoAnswerError where none does, with the error of the first.
    """
    if not addresses:
        raise NoAnswerError(UNRESOLVED)
    attempts = [partial(connect_to, *address) for address in addresses]
    connection: socket.socket | None
    connection, _, errors = await staggered_race(attempts, NEXT_ADDRESS_AFTER_S)
    if connection is not None:
        return connection
    error = next(error for error in errors if error is not None)
    if not isinstance(error, OSError):
        raise error
    raise NoAnswerError(connect_error(error))


async def connect_to(family: socket.AddressFamily, address: Any) -> socket.socket:
    """Return a socket that is connected to one address. Raises OSError."""
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_error(error: OSError) -> Reason:
    """Return a connection's error in words, without its address."""
    why = error.strerror or type(error).__name__
    return CONNECT_ERRORS.get(error.errno or 0) or Reason(
        f"no connection can be made: {why}", code="source_no_connection", why=why
    )


async def request_options(connection: socket.socket, url: SplitResult) -> int:
    """Send OPTIONS and return the status of the answer; 200 for any other sign of RTSP.

    Raises NoAnswerError. The socket is closed in any case.
    """
    with connection:
        tls = tls_context() if url.scheme == "rtsps" else None
        name = url.hostname if tls else None
        try:
            reader, writer = await asyncio.open_connection(
                sock=connection, ssl=tls, server_hostname=name
            )
        except (ssl.SSLError, ValueError):  # ValueError: a name that TLS cannot send
            raise NoAnswerError(NO_TLS) from None
        except OSError as error:
            raise NoAnswerError(connect_error(error)) from None
        try:
            writer.write(options_request(url))
            data = b""
            while (status := status_in(data)) is None:
                more = await reader.read(MOST_ANSWER_BYTES)
                if not more:
                    raise NoAnswerError(
                        Reason("the server hung up without an answer", code="source_hung_up")
                    )
                data += more
        except OSError as error:
            raise NoAnswerError(connect_error(error)) from None
        finally:
            writer.transport.abort()
        return status


def options_request(url: SplitResult) -> bytes:
    """Return an OPTIONS request for the stream, without its user and password."""
    host = url.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    target = f"{url.scheme}://{host}:{url.port or RTSP_PORT}{url.path}"
    if url.query:
        target += f"?{url.query}"
    return f"OPTIONS {target} RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: Lookout\r\n\r\n".encode()


def status_in(data: bytes) -> int | None:
    """Return the status in the first bytes of an answer; None while they do not tell.

    200 where the server begins with a packet (`$`) or a request of its own, as it may. Raises
    NoAnswerError for an answer of another protocol.
    """
    if data.startswith(b"$"):
        return 200
    line, end, _ = data.partition(b"\n")
    words = line.split()
    if line.startswith(b"RTSP/") and len(words) > 1 and (end or len(words) > 2):
        if words[1].isdigit():
            return int(words[1])
        raise NoAnswerError(NO_RTSP)
    if end and words and words[-1].startswith(b"RTSP/"):
        return 200
    if data.startswith(b"HTTP/"):
        said = "the server answers in HTTP, not in RTSP: is it the right port?"
        raise NoAnswerError(Reason(said, code="source_http"))
    if end or len(data) >= MOST_ANSWER_BYTES:
        raise NoAnswerError(NO_RTSP)
    return None


def tls_context() -> ssl.SSLContext:
    """Return a context as permissive as libav: cameras are old, and sign for themselves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context
