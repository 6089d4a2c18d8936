"""Measure the cost of the ring of packets to a decoder: `python -m tests.bench.evidence`.

Two decoders of the same real RTSP camera at 1080p, one with the ring and one without, side by side;
then a clip and two pictures of the one with it.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from lookout.service.core.evidence import ClipRecord, EvidenceRequest
from lookout.service.core.messages import Alert
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.connections import open_bus, open_store
from lookout.service.storage.redis.embedded import RedisServer
from lookout.service.storage.store.store import Store
from tests.ingest_line import Reader, camera, settings_for, start_decoder
from tests.rtsp import rtsp_server
from tests.waiting import wait_until

FPS = 15
MBIT = 8
MB = 1e6


def clip_1080p(folder: Path, seconds: float) -> Path:
    """Make a clip of noise and movement, at a camera's usual rate of bits."""
    path = folder / "clip.mp4"
    picture = f"testsrc2=size=1920x1080:rate={FPS}:duration={seconds},noise=alls=20:allf=t"
    rate = ["-b:v", f"{MBIT}M", "-maxrate", f"{MBIT}M", "-bufsize", f"{MBIT}M"]
    words = ["-f", "lavfi", "-i", picture, "-c:v", "libx264", "-preset", "ultrafast", *rate]
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", *words, "-g", str(2 * FPS), "-bf", "0", str(path)],
        check=True,
    )
    return path


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def report(folder: Path, seconds: float = 25.0) -> Iterator[str]:
    """Yield a line on the ring, and one on a clip with its pictures."""
    clip = clip_1080p(folder, seconds + 40)
    with (
        RedisServer("bus", folder) as bus_server,
        RedisServer("store", folder) as store_server,
        rtsp_server(clip) as url,
    ):
        settings = settings_for(folder, bus_server.url, store_server.url, clips_free_mb=0)
        without = settings.model_copy(update={"clip_camera_mb": 0})
        bus = open_bus(settings)
        store = open_store(settings)
        decoders = {
            "without": start_decoder(bus, camera("without", url, fps=10.0), without),
            "with": start_decoder(bus, camera("with", url, fps=10.0), settings),
        }
        try:
            for name in decoders:
                Reader(bus, name).read_until(20, 60.0)
            processes = {name: psutil.Process(one.pid) for name, one in decoders.items()}
            before = {name: cpu_s(one) for name, one in processes.items()}
            began = time.monotonic()
            wait_until(lambda: time.monotonic() - began > seconds, "the time", seconds + 10)
            share = {
                name: 100 * (cpu_s(one) - before[name]) / (time.monotonic() - began)
                for name, one in processes.items()
            }
            memory = {name: one.memory_info().rss / MB for name, one in processes.items()}
            yield (
                f"1080p, {FPS} frames/s, {MBIT} Mbit/s: a decoder takes {share['without']:.1f} % "
                f"of a core and {memory['without']:.0f} MB; with the ring "
                f"{share['with']:.1f} % and {memory['with']:.0f} MB"
            )
            yield clip_cost(bus, store, processes["with"], share["with"] / 100)
        finally:
            for decoder in decoders.values():
                decoder.kill()
                decoder.close()


def clip_cost(bus: Bus, store: Store, process: psutil.Process, usual_share: float) -> str:
    """Return a line on a clip of the seconds before now, with its pictures.

    usual_share: of a core, that the decoder takes without it.
    """
    frame = bus.frame("with")
    assert frame is not None
    at = frame.captured_at - 9.0
    alert = Alert(f"with:{frame.id}", "with", "closed", at, at + 3.0, 0.5, 0.9, at + 2.0)
    now = time.time()
    before_s = cpu_s(process)
    began = time.monotonic()
    store.begin_clip("with", alert.id, ClipRecord("pending", due_at=now + 60))
    bus.ask_evidence("with", EvidenceRequest.of(alert, 5.0, 5.0, 20.0, now))
    wait_until(lambda: not bus.evidence_requests("with"), "the clip", 60.0)
    wall_s = time.monotonic() - began
    spent_s = cpu_s(process) - before_s - usual_share * wall_s
    (record,) = store.alert_clips("with", [alert.id])
    return (
        f"a clip of {record.seconds or 0:.1f} s ({(record.size_bytes or 0) / MB:.1f} MB) and two "
        f"pictures take {spent_s:.2f} s of one thread of the lowest priority ({record.state})"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        for text in report(Path(name)):
            print(text, flush=True)
