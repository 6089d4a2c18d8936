"""Attack an API of its own on loopback, bounded, and print figures: `make attack`.

Each attack runs beside a client that asks /healthz; its latency and the API's log lines are told.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from lookout.service.core.lifecycle import die_with_parent
from lookout.service.storage.redis.embedded import RedisServer
from tests.service.api_server import BEARER, TOKEN, free_port
from tests.waiting import wait_until

FILES = 1024  # the API's limit
IDLE = 1150
GUESSES = 2000
SLOW = 200
FLOOD_S = 5.0


def main() -> int:
    """Print a line for each attack."""
    with (
        tempfile.TemporaryDirectory(prefix="lookout-attack-") as folder,
        running_api(Path(folder)) as (port, log),
    ):
        report("nothing", port, log, calm)
        report(f"{IDLE} idle connections", port, log, lambda: idle(port))
        report(f"{SLOW} slow headers", port, log, lambda: slow_headers(port))
        report(f"{GUESSES} wrong guesses", port, log, lambda: guess(port))
        report("a ping flood", port, log, lambda: ping_flood(port))
        report("a handshake of 9 KB", port, log, lambda: large_handshake(port))
    return 0


@contextlib.contextmanager
def running_api(folder: Path) -> Iterator[tuple[int, Path]]:
    """Start the API stage as a process with FILES files; yield its port and its log."""
    port = free_port()
    log = folder / "api.log"
    with RedisServer("bus", folder) as bus, RedisServer("store", folder) as store:
        given = {
            "LOOKOUT_BUS_URL": bus.url,
            "LOOKOUT_STORE_URL": store.url,
            "LOOKOUT_DATA_DIR": str(folder),
            "LOOKOUT_PORT": str(port),
            "LOOKOUT_TOKEN": TOKEN,
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lookout", "api"],
                env=os.environ | given,
                stdout=output,
                stderr=output,
                preexec_fn=limit_files,  # noqa: PLW1509
            )
            try:
                wait_until(lambda: healthz(port) is not None, "an API that answers", 60)
                yield port, log
            finally:
                process.terminate()
                process.wait(15)


def limit_files() -> None:
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


def healthz(port: int) -> float | None:
    """Return how long /healthz takes on a new connection (s), None where it does not answer."""
    began = time.monotonic()
    try:
        asked = status(port, "/healthz", {})
    except OSError:
        return None
    return time.monotonic() - began if asked == 200 else None


def status(port: int, path: str, headers: dict[str, str]) -> int:
    """Return the status of a GET on a connection of its own."""
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    ) as connection:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status


def report(name: str, port: int, log: Path, attack: Callable[[], str]) -> None:
    """Run an attack beside a client of /healthz, and print what both saw."""
    taken: list[float | None] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            taken.append(healthz(port))
            time.sleep(0.02)

    lines_before = len(log.read_bytes().splitlines())
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        told = attack()
    finally:
        done.set()
        asking.join()
    answered = sorted(took for took in taken if took is not None)
    lines = len(log.read_bytes().splitlines()) - lines_before
    print(
        f"{name}: /healthz answered {len(answered)} of {len(taken)}, "
        f"median {statistics.median(answered) * 1e3:.1f} ms, "
        f"slowest {answered[-1] * 1e3:.0f} ms; {lines} log lines. {told}",
        flush=True,
    )


def calm() -> str:
    time.sleep(2)
    return ""


def idle(port: int) -> str:
    with contextlib.ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        time.sleep(3)
    return ""


def slow_headers(port: int) -> str:
    """Drip a header on many connections until each is cut."""
    began = time.monotonic()
    answers: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            for _ in range(SLOW)
        ]
        for client in clients:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: a")
        for client in clients:
            with contextlib.suppress(OSError):
                answers[client.recv(4096)[9:12].decode()] += 1
    return f"Answers: {dict(answers)}, after {time.monotonic() - began:.1f} s."


def guess(port: int) -> str:
    """Guess by token and by cookie."""

    def one(number: int) -> int:
        headers = {"Authorization": f"Bearer guess-{number:016}"}
        if number % 2:
            headers = {"Cookie": f"lookout_session=0:x.{number}.y"}
        return status(port, "/api/v1/cameras", headers)

    with ThreadPoolExecutor(16) as pool:
        found = Counter(pool.map(one, range(GUESSES)))
    return f"Accepted: {found.pop(200, 0)}; refused: {dict(found)}."


def ping_flood(port: int) -> str:
    """Send pings as fast as they go, and listen again when the API has ended it."""
    ping = b"\x89\x80\x00\x00\x00\x00" * 10_000
    handshake = (
        "GET /api/v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
        f"Sec-WebSocket-Version: 13\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    ).encode()
    ended = 0
    deadline = time.monotonic() + FLOOD_S
    while time.monotonic() < deadline:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(handshake)
            client.recv(4096)
            with contextlib.suppress(OSError):
                while time.monotonic() < deadline:
                    client.sendall(ping)
        ended += 1
    return f"Floods ended: {ended}."


def large_handshake(port: int) -> str:
    headers = {**BEARER, "X-Long": "a" * 9000}
    try:
        with connect(f"ws://127.0.0.1:{port}/api/v1/live", additional_headers=headers):
            return "Accepted."
    except InvalidStatus as refused:
        return f"Answer: {refused.response.status_code}."


if __name__ == "__main__":
    raise SystemExit(main())
