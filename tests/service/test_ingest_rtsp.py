"""Cameras that speak RTSP, against a real server, and against some that do not behave."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder.protocol import EXIT_CODES
from lookout.service.ingest.decoder.source import STALL_ADVICE
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.clips import number_in, write_clip
from tests.conftest import Urls, with_long_forms
from tests.ingest_line import SIDE_PX, Reader, camera, play, settings_for, wait_for_state, working
from tests.rtsp import rtsp_server
from tests.waiting import wait_until


@pytest.fixture
def settings(urls: Urls, tmp_path: Path) -> Settings:
    return settings_for(tmp_path, urls.bus, urls.store)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """3 s at 10 fps; with frames that travel in another order than they are shown."""
    return write_clip(tmp_path / "clip.mp4", range(30))


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "endless.mp4", range(600))


@pytest.mark.rtsp
def test_every_frame_arrives_once_in_order_with_a_files_pixels(
    settings: Settings, clip: Path, bus: Bus
) -> None:
    reader = Reader(bus, "a")
    with rtsp_server(clip) as url:
        code, said = play(camera("a", url), settings, reader)
    assert (code, said[-1].error) == (EXIT_CODES["lost"], "the stream ended")
    assert len(reader.sessions) == 1
    assert [frame.seq for frame in reader.frames] == list(range(30))
    same = read_clip(clip, Preprocess(SIDE_PX, SIDE_PX))
    np.testing.assert_array_equal(np.stack([frame.pixels for frame in reader.frames]), same)
    times = [frame.captured_at for frame in reader.frames]
    assert times == sorted(times)
    assert 2 < times[-1] - times[0] < 4


@pytest.mark.rtsp
def test_frames_come_while_they_happen_and_at_the_rate_asked_for(
    settings: Settings, endless: Path, bus: Bus, store: Store
) -> None:
    with rtsp_server(endless) as url, working(settings):
        store.add_camera(camera("a", url, fps=5.0))
        reader = Reader(bus, "a")
        reader.read_until(8)
        report = wait_for_state(bus, "a", "online")
    numbers = [number_in(frame.pixels) for frame in reader.frames[:8]]
    assert numbers == list(range(0, 16, 2))
    assert not report.waiting


@pytest.mark.long
@pytest.mark.rtsp
def test_a_server_that_goes_away_and_returns(
    settings: Settings, endless: Path, bus: Bus, store: Store
) -> None:
    reader = Reader(bus, "a")
    with working(settings):
        with rtsp_server(endless) as url:
            store.add_camera(camera("a", url))
            reader.read_until(3)
        lost = wait_for_state(bus, "a", "reconnecting")
        assert lost.last_error in ("the stream ended", "connection refused")
        wait_until(lambda: bus.counters("a").get("reconnects", 0) >= 2, "it is tried again")
        with rtsp_server(endless, port=urlsplit(url).port or 0):
            report = wait_for_state(bus, "a", "online")
            wait_until(lambda: (reader.read(), len(reader.sessions) == 2)[1], "a second session")
    assert report.last_error is None
    assert reader.sessions[1] > reader.sessions[0]


@pytest.mark.rtsp
def test_the_end_of_a_stream_is_a_lost_camera(
    settings: Settings, clip: Path, bus: Bus, store: Store
) -> None:
    reader = Reader(bus, "a")
    with rtsp_server(clip) as url, working(settings):
        store.add_camera(camera("a", url))
        wait_until(lambda: (reader.read(), len(reader.sessions) == 2)[1], "a second session")
    first = [frame for frame in reader.frames if frame.session == reader.sessions[0]]
    assert [number_in(frame.pixels) for frame in first] == list(range(30))
    assert bus.counters("a")["reconnects"] == 1


@pytest.mark.rtsp
def test_logins(settings: Settings, clip: Path, bus: Bus) -> None:
    """A password may hold every character that a URL must escape; a wrong one is never shown."""
    with rtsp_server(clip, "admin", "p@s/s:w%rd?#") as url:
        _, said = play(camera("a", url), settings, Reader(bus, "a"))
        assert said[-1].error == "the stream ended"
        assert said[-1].frames == 30
        host = url.rsplit("@", 1)[1]
        for wrong in (f"rtsp://admin:s3cr3t@{host}", f"rtsp://{host}"):
            code, said = play(camera("a", wrong), settings, Reader(bus, "a"))
            assert code == EXIT_CODES["lost"]
            assert said[-1].error == "401 unauthorized: user or password is wrong"
            assert "s3cr3t" not in str(said)


@pytest.mark.rtsp
@pytest.mark.parametrize("digest", with_long_forms([False, True], {True}))
def test_a_password_of_every_reserved_character_reaches_the_server(
    settings: Settings, clip: Path, bus: Bus, digest: bool
) -> None:
    """The scheme may be in capitals, too."""
    awkward = ":/?#[]@!$&'()*+,;=%41% ä\"\\<>"
    with rtsp_server(clip, "ad/m@in", awkward, digest=digest) as url:
        _, said = play(camera("a", url.replace("rtsp:", "RTSP:")), settings, Reader(bus, "a"))
    assert (said[-1].error, said[-1].frames) == ("the stream ended", 30)


@pytest.mark.rtsp
def test_a_path_that_is_not_there(settings: Settings, clip: Path, bus: Bus) -> None:
    with rtsp_server(clip) as url:
        _, said = play(camera("a", url.replace("/clip", "/other")), settings, Reader(bus, "a"))
    assert said[-1].error == "404 not found: the server has no such stream"


# Servers that do not behave


@contextlib.contextmanager
def tcp_server(answer: bytes = b"") -> Iterator[int]:
    """Answer every request with the same bytes (none: stay silent), and never hang up."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as clients:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client = clients.enter_context(server.accept()[0])
                    if answer:
                        client.recv(4096)
                        client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_server_that_says_nothing_is_given_up_in_time(
    urls: Urls, tmp_path: Path, bus: Bus
) -> None:
    settings = settings_for(tmp_path, urls.bus, urls.store, connect_timeout_s=1.0)
    since = time.monotonic()
    with tcp_server() as port:
        code, said = play(
            camera("a", f"rtsp://u:s3cr3t@127.0.0.1:{port}/x"), settings, Reader(bus, "a")
        )
    assert (code, said[-1].error) == (EXIT_CODES["lost"], "no answer within 1 s")
    assert time.monotonic() - since < 8


@pytest.mark.parametrize(
    "answer",
    with_long_forms(
        [b"HTTP/1.1 200 OK\r\n\r\n", b"\x00\xff" * 5000, b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"],
        {b"HTTP/1.1 200 OK\r\n\r\n"},
    ),
)
def test_a_server_of_another_kind(urls: Urls, tmp_path: Path, bus: Bus, answer: bytes) -> None:
    settings = settings_for(tmp_path, urls.bus, urls.store, connect_timeout_s=1.0)
    with tcp_server(answer) as port:
        code, said = play(
            camera("a", f"rtsp://u:s3cr3t@127.0.0.1:{port}/x"), settings, Reader(bus, "a")
        )
    assert code == EXIT_CODES["lost"]
    assert said[-1].error
    assert "s3cr3t" not in str(said)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("rtsp://u:s3cr3t@127.0.0.1:1/x", "connection refused"),
        ("rtsp://u:s3cr3t@no-such-host.invalid/x", "the host's name cannot be resolved"),
    ],
)
def test_nobody_there(settings: Settings, bus: Bus, url: str, error: str) -> None:
    code, said = play(camera("a", url), settings, Reader(bus, "a"))
    assert (code, said[-1].error) == (EXIT_CODES["lost"], error)


def test_no_tls(settings: Settings, bus: Bus) -> None:
    with tcp_server(b"no TLS here" * 100) as port:
        code, said = play(
            camera("a", f"rtsps://u:s3cr3t@127.0.0.1:{port}/x"), settings, Reader(bus, "a")
        )
    assert (code, said[-1].error) == (EXIT_CODES["lost"], "no TLS connection can be made")


@pytest.mark.long
@pytest.mark.rtsp
def test_a_camera_that_falls_silent_is_stalled_and_tried_again(
    urls: Urls, tmp_path: Path, endless: Path, bus: Bus, store: Store
) -> None:
    settings = settings_for(
        tmp_path, urls.bus, urls.store, stall_timeout_s=1.0, connect_timeout_s=1.0
    )
    with rtsp_server(endless) as url, muted(url) as (quiet_url, mute), working(settings):
        store.add_camera(camera("a", quiet_url))
        wait_for_state(bus, "a", "online")
        mute.set()
        assert wait_for_state(bus, "a", "stalled").last_error == f"silent for 1 s; {STALL_ADVICE}"
        mute.clear()
        wait_for_state(bus, "a", "online")


@contextlib.contextmanager
def muted(url: str) -> Iterator[tuple[str, threading.Event]]:
    """A way to the server that can be silenced without being closed."""
    target, mute = (urlsplit(url).hostname or "", urlsplit(url).port or 0), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as open_ones:

        def carry(source: socket.socket, sink: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    if not mute.is_set():
                        sink.sendall(data)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    near = open_ones.enter_context(server.accept()[0])
                    far = open_ones.enter_context(socket.create_connection(target))
                    for pair in ((near, far), (far, near)):
                        threading.Thread(target=carry, args=pair, daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"rtsp://127.0.0.1:{server.getsockname()[1]}{urlsplit(url).path}", mute
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
