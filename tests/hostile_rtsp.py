"""An RTSP server in pure Python that misbehaves on request: `with hostile_server(script) as url:`.

A script is a function of one client's `RtspClient`, run in a thread of its own; it ends where the
client hangs up.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext

from tests.clips import numbered

PASSWORD = "s3cr3t"  # noqa: S105  in every url: no answer and no log line may show it
RTP_TICKS = 90_000  # a second
PAYLOAD_TYPE = 96
START = 900_000  # RTP time stamp of second 0: libav takes 0 for none

Unit = list[bytes]  # one picture: its NAL units, without start codes


class HungUpError(Exception):
    """The client is gone, or the test is over."""


@dataclass
class RtspClient:
    """One client: its requests are answered properly until the script does something else."""

    connection: socket.socket
    over: threading.Event
    _datagrams: socket.socket | None = None  # after a SETUP over UDP
    _sequence: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(65_536)))

    def request(self) -> str:
        """The next request, whole."""
        text = b""
        while b"\r\n\r\n" not in text:
            got = self._receive(1)
            if got == b"$":  # what the client reports of the stream, between its requests
                self._receive(struct.unpack(">xH", self._receive(3))[0])
            else:
                text += got
        return text.decode()

    def answer(self, request: str, *headers: str, body: str = "", status: str = "200 OK") -> None:
        number = re.search(r"CSeq: *(\d+)", request)
        lines = [
            f"RTSP/1.0 {status}",
            f"CSeq: {number[1] if number else 0}",
            "Session: 1",
            *headers,
        ]
        if body:
            lines += [f"Content-Length: {len(body)}", "Content-Type: application/sdp"]
        self.say("\r\n".join([*lines, "", body]).encode())

    def play(self, sdp: str) -> None:
        """Answer as an honest server does, up to PLAY and its answer."""
        while True:
            request = self.request()
            if request.startswith("DESCRIBE"):
                self.answer(request, body=sdp)
            elif request.startswith("SETUP"):
                self.answer(request, f"Transport: {self._transport(request)}")
            else:
                self.answer(request, "Public: DESCRIBE, SETUP, PLAY")
            if request.startswith("PLAY"):
                return

    def say(self, data: bytes) -> None:
        try:
            self.connection.sendall(data)
        except OSError:
            raise HungUpError from None

    def packet(
        self, payload: bytes, timestamp: int, *, marker: bool = True, lost: bool = False
    ) -> None:
        """One RTP packet. `lost`: its number is taken, and nothing is sent."""
        kind = PAYLOAD_TYPE | (0x80 if marker else 0)
        head = struct.pack(">BBHII", 0x80, kind, next(self._sequence), timestamp % 2**32, 1)
        if lost:
            return
        if self._datagrams is not None:
            self._datagrams.send(head + payload)
        else:
            self.say(struct.pack(">cBH", b"$", 0, len(head + payload)) + head + payload)

    def show(self, unit: Unit, timestamp: int) -> None:
        """One picture: each NAL unit a packet."""
        for nal in unit:
            self.packet(nal, timestamp, marker=nal is unit[-1])

    def show_all(
        self, units: Iterable[Unit], times_s: Iterable[float], every_s: float = 0.02
    ) -> None:
        """Pictures with these time stamps (s), one each `every_s`."""
        for unit, at_s in zip(units, times_s, strict=False):
            self.show(unit, START + round(at_s * RTP_TICKS))
            self.wait(every_s)

    def wait(self, seconds: float) -> None:
        if self.over.wait(seconds):
            raise HungUpError

    def hold(self) -> None:
        """Say nothing more, and keep the connection."""
        self.over.wait()

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                got = self.connection.recv(size - len(data))
            except OSError:
                got = b""
            if not got:
                raise HungUpError
            data += got
        return data

    def _transport(self, request: str) -> str:
        """Return SETUP's answer: over the same connection, or to the client's UDP port."""
        ports = re.search(r"client_port=(\d+)-(\d+)", request)
        if not ports:
            return "RTP/AVP/TCP;unicast;interleaved=0-1"
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", 0))
        self._datagrams.connect(("127.0.0.1", int(ports[1])))
        port = self._datagrams.getsockname()[1]
        return f"RTP/AVP;unicast;client_port={ports[1]}-{ports[2]};server_port={port}-{port + 1}"

    def close(self) -> None:
        self.connection.close()
        if self._datagrams is not None:
            self._datagrams.close()


Script = Callable[[RtspClient], None]


def refuses(status: str) -> Script:
    """A server that answers DESCRIBE with a status such as `404 Not Found`."""

    def serve(client: RtspClient) -> None:
        while True:
            request = client.request()
            client.answer(request, status=status if "DESCRIBE" in request[:8] else "200 OK")

    return serve


@contextlib.contextmanager
def hostile_server(script: Script) -> Iterator[str]:
    """Run `script` for each client; gives the URL, with a password in it."""
    over, clients, threads = threading.Event(), list[RtspClient](), list[threading.Thread]()

    def serve(client: RtspClient) -> None:
        with contextlib.suppress(HungUpError, OSError):
            script(client)
        client.close()

    def accept(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                clients.append(RtspClient(server.accept()[0], over))
                threads.append(threading.Thread(target=serve, args=[clients[-1]], daemon=True))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threads.append(threading.Thread(target=accept, args=[server], daemon=True))
        threads[0].start()
        try:
            yield f"rtsp://admin:{PASSWORD}@127.0.0.1:{server.getsockname()[1]}/x"
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
            for client in clients:
                with contextlib.suppress(OSError):
                    client.connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(5)


def sdp(media: str = "video", codec: str = "H264", fmtp: str = "") -> str:
    lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=x", "c=IN IP4 0.0.0.0", "t=0 0"]
    lines += [f"m={media} 0 RTP/AVP {PAYLOAD_TYPE}", f"a=rtpmap:{PAYLOAD_TYPE} {codec}/{RTP_TICKS}"]
    lines += [f"a=fmtp:{PAYLOAD_TYPE} {fmtp}"] if fmtp else []
    return "\r\n".join([*lines, "a=control:track1", ""])


def encoded(
    numbers: Iterable[int],
    size_px: tuple[int, int] = (160, 120),
    slices: int = 1,
    pix_fmt: str = "yuv420p",
) -> list[Unit]:
    """Return numbered pictures (see tests/clips.py) as H.264, each complete when it comes.

    Every tenth is a keyframe, and brings its headers.
    """
    width_px, height_px = size_px
    codec = VideoCodecContext.create("libx264", "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = width_px, height_px, pix_fmt
    codec.time_base, codec.framerate = Fraction(1, 10), Fraction(10)
    codec.options = {
        "tune": "zerolatency",
        "g": "10",
        "bf": "0",
        "x264-params": f"sliced-threads=0:slices={slices}",
    }
    packets = []
    for index, number in enumerate(numbers):
        frame = av.VideoFrame.from_ndarray(numbered(number, width_px, height_px), format="rgb24")
        frame.pts = index
        packets += codec.encode(frame)
    return [_nals(bytes(packet)) for packet in [*packets, *codec.encode()]]


def _nals(stream: bytes) -> Unit:
    """Cut at the start codes."""
    return [nal for nal in re.split(b"\x00\x00\x00?\x01", stream) if nal]


def headers_of(unit: Unit) -> str:
    """A keyframe's parameter sets, as an SDP's fmtp line has them."""
    sets = [base64.b64encode(nal).decode() for nal in unit if nal[0] & 31 in (7, 8)]
    return f"packetization-mode=1;sprop-parameter-sets={','.join(sets)}"


PICTURES = encoded(range(60))
HONEST = sdp(fmtp=headers_of(PICTURES[0]))
