"""`make soak`: check that no process grows: resident memory after the warm-up and at the end."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import usage
from tests.bench.full_pace import views
from tests.chaos.footage import MODEL, write_footage, write_model
from tests.e2e.service_process import Service, running_service
from tests.waiting import wait_until

FPS, CAMERAS = 10, 4
START_LIMIT_S = 90.0
LOOK_EVERY_S = 1.0
NOISE_MB = 4.0  # allocators move so much

# Growth up to a bound is no leak: buffers fill up once. The bounds for tiny frames (3 KB) and four
# cameras.
EXPLAINED_MB = {
    # Streams fill to their bounds: 384 frames, 256 heatmaps of 8 KB, 36,000 scores a camera.
    "redis (bus)": 60.0,
    "redis (store)": 10.0,  # alerts, and the buffer of the append-only file
    "api": 15.0,  # scores held back for the page's listeners, up to their bound
}


@dataclass
class Growth:
    """The resident memory of one process over time."""

    role: str
    pid: int
    first_mb: float
    last_mb: float
    looks: list[float] = field(default_factory=list)

    @property
    def grown_mb(self) -> float:
        """Memory at the last look beyond that at the first."""
        return self.last_mb - self.first_mb

    @property
    def steady(self) -> bool:
        """Return whether the second half shows no growth: bounded buffers are full by then."""
        half = self.looks[len(self.looks) // 2 :]
        return max(half) - half[0] <= NOISE_MB / 2

    def verdict(self) -> str:
        """Return whether the growth has an explanation or an end."""
        if self.grown_mb <= NOISE_MB:
            return "does not grow"
        if self.grown_mb <= EXPLAINED_MB.get(self.role, 0.0):
            return "within what its streams and queues may hold"
        return "grew, and has stopped" if self.steady else "GROWS"

    def line(self) -> str:
        """Return the growth as a line."""
        return (
            f"{self.role:<14} pid {self.pid:<8} {self.first_mb:7.1f} MB, "
            f"then {self.last_mb:7.1f} MB: {self.grown_mb:+6.1f} MB  {self.verdict()}"
        )


def report(folder: Path, seconds: float = 600.0, warm_up_s: float = 60.0) -> Iterator[str]:
    """Live cameras, scored by the tiny model: what may grow is everything around the engine."""
    models, media = folder / "models", folder / "media"
    models.mkdir()
    media.mkdir()
    write_model(models)
    frames = round((seconds + warm_up_s + START_LIMIT_S) * FPS)
    clip = write_footage(media / "live.mp4", frames, FPS, seed=1)
    settings = {"models_dir": models, "media_dir": media, "precision": "fp32", "threads": 1}
    with running_service(folder / "data", **settings) as service:
        names = [f"live{i}" for i in range(CAMERAS)]
        for name in names:
            service.add(id=name, url=str(clip), pace="realtime", model=MODEL, calibration="model")
        wait_until(
            lambda: all(views(service)[name]["scores"] for name in names),
            "all are scored",
            START_LIMIT_S,
        )
        _pass_time(warm_up_s)
        yield f"{CAMERAS} cameras at {FPS} fps for {seconds:g} s, after {warm_up_s:g} s of warm-up"
        yield from (growth.line() for growth in _watch(service, seconds))


def _watch(service: Service, seconds: float) -> list[Growth]:
    """Look at the memory of each process for so long; return growths, largest first."""
    pid = service.process.pid
    first = usage.resident_mb(pid)
    found = {number: Growth(role, number, mb, mb) for number, (role, mb) in first.items()}
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        _pass_time(min(LOOK_EVERY_S, seconds))
        for number, (_, mb) in usage.resident_mb(pid).items():
            if number in found:
                found[number].last_mb = mb
                found[number].looks.append(mb)
    return sorted(found.values(), key=lambda growth: -growth.grown_mb)


def _pass_time(seconds: float) -> None:
    """Return after so many seconds."""
    since = time.monotonic()
    wait_until(
        lambda: time.monotonic() - since >= seconds, "the time is over", seconds + 10, every_s=0.1
    )


def main() -> None:
    """Print the report for the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--warm-up", type=float, default=60.0, help="seconds before the first look")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for text in report(Path(folder), asked.seconds, asked.warm_up):
            print(text, flush=True)


if __name__ == "__main__":
    main()
