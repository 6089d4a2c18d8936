"""Bounds of connections: slow, idle, many, broken and flooding clients, each beside a good one."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed, InvalidStatus

from lookout.service.api import protocols, worker
from lookout.service.api.worker import RESERVED_FILES, max_connections
from tests.conftest import Urls
from tests.service.api_server import BEARER, TOKEN, Api, running_api, settings_for, write_checkpoint
from tests.waiting import wait_until

MOST = 12


@pytest.fixture(scope="module")
def bounded(redis_urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API of few connections and short deadlines."""
    settings = settings_for(
        redis_urls.emptied(), tmp_path_factory.mktemp("bounded"), token=SecretStr(TOKEN)
    )
    write_checkpoint(settings, "square")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(worker, "max_connections", lambda _limit: MOST)
        patched.setattr(protocols, "HEADER_S", 1.0)
        patched.setattr(protocols, "BODY_S", 1.5)
        with running_api(settings) as api:
            yield api


@contextlib.contextmanager
def raw(api: Api, sent: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as client:
        client.sendall(sent)
        yield client


def everything(client: socket.socket) -> bytes:
    """Return what comes until the server closes."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            found += part
    return found


def answered(client: socket.socket) -> tuple[int, str]:
    """Return status and reason of the last answer of a connection that the server closes."""
    head, _, body = everything(client).partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return int(head.split()[1]), str(json.loads(body)["detail"])


def is_well(api: Api) -> bool:
    return httpx.get(f"http://127.0.0.1:{api.port}/healthz", timeout=10).status_code == 200


def test_idle_connections_make_room(bounded: Api, caplog: pytest.LogCaptureFixture) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(raw(bounded)) for _ in range(3 * MOST)]
        assert is_well(bounded)
        assert everything(idle[0]) == b""  # the one that waited longest
        assert is_well(bounded)
    lines = [record.getMessage() for record in caplog.records if "open" in record.getMessage()]
    assert len(lines) <= 1
    assert all(f"{MOST} connections are open" in line for line in lines)


@pytest.mark.parametrize(
    "sent",
    [b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"G", b"\r\n", b"\r\n" * 3 + b"GET"],
)
def test_a_header_that_does_not_come_is_cut(bounded: Api, sent: bytes) -> None:
    with raw(bounded, sent) as client:
        began = time.monotonic()
        found = everything(client)
        assert time.monotonic() - began < 8
        assert not found or found.split()[1] in (b"400", b"408")


def test_a_dripping_header_is_cut(bounded: Api) -> None:
    """A byte now and then is no sign of life."""
    with raw(bounded, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ") as client:
        client.settimeout(0.1)
        found = b""
        for _ in range(100):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(b"a")
            with contextlib.suppress(TimeoutError):
                found = client.recv(65536)
                break
        assert found.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("headers", [BEARER, {}])
def test_a_body_that_does_not_come_is_cut(bounded: Api, headers: dict[str, str]) -> None:
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    head = f"POST /api/v1/cameras HTTP/1.1\r\nHost: x\r\n{''.join(lines)}"
    head += "Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
    with raw(bounded, head.encode()) as client:
        found = everything(client)
    assert found.split()[1] == (b"408" if headers else b"401")
    assert is_well(bounded)


def test_a_kept_connection_ends_when_nothing_more_is_asked(bounded: Api) -> None:
    with raw(bounded, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        assert b"200 OK" in everything(client)


def test_a_large_header_gets_its_answer(bounded: Api) -> None:
    with raw(bounded, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 80_000) as client:
        assert answered(client) == (431, "the header of the request is too large")


def test_a_client_that_takes_nothing_more_is_cut_when_the_api_stops(
    redis_urls: Urls, tmp_path: Path
) -> None:
    asked = b"GET /assets/page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
    with socket.socket() as client:
        client.settimeout(10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with running_api(settings_for(redis_urls.emptied(), tmp_path)) as api:
            client.connect(("127.0.0.1", api.port))
            client.sendall(asked)
            assert b"200 OK" in client.recv(4096)
        assert everything(client).count(b"200 OK") < 999  # it ends, and not as asked


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01", b"nonsense\r\n\r\n", b"GET / HTTP/9\r\n\r\n"]
)
def test_what_is_not_http_gets_its_answer(
    bounded: Api, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with raw(bounded, sent) as client:
        found = everything(client)
    assert found.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


@pytest.mark.parametrize("headers", [{"X-Long": "a" * 9000}, {f"X-{n}": "b" for n in range(200)}])
def test_a_large_handshake_gets_its_answer(bounded: Api, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus) as refused:
        bounded.listen(additional_headers={**BEARER, **headers})
    assert refused.value.response.status_code == 431


def test_refused_handshakes_are_no_errors(bounded: Api, caplog: pytest.LogCaptureFixture) -> None:
    for headers in ({}, {**BEARER, "Origin": "http://evil.example"}):
        with pytest.raises(InvalidStatus, match=r"40[13]"):
            bounded.listen(additional_headers=headers)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_listeners_leave_room_for_requests(bounded: Api) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(MOST * 3 // 4):
            stack.enter_context(bounded.listen(additional_headers=BEARER))
        with pytest.raises(InvalidStatus, match="503"):
            bounded.listen(additional_headers=BEARER)
        assert is_well(bounded)
        idle = [stack.enter_context(raw(bounded)) for _ in range(MOST)]
        assert is_well(bounded)
        assert everything(idle[0]) == b""
    wait_until(lambda: can_listen(bounded), "room for a listener again")


def can_listen(api: Api) -> bool:
    with contextlib.suppress(InvalidStatus), api.listen(additional_headers=BEARER):
        return True
    return False


def test_a_ping_flood_is_ended(bounded: Api) -> None:
    """One that floods is closed with its reason; pings of a sane client are answered."""
    with bounded.listen(additional_headers=BEARER) as socket:
        assert socket.ping().wait(5)
    with bounded.listen(additional_headers=BEARER) as socket:
        ping = b"\x89\x80\x00\x00\x00\x00" * 10_000
        with contextlib.suppress(OSError):
            for _ in range(50):
                socket.socket.sendall(ping)
        with pytest.raises(ConnectionClosed) as ended:
            while True:
                socket.recv(timeout=10)
    assert ended.value.rcvd is None or ended.value.rcvd.code == 1008
    assert is_well(bounded)


def test_small_answers_do_not_wait_for_an_acknowledgement(bounded: Api) -> None:
    with (
        worker.bound_socket("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(
    ("limit", "most"),
    [(64, 32), (256, 128), (1024, 1024 - RESERVED_FILES), (20_000, 4096), (2**63 - 1, 4096)],
)
def test_the_bound_lies_below_the_file_limit(limit: int, most: int) -> None:
    assert max_connections(limit) == most
