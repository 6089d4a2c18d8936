"""Many cameras: CPU of ingest for those without pictures, and the time of the API's lists at 1,000.

It takes seven minutes, also within `make bench`. Each figure is printed with the limit that it is
to stay below.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
import signal
import socket
import statistics
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from lookout.service.api import worker as api
from lookout.service.core import metrics
from lookout.service.core.camera import Camera
from lookout.service.core.messages import InferenceReport, IngestReport
from lookout.service.core.settings import Settings, load_settings
from lookout.service.ingest import worker as ingest
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.connections import open_bus, open_store
from lookout.service.storage.redis.embedded import RedisServer
from lookout.service.storage.store.store import Store
from tests.bench.table import HEAD, Row
from tests.hostile_rtsp import HONEST, Script, hostile_server, refuses
from tests.ingest_line import write_header_only

COMMAND = "python -m tests.bench.many_cameras"
CPU_LIMIT_PERCENT = 2.0
LATENCY_LIMIT_MS = 200.0
REQUESTS = 20


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[Settings]:
    """Yield settings with a bus and a store of their own, and a checkpoint's header."""
    (folder / "media").mkdir()
    write_header_only(folder / "models")
    with RedisServer("bus", folder) as bus, RedisServer("store", folder) as store:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        yield load_settings(
            bus_url=bus.url,
            store_url=store.url,
            data_dir=folder,
            models_dir=folder / "models",
            port=port,
        )


def record(name: str, url: str) -> Camera:
    return Camera(id=name, url=url, model="tiny", created_at=time.time(), revision=1)


@contextlib.contextmanager
def dead_addresses() -> Iterator[list[str]]:
    """Yield an address of each kind that gives no picture."""
    with contextlib.ExitStack() as cleanup:
        mute = cleanup.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1000))
        full = cleanup.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1))
        for _ in range(4):  # its queue is full: more packets vanish
            client = cleanup.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        web = cleanup.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1000))

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with web.accept()[0] as client:
                        client.recv(4096)
                        client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield [
            "rtsp://127.0.0.1:1/x",
            "rtsp://no-such-host.invalid/x",
            *(f"rtsp://127.0.0.1:{one.getsockname()[1]}/x" for one in (mute, full, web)),
        ]


@contextlib.contextmanager
def refusing_addresses() -> Iterator[list[str]]:
    """Yield an address of each kind that answers and gives no picture all the same."""

    scripts: list[Script] = [
        refuses("401 Unauthorized"),
        refuses("404 Not Found"),
        lambda client: client.play(HONEST),  # and hangs up
    ]
    with contextlib.ExitStack() as cleanup:
        yield [cleanup.enter_context(hostile_server(script)) for script in scripts]


def work(stage: str, settings: Settings) -> None:
    """Run a stage until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    {"ingest": ingest.run, "api": api.run}[stage](settings, stop)


@contextlib.contextmanager
def running(stage: str, settings: Settings) -> Iterator[int]:
    """Run a stage in a process; yield its id."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=(stage, settings))
    process.start()
    try:
        yield process.pid or 0
    finally:
        process.terminate()
        process.join(10)
        process.kill()


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, those below it, and those that have ended."""
    times = psutil.Process(pid).cpu_times()
    used = sum(times[:4])
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            used += sum(child.cpu_times()[:4])
    return float(used)


def report_attempts(
    folder: Path,
    kind: str,
    addresses: contextlib.AbstractContextManager[list[str]],
    cameras: int,
    settle_s: float,
    seconds: float,
) -> Iterator[Row]:
    """Yield the CPU of one ingest worker whose cameras give no picture, at first and later."""
    with servers(folder) as settings, addresses as urls:
        store = open_store(settings)
        for number, url in zip(range(cameras), itertools.cycle(urls), strict=False):
            store.add_camera(record(f"{kind}-{number}", url))
        with running("ingest", settings) as pid:
            time.sleep(settle_s)
            first = cpu_s(pid)
            yield Row(
                f"{cameras} {kind} cameras, the first {settle_s:.0f} s and the start (CPU s)",
                first,
                COMMAND,
            )
            before, since = cpu_s(pid), time.monotonic()
            time.sleep(seconds)
            share = 100 * (cpu_s(pid) - before) / (time.monotonic() - since)
            yield Row(
                f"{cameras} {kind} cameras, later (% of a core)",
                share,
                COMMAND,
                to_reach=CPU_LIMIT_PERCENT,
            )


def fill(bus: Bus, store: Store, cameras: int) -> None:
    """Write cameras as they are after some hours of work."""
    now = time.time()
    session = int(now * 1000) - 3_600_000
    reports = {}
    for number in range(cameras):
        name = f"camera-{number:04}"
        store.add_camera(record(name, f"rtsp://admin:pass@10.0.{number // 250}.{number % 250}/1"))
        reports[name] = IngestReport(
            "online", now + 3600, 1, None, session, 36_000, now, 10.0, worker="edge-1-2-abcd"
        )
        bus.report_inference(
            name,
            InferenceReport(
                "online", now + 3600, 1, None, 300, 300, 0.001, 0, worker="edge-3-4-ef"
            ),
        )
        for counter in ("frames", "scores", "memory_updated", "dropped_lag", "dropped_reconnect"):
            bus.count(name, counter, 30_000)
        for bound in metrics.LATENCY.bounds:  # each bucket of its histogram has been met
            for counter, by in metrics.observed(metrics.LATENCY, bound).items():
                bus.count(name, counter, by)
    bus.report_ingests(reports)


def report_latency(folder: Path, cameras: int) -> Iterator[Row]:
    """Yield the time of each list."""
    with servers(folder) as settings:
        fill(open_bus(settings), open_store(settings), cameras)
        with running("api", settings) as pid:
            base = f"http://127.0.0.1:{settings.port}"
            wait_until_answered(f"{base}/healthz")
            time.sleep(3)
            before, since = cpu_s(pid), time.monotonic()
            time.sleep(5)
            idle = (cpu_s(pid) - before) / (time.monotonic() - since)
            yield Row(
                f"the API at {cameras} cameras, without a request (% of a core)",
                100 * idle,
                COMMAND,
            )
            for path in (
                "/api/v1/cameras",
                "/api/v1/cameras?limit=100",
                "/api/v1/models",
                "/metrics",
                "/readyz",
                "/",
            ):
                before, since = cpu_s(pid), time.monotonic()
                times_ms = timed(base + path)
                used_s = cpu_s(pid) - before - idle * (time.monotonic() - since)
                yield Row(
                    f"{path} at {cameras} cameras, median (ms)",
                    statistics.median(times_ms),
                    COMMAND,
                    to_reach=LATENCY_LIMIT_MS,
                )
                yield Row(
                    f"{path} at {cameras} cameras (ms of CPU)",
                    max(0.0, used_s) / REQUESTS * 1000,
                    COMMAND,
                )


def wait_until_answered(url: str) -> None:
    """Wait for the server."""
    for _ in range(600):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310
            return
        time.sleep(0.1)
    raise TimeoutError(url)


def timed(url: str) -> list[float]:
    """Return the milliseconds of each request."""
    times_ms = []
    for _ in range(REQUESTS):
        since = time.perf_counter()
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
                answer.read()
        except urllib.error.HTTPError as error:  # /readyz: no other stage runs
            error.read()
        times_ms.append(1000 * (time.perf_counter() - since))
        time.sleep(0.05)
    return times_ms


def report(
    folder: Path,
    cameras: int = 1000,
    dead: int = 100,
    settle_s: float = 120.0,
    seconds: float = 60.0,
) -> Iterator[Row]:
    """Yield every figure."""
    for name in ("latency", "dead", "refusing"):
        (folder / name).mkdir()
    yield from report_latency(folder / "latency", cameras)
    if dead:
        for kind, addresses in (("dead", dead_addresses()), ("refusing", refusing_addresses())):
            yield from report_attempts(folder / kind, kind, addresses, dead, settle_s, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=1000)
    parser.add_argument("--dead", type=int, default=100)
    parser.add_argument("--settle", type=float, default=120.0, help="seconds before the count")
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = report(Path(folder), asked.cameras, asked.dead, asked.settle, asked.seconds)
        print(HEAD)
        for row in rows:
            print(row.line(), flush=True)


if __name__ == "__main__":
    main()
