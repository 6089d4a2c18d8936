"""Opens what a camera's url names, over exactly the protocols that it needs; says plainly what went wrong."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import av
import av.container
import av.error

from models.video import FILE_OPTIONS, reason
from service import urls
from service.errors import SourceLostError, SourceRefusedError
from service.settings import Settings

_PROTOCOLS = {"rtsp": "tcp", "rtsps": "tls,tcp"}
_PLAIN_WORDS: list[tuple[type[Exception], str]] = [
    (av.error.HTTPUnauthorizedError, "401 unauthorized: user or password is wrong"),
    (av.error.HTTPForbiddenError, "403 forbidden: this user may not see the stream"),
    (av.error.HTTPNotFoundError, "404 not found: the server has no such stream"),
    (av.error.ConnectionRefusedError, "connection refused"),
    (av.error.ConnectionResetError, "the connection was reset"),
    (av.error.InvalidDataError, "the answer is no RTSP stream that can be read"),
]
TIMED_OUT = (av.error.ExitError, av.error.TimeoutError)
BROKEN = (av.error.FFmpegError, OSError)


@contextlib.contextmanager
def opened(url: str, settings: Settings) -> Iterator[av.container.InputContainer]:
    """The open source. Raises SourceRefusedError, or SourceLostError where it may come back."""
    urls.check(url, settings.media_dir)
    container = _open_file(url, settings) if urls.is_file(url) else _open_rtsp(url, settings)
    with container:
        yield container


def _open_file(url: str, settings: Settings) -> av.container.InputContainer:
    path = urls.file_path(url, settings.media_dir)
    try:
        return av.open(str(path), options=FILE_OPTIONS)
    except (*BROKEN, ValueError) as error:
        raise SourceRefusedError(f"{path.name} cannot be opened as a video: {reason(error)}") from None


def _open_rtsp(url: str, settings: Settings) -> av.container.InputContainer:
    limit_s, since = settings.connect_timeout_s, time.monotonic()
    timeouts = (limit_s, settings.stall_timeout_s)
    try:
        return av.open(url, format="rtsp", options=rtsp_options(url, settings), timeout=timeouts)
    except (*BROKEN, ValueError) as error:
        # libav says of its own time-out that the data is invalid.
        late = isinstance(error, TIMED_OUT) or time.monotonic() - since >= limit_s
        raise SourceLostError(f"no answer within {limit_s:g} s" if late else explain(error, url)) from None


def rtsp_options(url: str, settings: Settings) -> dict[str, str]:
    """Video alone, over the one TCP connection; nothing waits to measure the frame rate."""
    return {
        "rtsp_transport": "tcp",
        "allowed_media_types": "video",
        "protocol_whitelist": _PROTOCOLS[urlsplit(url).scheme],
        "timeout": str(int(settings.stall_timeout_s * 1e6)),  # microseconds, for each socket operation
        "fpsprobesize": "0",
    }


def explain(error: Exception, url: str) -> str:
    """Why a stream cannot be had, without its address."""
    for kind, words in _PLAIN_WORDS:
        if isinstance(error, kind):
            return words
    if isinstance(error, OSError) and not _resolves(url):
        return "the host's name cannot be resolved"
    if isinstance(error, OSError) and url.startswith("rtsps:"):
        return "no TLS connection can be made"
    return reason(error)


def _resolves(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.getaddrinfo(parts.hostname, parts.port or 554, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return True
