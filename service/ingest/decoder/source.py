"""Opens what a camera's url names, over exactly the protocols that it needs; says plainly what went wrong."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import av
import av.container
import av.error

from lookout.models.errors import NoPictureError, VideoError
from lookout.models.media.decode import Picture, open_video, pictures, reason
from lookout.service.core import urls
from lookout.service.core.camera import Camera, Transport
from lookout.service.core.errors import SourceLostError, SourceRefusedError, SourceStalledError
from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder import packet_loss as losses

UDP_OPTIONS = {
    "rtsp_transport": "udp",
    "protocol_whitelist": "rtp,udp,tcp",
    "buffer_size": str(2**20),  # bytes, as far as the kernel allows: a keyframe comes in one burst
    "reorder_queue_size": "500",  # packets
    "max_delay": "100000",  # microseconds that a packet is waited for; the others wait meanwhile
}
OUT_OF_MEMORY = "the stream needs more memory than a decoder may take (LOOKOUT_DECODER_MEMORY_MB)"
_PROTOCOLS = {"rtsp": "tcp", "rtsps": "tls,tcp"}
_PLAIN_WORDS: list[tuple[type[Exception], str]] = [
    (av.error.HTTPUnauthorizedError, "401 unauthorized: user or password is wrong"),
    (av.error.HTTPForbiddenError, "403 forbidden: this user may not see the stream"),
    (av.error.HTTPNotFoundError, "404 not found: the server has no such stream"),
    (
        av.error.HTTPTooManyRequestsError,
        "429 too many requests: the server wants to be asked less often",
    ),
    (av.error.HTTPClientError, "the server refuses the request (a 4xx answer)"),
    (av.error.HTTPServerError, "the server has failed, or has too many viewers (a 5xx answer)"),
    (av.error.ConnectionRefusedError, "connection refused"),
    (av.error.ConnectionResetError, "the connection was reset"),
    (av.error.InvalidDataError, "the answer is no RTSP stream that can be read"),
    # libav's word for an address of a scheme that it may not open: nothing else in here can be one
    (
        av.error.ArgumentError,
        "the server redirects to another address, which is not followed: name that one instead",
    ),
    (av.error.PermissionError, "the server broke off when it was asked to play"),
    (MemoryError, OUT_OF_MEMORY),
]
TIMED_OUT = (av.error.ExitError, av.error.TimeoutError)
BROKEN = (av.error.FFmpegError, OSError)


@contextlib.contextmanager
def opened(camera: Camera, settings: Settings) -> Iterator[av.container.InputContainer]:
    """The open source. Raises SourceRefusedError, or SourceLostError where it may come back."""
    urls.check(camera.url, settings.media_dir)
    is_file = urls.is_file(camera.url)
    container = _open_file(camera.url, settings) if is_file else _open_rtsp(camera, settings)
    with container:
        yield container


def _open_file(url: str, settings: Settings) -> av.container.InputContainer:
    path = urls.file_path(url, settings.media_dir)
    try:
        return open_video(path)
    except VideoError as error:
        raise SourceRefusedError(str(error)) from None


def _open_rtsp(camera: Camera, settings: Settings) -> av.container.InputContainer:
    limit_s, since = settings.connect_timeout_s, time.monotonic()
    timeouts = (limit_s, settings.stall_timeout_s)
    options = rtsp_options(camera.url, camera.transport, settings)
    try:
        return av.open(camera.url, format="rtsp", options=options, timeout=timeouts)
    except (*BROKEN, ValueError) as error:
        # libav says of its own time-out that the data is invalid.
        late = isinstance(error, TIMED_OUT) or time.monotonic() - since >= limit_s
        raise SourceLostError(
            f"no answer within {limit_s:g} s" if late else explain(error, camera)
        ) from None


def rtsp_options(url: str, transport: Transport, settings: Settings) -> dict[str, str]:
    """Video alone; over TCP one connection serves for everything. Nothing waits to measure the frame rate."""
    scheme = urlsplit(url).scheme
    options = {
        "rtsp_transport": "tcp",
        "allowed_media_types": "video",
        "protocol_whitelist": _PROTOCOLS[scheme],
        "timeout": str(
            int(settings.stall_timeout_s * 1e6)
        ),  # microseconds, for each socket operation
        "fpsprobesize": "0",
    }
    return options | UDP_OPTIONS if scheme == "rtsp" and transport == "udp" else options


def played(
    container: av.container.InputContainer,
    camera: Camera,
    settings: Settings,
    on_broken: Callable[[], None],
) -> Iterator[Picture]:
    """The source's pictures. Raises SourceError for every end but a file's."""
    if urls.is_file(camera.url):
        return explained(pictures(container, on_broken), camera, settings)
    missing = losses.listen().some_new if camera.transport == "udp" else lambda: False
    stream = pictures(
        container, on_broken, live=True, packets_lost=missing, patience_s=settings.stall_timeout_s
    )
    return explained(stream, camera, settings)


def explained(stream: Iterator[Picture], camera: Camera, settings: Settings) -> Iterator[Picture]:
    """The pictures; an error in the middle becomes the end that it means: a file is broken, a camera lost or silent."""
    is_file, some = urls.is_file(camera.url), False
    silence = SourceStalledError(f"silent for {settings.stall_timeout_s:g} s")
    try:
        asked_at = time.monotonic()
        for picture in stream:
            some, waited_s = True, time.monotonic() - asked_at
            yield picture
            if waited_s > settings.stall_timeout_s and not is_file:
                raise silence  # libav's time-out was spent on a packet that it held back; the next would take another
            asked_at = time.monotonic()
    except NoPictureError as error:
        raise SourceStalledError(str(error)) from None
    except VideoError as error:
        raise (SourceRefusedError if is_file else SourceLostError)(str(error)) from None
    except TIMED_OUT:
        if camera.transport == "udp" and not some:
            waited_s = settings.connect_timeout_s + settings.stall_timeout_s
            raise SourceLostError(
                f"nothing came within {waited_s:g} s over UDP; try transport tcp"
            ) from None
        raise silence from None
    except MemoryError:
        raise (SourceRefusedError if is_file else SourceLostError)(OUT_OF_MEMORY) from None
    except BROKEN as error:
        if is_file:
            raise SourceRefusedError(f"the file breaks off: {reason(error)}") from None
        raise SourceLostError(f"the stream broke off: {explain(error, camera)}") from None


def explain(error: Exception, camera: Camera) -> str:
    """Why a stream cannot be had, without its address."""
    if isinstance(error, OSError) and error.errno == errno.EPROTONOSUPPORT:  # the server's 461
        other = "tcp" if camera.transport == "udp" else "udp"
        return f"the server does not send over {camera.transport.upper()}; try transport {other}"
    for kind, words in _PLAIN_WORDS:
        if isinstance(error, kind):
            return words
    if isinstance(error, OSError) and not _resolves(camera.url):
        return "the host's name cannot be resolved"
    if isinstance(error, OSError) and camera.url.startswith("rtsps:"):
        return "no TLS connection can be made"
    return reason(error)


def _resolves(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.getaddrinfo(parts.hostname, parts.port or 554, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return True
