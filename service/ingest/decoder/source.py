"""Open and read the source of a camera's url, over the protocols that it needs and no other.

Errors become SourceError with a reason in plain words and without the address.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import av
import av.container
import av.error
import av.logging

from lookout.models.arrays import Pixels
from lookout.models.errors import NoPictureError, VideoError
from lookout.models.media.container import LogLine, captured_log, open_video, reason, video_stream
from lookout.models.media.decode import Picture, pictures
from lookout.service.core import urls
from lookout.service.core.camera import Camera, Transport
from lookout.service.core.errors import (
    Reason,
    SourceError,
    SourceLostError,
    SourceRefusedError,
    SourceStalledError,
    SourceUnusableError,
)
from lookout.service.core.settings import Settings
from lookout.service.ingest import probe

T = TypeVar("T")

UDP_OPTIONS = {
    "rtsp_transport": "udp",
    "protocol_whitelist": "rtp,udp,tcp",
    "buffer_size": str(2**20),  # bytes, as far as the kernel allows: a keyframe comes in one burst
    "reorder_queue_size": "500",  # packets
    "max_delay": "100000",  # microseconds that a packet is waited for; the others wait meanwhile
}
OUT_OF_MEMORY = Reason(
    "the stream needs more memory than a decoder may take (LOOKOUT_DECODER_MEMORY_MB)",
    code="source_memory",
)
ENDED = Reason("the stream ended", code="source_ended")
STALL_ADVICE = "LOOKOUT_STALL_TIMEOUT_S, or the camera's stall_timeout_s, allows more"
LOG_LINE = 1023  # bytes of a line of libav's log that PyAV keeps
PROTOCOLS = {"rtsp": "tcp", "rtsps": "tls,tcp"}
ERROR_REASONS: list[tuple[type[Exception], Reason]] = [
    (av.error.HTTPUnauthorizedError, probe.UNAUTHORIZED),
    (av.error.HTTPForbiddenError, probe.FORBIDDEN),
    (av.error.HTTPNotFoundError, probe.NOT_FOUND),
    (av.error.HTTPTooManyRequestsError, probe.TOO_MANY_REQUESTS),
    (
        av.error.HTTPClientError,
        Reason("the server refuses the request (a 4xx answer)", code="source_client_error"),
    ),
    (av.error.HTTPServerError, probe.SERVER_FAILED),
    (av.error.ConnectionRefusedError, probe.REFUSED),
    (av.error.ConnectionResetError, probe.RESET),
    (av.error.InvalidDataError, probe.NO_RTSP),
    # libav's error for a redirect to a scheme that it may not open; nothing else here raises it
    (
        av.error.ArgumentError,
        Reason(
            "the server redirects to another address, which is not followed: name that one instead",
            code="source_redirects",
        ),
    ),
    (
        av.error.PermissionError,
        Reason("the server broke off when it was asked to play", code="source_play"),
    ),
    (MemoryError, OUT_OF_MEMORY),
]
TIMED_OUT = (av.error.ExitError, av.error.TimeoutError)
BROKEN = (av.error.FFmpegError, OSError)


@contextlib.contextmanager
def open_source(camera: Camera, settings: Settings) -> Iterator[av.container.InputContainer]:
    """Open the camera's source and close it at the end.

    Raises SourceRefusedError, SourceUnusableError, or SourceLostError where the source may come
    back.
    """
    urls.check(camera.url, settings.media_dir)
    if not urls.is_file(camera.url):
        with open_rtsp(camera, settings) as container:
            yield container
        return
    path = urls.file_path(camera.url, settings.media_dir)
    with contextlib.ExitStack() as stack:
        try:
            container = stack.enter_context(open_video(path))
            video_stream(container)
        except VideoError as error:
            raise SourceRefusedError(str(error), code="source_no_film", why=str(error)) from None
        yield container


def open_rtsp(camera: Camera, settings: Settings) -> av.container.InputContainer:
    """Open an RTSP stream.

    Raises SourceUnusableError where it has no video that can be decoded, SourceLostError with the
    reason for any other failure.
    """
    limit_s = camera.first_picture_limit_s(settings.connect_timeout_s)
    stall_s = camera.stall_limit_s(settings.stall_timeout_s)
    since = time.monotonic()
    timeouts = (limit_s, stall_s)
    # PyAV's time-outs end an operation; a socket's own comes later, and never in their place.
    options = rtsp_options(camera.url, camera.transport, max(timeouts) + 1.0)
    with captured_log(av.logging.VERBOSE) as lines:
        try:
            container = av.open(camera.url, format="rtsp", options=options, timeout=timeouts)
        except (*BROKEN, ValueError) as error:
            # libav reports its own time-out as invalid data.
            if isinstance(error, TIMED_OUT) or time.monotonic() - since >= limit_s:
                raise SourceLostError(probe.no_answer(limit_s)) from None
            require_video(announced_tracks(lines))
            raise SourceLostError(explain(error, camera)) from None
    try:
        video_stream(container)
    except VideoError as error:
        container.close()
        tracks = announced_tracks(lines)
        require_video(tracks)
        names = ", ".join(codec for kind, codec in tracks or [] if kind == "video" and codec)
        said = f"{error} ({names})" if names else str(error)
        raise SourceUnusableError(said, code="source_undecodable", why=said) from None
    return container


def announced_tracks(lines: list[LogLine]) -> list[tuple[str, str]] | None:
    """Return kind and codec of each track that a server's description has, from libav's log.

    None where there is no description, or one that is longer than a line of the log.
    """
    text = next((line for _, _, line in lines if line.startswith("SDP:")), None)
    if text is None or len(text) >= LOG_LINE - 1:
        return None
    tracks = []
    for part in re.split(r"(?m)^m=", text)[1:]:
        codec = re.search(r"(?m)^a=rtpmap:\d+ ([^/\s]+)", part)
        tracks.append((part.partition(" ")[0], codec[1] if codec else ""))
    return tracks


def require_video(tracks: list[tuple[str, str]] | None) -> None:
    """Raise SourceUnusableError where a server announces tracks, and none of video."""
    if not tracks or any(kind == "video" for kind, _ in tracks):
        return
    names = ", ".join(f"{kind} {codec}".strip() for kind, codec in tracks)
    raise SourceUnusableError(
        f"there is no video in it, only {names}", code="source_no_video", names=names
    )


def rtsp_options(url: str, transport: Transport, socket_timeout_s: float) -> dict[str, str]:
    """Return libav's options: video alone, and no wait to measure the frame rate.

    Over TCP one connection serves for everything.
    """
    scheme = urlsplit(url).scheme
    options = {
        "rtsp_transport": "tcp",
        "allowed_media_types": "video",
        "protocol_whitelist": PROTOCOLS[scheme],
        "timeout": str(int(socket_timeout_s * 1e6)),  # microseconds
        "fpsprobesize": "0",
    }
    if scheme == "rtsp" and transport == "udp":
        options |= UDP_OPTIONS
    return options


def read_pictures(
    container: av.container.InputContainer,
    camera: Camera,
    settings: Settings,
    on_damage: Callable[[], None],
    on_packet: Callable[[Any], None] | None = None,
) -> Iterator[Picture]:
    """Return the source's pictures. Raises SourceError for any end but a file's.

    on_packet: is given each av.Packet of a live camera.
    """
    if urls.is_file(camera.url):
        stream = translate_errors(pictures(container, on_damage), camera, settings)
        return translate_conversion(stream, SourceRefusedError)
    is_udp = camera.transport == "udp"
    packets_lost = watch_packet_loss().take_lost if is_udp else lambda: False
    stream = pictures(
        container,
        on_damage,
        live=True,
        packets_lost=packets_lost,
        patience_s=camera.stall_limit_s(settings.stall_timeout_s),
        on_packet=on_packet,
    )
    return translate_conversion(translate_errors(stream, camera, settings), SourceLostError)


def translate_conversion(
    stream: Iterator[Picture], broken_error: type[SourceError]
) -> Iterator[Picture]:
    """Yield the pictures so that reading the pixels of one raises no error but `broken_error`."""

    def convert(picture: Picture) -> Pixels:
        try:
            return picture.convert()
        except MemoryError:
            raise broken_error(OUT_OF_MEMORY) from None
        except BROKEN as error:
            why = reason(error)
            said = f"its pictures cannot be shown: {why}"
            raise broken_error(said, code="source_unshown", why=why) from None

    for picture in stream:
        yield Picture(picture.pts_s, partial(convert, picture))


def translate_errors(stream: Iterator[T], camera: Camera, settings: Settings) -> Iterator[T]:
    """Yield pictures or packets; turn an error in the middle into the SourceError that it means.

    A file is refused as broken; a camera is lost, or stalled.
    """
    is_file = urls.is_file(camera.url)
    some = False
    broken_error = SourceRefusedError if is_file else SourceLostError
    stall_s = camera.stall_limit_s(settings.stall_timeout_s)
    silence = SourceStalledError(
        f"silent for {stall_s:g} s; {STALL_ADVICE}", code="source_silent", seconds=stall_s
    )
    try:
        asked_at = time.monotonic()
        for picture in stream:
            some = True
            waited_s = time.monotonic() - asked_at
            yield picture
            # libav's time-out was spent on a packet that it held back; the next would take another.
            if waited_s > stall_s and not is_file:
                raise silence
            asked_at = time.monotonic()
    except NoPictureError as error:
        raise SourceStalledError(
            f"{error}; {STALL_ADVICE}", code="source_no_whole_picture", seconds=stall_s
        ) from None
    except VideoError as error:
        raise broken_error(str(error), code="source_broken", why=str(error)) from None
    except TIMED_OUT:
        if camera.transport == "udp" and not some:
            waited_s = camera.first_picture_limit_s(settings.connect_timeout_s) + stall_s
            raise SourceLostError(
                f"nothing came within {waited_s:g} s over UDP; try transport tcp",
                code="source_udp",
                seconds=waited_s,
            ) from None
        raise silence from None
    except MemoryError:
        raise broken_error(OUT_OF_MEMORY) from None
    except BROKEN as error:
        if is_file:
            why = reason(error)
            said = f"the file breaks off: {why}"
            raise SourceRefusedError(said, code="source_file_broke_off", why=why) from None
        why = explain(error, camera)
        said = f"the stream broke off: {why}"
        raise SourceLostError(said, code="source_broke_off", why=why) from None


def explain(error: Exception, camera: Camera) -> Reason:
    """Return why a stream cannot be had, without its address."""
    if isinstance(error, OSError) and error.errno == errno.EPROTONOSUPPORT:  # the server's 461
        other = "tcp" if camera.transport == "udp" else "udp"
        return Reason(
            f"the server does not send over {camera.transport.upper()}; try transport {other}",
            code="source_transport",
            transport=camera.transport.upper(),
            other=other,
        )
    for kind, said in ERROR_REASONS:
        if isinstance(error, kind):
            return said
    if isinstance(error, OSError) and not is_resolvable(camera.url):
        return probe.UNRESOLVED
    if isinstance(error, OSError) and camera.url.startswith("rtsps:"):
        return probe.NO_TLS
    return Reason(reason(error), code="source_libav", why=reason(error))


def is_resolvable(url: str) -> bool:
    """Return whether the name of the url's host resolves to an address."""
    parts = urlsplit(url)
    try:
        socket.getaddrinfo(parts.hostname, parts.port or 554, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return True


class PacketLossHandler(logging.Handler):
    """Find lost packets in libav's log: libav goes on without them and reports them there alone.

    Nothing of the log is passed on, since it may hold an address.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lost = False

    def emit(self, record: logging.LogRecord) -> None:
        """Note whether the record reports lost packets."""
        self._lost |= "RTP: missed" in record.getMessage()

    def take_lost(self) -> bool:
        """Return whether packets were lost since the last call."""
        lost = self._lost
        self._lost = False
        return lost


def watch_packet_loss() -> PacketLossHandler:
    """Send libav's log to a new handler for the rest of the process."""
    handler = PacketLossHandler()
    log = logging.getLogger("libav")
    log.handlers = [handler]
    log.propagate = False
    av.logging.set_skip_repeated(False)
    av.logging.set_level(av.logging.WARNING)
    return handler
