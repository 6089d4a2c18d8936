"""CPU of a decoder's start and memory of one that works: `python -m tests.bench decoder_starts`.

A decoder is forked. The rival is a process of its own, which imports the same first.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from lookout.service.ingest.decoder.protocol import Job
from lookout.service.ingest.forking.children import MODULE, Child, Children
from lookout.service.storage.connections import open_bus
from lookout.service.storage.redis.embedded import RedisServer
from tests.bench.table import Row
from tests.clips import write_clip
from tests.ingest_line import Reader, camera, settings_for
from tests.owning import own
from tests.waiting import wait_until

COMMAND = "python -m tests.bench decoder_starts"
STARTS = 20
MEMORY_TO_REACH_MB = 60.0
MB = 1e6


def wait_for_end(child: Child) -> None:
    """Wait until a child has ended, and close it."""
    wait_until(lambda: child.exit_code() is not None, "a decoder's end")
    child.close()


def own_process_cpu_s() -> float:
    """Return the CPU seconds of a Python that imports what a decoder needs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-P", "-c", f"import {MODULE}"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(folder: Path) -> Iterator[Row]:
    """Yield the rows."""
    with (
        RedisServer("bus", folder) as bus_server,
        RedisServer("store", folder) as store_server,
        Children() as children,
    ):
        settings = settings_for(folder, bus_server.url, store_server.url)
        bus = open_bus(settings)
        refused = Job(camera("none", "/none.mp4"), settings, "token").dump()
        wait_for_end(children.start("decoder", refused))  # the server has loaded its libraries
        server = psutil.Process(children.server().pid)
        before_s = sum(server.cpu_times()[:4])
        for _ in range(STARTS):
            wait_for_end(children.start("decoder", refused))
        yield Row(
            "CPU of a decoder that starts and is refused its file (ms)",
            1000 * (sum(server.cpu_times()[:4]) - before_s) / STARTS,
            COMMAND,
            limit=1000 * min(own_process_cpu_s() for _ in range(3)),
        )
        clip = write_clip(settings.media_dir / "clip.mp4", range(600), size_px=(640, 360))
        record = camera("gate", clip, pace="realtime")
        job = Job(record, settings, own(bus, "gate", "ingest")).dump()
        child = children.start("decoder", job)
        Reader(bus, "gate").read_until(20)
        child.exit_code()
        yield Row(
            "memory of a decoder beside another one: its own pages, 640x360 (MB)",
            psutil.Process(child.pid).memory_full_info().uss / MB,
            COMMAND,
            to_reach=MEMORY_TO_REACH_MB,
        )
        child.kill()
        wait_for_end(child)
