"""Probes: what an address that does not answer costs and says, by a plain socket."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lookout.service.ingest import probe as probes
from lookout.service.ingest.probe import NO_RTSP, NoAnswerError, Prober, status_in
from tests.ingest_line import camera
from tests.waiting import wait_until

Serve = Callable[[socket.socket], None]

LIMIT_S = 1.0


@pytest.fixture(scope="module")
def prober() -> Iterator[Prober]:
    with Prober() as running:
        yield running


@contextlib.contextmanager
def server(serve: Serve, host: str = "127.0.0.1", family: int = socket.AF_INET) -> Iterator[int]:
    """Serve each client by `serve` in a thread of its own; yield the port."""
    with (
        socket.create_server((host, 0), family=family) as listener,
        contextlib.ExitStack() as clients,
    ):

        def serve_one(client: socket.socket) -> None:
            with contextlib.suppress(OSError):
                serve(client)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client = clients.enter_context(listener.accept()[0])
                    threading.Thread(target=serve_one, args=(client,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def answering(*parts: bytes) -> Serve:
    """Answer the request with these parts, and keep the connection."""

    def serve(client: socket.socket) -> None:
        client.recv(4096)
        for part in parts:
            client.sendall(part)

    return serve


def status(words: str) -> Serve:
    return answering(f"RTSP/1.0 {words}\r\nCSeq: 1\r\n\r\n".encode())


def mute(client: socket.socket) -> None:
    client.recv(4096)


def hangs_up(client: socket.socket) -> None:
    client.recv(4096)
    client.shutdown(socket.SHUT_RDWR)
    client.close()


def drips(client: socket.socket) -> None:
    for letter in itertools.cycle(b"RTSP "):
        client.sendall(bytes([letter]))
        time.sleep(0.05)


def asked(prober: Prober, url: str, limit_s: float = LIMIT_S, *, failing: bool = False) -> str:
    """The error of a probe; empty where a camera answers."""
    running = prober.ask(camera("a", url), limit_s, failing=failing)
    wait_until(running.answer, "the probe's end")
    answer = running.answer()
    assert answer is not None
    assert "s3cr3t" not in str(answer)
    return answer.error or ""


NO_ANSWER = "no answer within 1 s"
HTTP = "the server answers in HTTP, not in RTSP: is it the right port?"


@pytest.mark.parametrize(
    ("serve", "error"),
    [
        (status("200 OK"), ""),
        (status("401 Unauthorized"), ""),  # the decoder has the password
        (status("403 Forbidden"), probes.FORBIDDEN),
        (status("404 Not Found"), probes.NOT_FOUND),
        (status("503 Service Unavailable"), probes.SERVER_FAILED),
        (status("501 Not Implemented"), ""),  # libav has the last word
        (answering(b"RT", b"SP/1.", b"0 40", b"4 Not Fo", b"und\r\n"), probes.NOT_FOUND),
        (answering(b"$\0\0\4abcd"), ""),
        (answering(b"OPTIONS * RTSP/1.0\r\n\r\n"), ""),
        (answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), HTTP),
        (answering(b"SSH-2.0-OpenSSH_9.2p1\r\n"), NO_RTSP),
        (answering(b"\x00\xff" * 5000), NO_RTSP),
        (answering(b"RTSP/1.0 \xb2 what\r\n"), NO_RTSP),
        (hangs_up, "the server hung up without an answer"),
        (mute, NO_ANSWER),
        (drips, NO_ANSWER),
    ],
)
def test_a_server_is_told_apart_by_its_answer(prober: Prober, serve: Serve, error: str) -> None:
    with server(serve) as port:
        assert asked(prober, f"rtsp://admin:s3cr3t@127.0.0.1:{port}/x") == error


def test_without_a_user_a_401_is_the_end(prober: Prober) -> None:
    with server(status("401 Unauthorized")) as port:
        assert asked(prober, f"rtsp://127.0.0.1:{port}/x") == probes.UNAUTHORIZED


def test_the_request_is_that_of_the_stream_without_its_password(prober: Prober) -> None:
    requests: list[bytes] = []

    def serve(client: socket.socket) -> None:
        requests.append(client.recv(4096))
        client.sendall(b"RTSP/1.0 200 OK\r\n\r\n")

    with server(serve) as port:
        assert asked(prober, f"rtsp://admin:s3cr3t@127.0.0.1:{port}/x%20y?channel=1") == ""
    (request,) = requests
    target = f"rtsp://127.0.0.1:{port}/x%20y?channel=1"
    assert request.startswith(f"OPTIONS {target} RTSP/1.0\r\nCSeq: 1\r\n".encode())
    assert request.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("rtsp://admin:s3cr3t@127.0.0.1:1/x", probes.REFUSED),
        ("rtsps://admin:s3cr3t@127.0.0.1:1/x", probes.REFUSED),
        ("rtsp://admin:s3cr3t@[::1]:1/x", None),  # refused, or no IPv6 on this machine
        ("rtsp://admin:s3cr3t@no-such-host.invalid/x", probes.UNRESOLVED),
        (f"rtsp://{'x' * 70}.invalid/x", probes.UNRESOLVED),
        ("rtsp://fe80::1%none/x", None),
    ],
)
def test_nobody_there(prober: Prober, url: str, error: str | None) -> None:
    got = asked(prober, url, 5.0)
    assert got
    if error is not None:
        assert got == error


def test_an_address_where_packets_vanish(prober: Prober) -> None:
    """A queue of connections that is full takes no more: the kernel answers nothing."""
    with socket.socket() as listener, contextlib.ExitStack() as clients:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(4):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(address)
        assert asked(prober, f"rtsp://127.0.0.1:{address[1]}/x") == NO_ANSWER


def test_the_second_address_of_a_host_is_tried(
    prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the first one refuses or says nothing."""
    with (
        server(status("200 OK")) as port,
        socket.socket() as full,
        contextlib.ExitStack() as clients,
    ):
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        for _ in range(4):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        good = (socket.AF_INET, ("127.0.0.1", port))
        for bad in ((socket.AF_INET, ("127.0.0.1", 1)), (socket.AF_INET, full.getsockname())):
            monkeypatch.setattr(probes, "find_addresses", lambda *_, bad=bad: [bad, good])
            assert asked(prober, "rtsp://two.example/x", 5.0) == ""


def test_a_name_that_is_never_resolved_is_told_and_holds_up_nobody(
    prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    find = probes.find_addresses

    def hang(host: str, port: int, flags: int = 0) -> list[probes.Address]:
        if host == "hangs.example":
            over.wait()
            return []
        return find(host, port, flags)

    monkeypatch.setattr(probes, "find_addresses", hang)
    running = [
        prober.ask(camera("a", "rtsp://hangs.example/x"), 1.0, failing=True) for _ in range(100)
    ]
    with server(status("200 OK")) as port:
        assert asked(prober, f"rtsp://localhost:{port}/x", 5.0) == ""
    assert asked(prober, "rtsp://no-such-host.invalid/x", 5.0) == probes.UNRESOLVED
    wait_until(running[0].answer, "the first one's end")
    first = running[0].answer()
    assert first is not None
    assert first.error == "the host's name was not resolved within 1 s"
    look_ups = [thread for thread in threading.enumerate() if thread.name == "look-up"]
    assert len(look_ups) <= 24
    over.set()
    for one in running:
        one.cancel()


def test_mute_servers_without_end_hold_up_no_camera_that_works(prober: Prober) -> None:
    with server(mute) as dead, server(status("200 OK")) as port:
        running = [
            prober.ask(camera("a", f"rtsp://127.0.0.1:{dead}/x"), 60.0, failing=True)
            for _ in range(200)
        ]
        assert asked(prober, f"rtsp://127.0.0.1:{port}/x", 5.0) == ""
        assert not any(one.answer() for one in running)
        for one in running:
            one.cancel()
        wait_until(lambda: all(one.answer() for one in running), "all are given up")


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "camera.pem"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=camera"
    try:
        subprocess.run(
            [*words.split(), "-keyout", str(path), "-out", str(path.with_suffix(".crt"))],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    with path.open("a") as both:
        both.write(path.with_suffix(".crt").read_text())
    return path


def test_a_camera_that_signs_for_itself_is_taken(prober: Prober, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as talk:
            talk.recv(4096)
            talk.sendall(b"RTSP/1.0 404 Not Found\r\n\r\n")

    with server(serve) as port:
        assert asked(prober, f"rtsps://u:s3cr3t@127.0.0.1:{port}/x", 5.0) == probes.NOT_FOUND


@pytest.mark.parametrize(
    ("serve", "error"), [(answering(b"no TLS here" * 100), probes.NO_TLS), (mute, NO_ANSWER)]
)
def test_no_tls(prober: Prober, serve: Serve, error: str) -> None:
    with server(serve) as port:
        assert asked(prober, f"rtsps://u:s3cr3t@127.0.0.1:{port}/x") == error


# Its parts


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"RTSP/1.0 200 OK\r\n", 200),
        (b"RTSP/1.0 454 Session Not Found\r\n", 454),
        (b"RTSP/2.0 505\r\n", 505),
        (b"ANNOUNCE rtsp://x RTSP/1.0\r\n", 200),
        (b"HTTP/1.0 404 Not Found\r\n", None),
        (b"220 mail.example ESMTP\r\n", None),
        (b"x" * 2000, None),
        (b"\r\n", None),
    ],
)
def test_an_answer_means_the_same_however_it_is_cut(data: bytes, expected: int | None) -> None:
    for size in (1, 3, 7, len(data)):
        got: int | str | None = None
        for end in range(size, len(data) + size, size):
            try:
                got = status_in(data[:end])
            except NoAnswerError:
                got = "none"
            if got is not None:
                break
        assert got == ("none" if expected is None else expected)


def test_the_end_of_the_stage_waits_for_no_probe() -> None:
    with server(mute) as port, Prober() as prober:
        running = prober.ask(camera("a", f"rtsp://127.0.0.1:{port}/x"), 60.0, failing=False)
        assert running.answer() is None
    assert running.answer() is not None
