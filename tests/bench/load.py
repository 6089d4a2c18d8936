"""`make load`: double the cameras of one inference worker until it no longer holds.

A worker holds when no frame is dropped and 99 of 100 scores are younger than HELD_AGE_S. Also
printed is where the time of a frame goes. All is read from outside the service.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.bus.outcomes import ScoreFollower
from lookout.service.storage.redis.connect import UNAVAILABLE, connect
from tests.bench import full_pace, usage
from tests.bench.footage import MODEL, full_size_file, scene_clip
from tests.bench.full_pace import remove, views
from tests.e2e.service_process import Service, running_service
from tests.waiting import wait_until

FPS = 10
HELD_AGE_S = 1.0
SETTLE_S = 4.0
START_LIMIT_S = 90.0
LOOK_EVERY_S = 0.01


class Listener:
    """A thread, as a context.

    Notes when each score can first be read, and how old its frame is then.
    """

    def __init__(self, socket_path: str, cameras: Sequence[str]) -> None:
        self.ages_s: dict[str, list[tuple[float, float]]] = {
            name: [] for name in cameras
        }  # (seen at, age)
        bus = Bus(connect(f"unix://{socket_path}"), frames_kept=16, scores_kept=16, heats_kept=16)
        self._follower = ScoreFollower(bus)
        self._follower.cursors = dict.fromkeys(cameras)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        """Note the age of each new score until the end."""
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                found = self._follower.poll()
            except UNAVAILABLE:
                continue
            now = time.time()
            for camera, scores in found.items():
                self.ages_s[camera] += [(now, now - score.captured_at) for score in scores]

    def between(self, began: float, ended: float) -> dict[str, list[float]]:
        """Return the ages of the scores seen in an interval of time, s, by camera."""
        return {
            name: [age for at, age in ages if began <= at < ended]
            for name, ages in self.ages_s.items()
        }


@dataclass
class Step:
    """The measurements with one number of cameras."""

    cameras: int
    seconds: float
    ages_s: dict[str, list[float]]
    dropped: int
    cpu_s: dict[str, float]
    resident_mb: Counter[str]
    redis_in: float  # bytes/s
    redis_out: float
    redis_mb: float
    notes: list[str] = field(default_factory=list)

    @property
    def all_ages_s(self) -> list[float]:
        """Ages of all cameras' scores."""
        return [age for ages in self.ages_s.values() for age in ages]

    @property
    def holds(self) -> bool:
        """Whether every frame was scored, and soon."""
        ages = self.all_ages_s
        return bool(ages) and not self.dropped and float(np.quantile(ages, 0.99)) < HELD_AGE_S

    def line(self) -> str:
        """Return rates, ages and losses as a line."""
        ages = np.array(self.all_ages_s or [np.nan])
        shares = [len(one) for one in self.ages_s.values()]
        return (
            f"{self.cameras:>3} cameras: {len(self.all_ages_s) / self.seconds:5.1f} "
            f"of {self.cameras * FPS} frames/s scored, "
            f"age p50 {1000 * np.quantile(ages, 0.5):.0f} ms, "
            f"p99 {1000 * np.quantile(ages, 0.99):.0f} ms, "
            f"max {1000 * ages.max():.0f} ms; dropped {self.dropped}; least/most scored camera "
            f"{min(shares) / max(1, *shares):.2f}; {'holds' if self.holds else 'does not hold'}"
        )

    def costs(self) -> str:
        """Return memory, traffic and CPU as a line."""
        decoder_mb = self.resident_mb["decoder"] / self.cameras
        return (
            f"    memory: inference {self.resident_mb['inference']:.0f} MB, "
            f"a decoder {decoder_mb:.0f} MB a camera, bus {self.redis_mb:.0f} MB; "
            f"bus {self.redis_in / 1e6:.1f} MB/s in, {self.redis_out / 1e6:.1f} MB/s out; "
            f"CPU of one core: {_percent(self.cpu_s, self.seconds)}"
        )


def report(
    folder: Path,
    seconds: float = 15.0,
    most: int = 64,
    fast_files: Sequence[int] = (1, 4),
    fast_s: float = 30.0,
    threads: int | None = None,
    *,
    published: bool = True,
) -> Iterator[str]:
    """Files at full pace with the compact model and, where `published`, at the published width;
    then live cameras.

    `threads`: of the engine, alone and in the line; None: torch's choice.
    """
    shutil.copy(MODEL, folder)
    models = [(MODEL, fast_s)] + ([(full_size_file(folder), fast_s / 2)] if published else [])
    settings: dict[str, object] = {"models_dir": folder, "media_dir": folder}
    settings |= {"threads": threads} if threads else {}
    with running_service(folder / "data", **settings) as service:
        for model, length_s in models:
            clip = scene_clip(folder, length_s)
            for text in full_pace.report(
                service, model, clip, fast_files, round(length_s * FPS), threads
            ):
                yield f"{model.stem}: {text}"
        clip = scene_clip(folder, seconds + SETTLE_S + START_LIMIT_S / 2)
        yield from _doubling(service, clip, seconds, most)


# Live cameras


def _doubling(service: Service, clip: Path, seconds: float, most: int) -> Iterator[str]:
    """Double the cameras until the worker no longer holds.

    The last number is twice what it holds, and shows what happens then.
    """
    cameras, held = 1, 0
    while cameras <= most:
        step = _measure(service, clip, cameras, seconds)
        yield step.line()
        yield step.costs()
        if not step.holds:
            break
        held, cameras = cameras, 2 * cameras
    yield f"cameras held at {FPS} fps on one inference worker: {held}" + (
        " or more" if cameras > most else ""
    )


def _measure(service: Service, clip: Path, cameras: int, seconds: float) -> Step:
    """Run so many cameras and return their ages, losses and costs over `seconds`."""
    names = [f"load{cameras}-{i}" for i in range(cameras)]
    for name in names:
        service.add(
            id=name,
            url=str(clip),
            model=MODEL.stem,
            pace="realtime",
            fps=float(FPS),
            calibration="model",
        )
    pid = service.process.pid
    socket_path = usage.redis_socket(pid, "bus")
    with Listener(socket_path, names) as listener, connect(f"unix://{socket_path}") as redis:
        wait_until(lambda: all(listener.ages_s.values()), "all are scored", START_LIMIT_S)
        since = time.time()
        wait_until(lambda: time.time() - since > SETTLE_S, "it has settled", SETTLE_S + 5)
        began, meter, dropped, stats = (
            time.time(),
            usage.CpuMeter(pid),
            _dropped(service, names),
            _traffic(redis),
        )
        wait_until(lambda: time.time() - began > seconds, "it is over", seconds + 5)
        took_s, used = time.time() - began, meter.used_s()
        after = _traffic(redis)
        step = Step(
            cameras,
            took_s,
            listener.between(began, began + took_s),
            _dropped(service, names) - dropped,
            used,
            _resident(pid),
            (after[0] - stats[0]) / took_s,
            (after[1] - stats[1]) / took_s,
            float(redis.info("memory")["used_memory"]) / 1e6,
        )
    remove(service, names)
    return step


def _traffic(redis: Any) -> tuple[int, int]:
    """Return the bytes that a server has read and written so far."""
    stats = redis.info("stats")
    return int(stats["total_net_input_bytes"]), int(stats["total_net_output_bytes"])


def _dropped(service: Service, names: Sequence[str]) -> int:
    """Return how many frames of these cameras were dropped so far."""
    return sum(
        sum(one["dropped"].values()) for name, one in views(service).items() if name in names
    )


def _resident(pid: int) -> Counter[str]:
    """Return the resident memory of each role, MB."""
    found: Counter[str] = Counter()
    for role, megabytes in usage.resident_mb(pid).values():
        found[role] += round(megabytes)
    return found


def _percent(used: dict[str, float], seconds: float) -> str:
    """Return CPU seconds by role as shares of one core."""
    return ", ".join(f"{role} {s / seconds:.0%}" for role, s in used.items() if s / seconds > 0.005)


def main() -> None:
    """Print the report for the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load")
    parser.add_argument(
        "--seconds", type=float, default=15.0, help="measured of each number of cameras"
    )
    parser.add_argument("--most", type=int, default=64, help="cameras")
    parser.add_argument(
        "--threads", type=int, default=None, help="of the engine; else torch's choice: every core"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for text in report(Path(folder), asked.seconds, asked.most, threads=asked.threads):
            print(text, flush=True)


if __name__ == "__main__":
    main()
