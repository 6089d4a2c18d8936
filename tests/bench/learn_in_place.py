"""Measure how long a new camera takes to learn its own network, in a whole `lookout serve`.

    python -m tests.bench.learn_in_place [--footage 300] [--minutes 10] [--shadow 300]

A drawn scene comes by RTSP. The camera is added with the memory of places alone, and a job is asked
for at once. Printed for each stage: seconds since the camera was added, footage recorded and CPU of
all processes until then; at the end frames that were lost, by reason, and the age of the scores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lookout.service.core.jobs import ACTIVE
from lookout.service.demo.scene import Scene, write_clip
from tests.bench.usage import CpuMeter
from tests.e2e.service_process import Service, running_service
from tests.rtsp import rtsp_server
from tests.waiting import wait_until

ONLINE_LIMIT_S = 60.0
"""To reach: a first value within a minute."""

AGE_LIMIT_MS = 300.0
"""To reach: the 99th percentile of the scores' age."""

SLACK = 4.0  # wall clock of a training over its CPU: it has the lowest priority

STAGES: dict[str, set[str]] = {
    "recorded": {"queued", "recording"},
    "trained": {"queued", "recording", "training"},
    "over": set(ACTIVE),
}
"""A stage → the states of the job before it."""


class Watched:
    """A camera, its job, and what has been used since the camera was added."""

    def __init__(self, service: Service, name: str) -> None:
        self._service = service
        self._name = name
        self._cpu = CpuMeter(service.process.pid)
        self._began_s = time.monotonic()

    def job(self) -> dict[str, Any]:
        """Return the camera's job; note the CPU of all processes."""
        self._cpu.look()
        found: dict[str, Any] = self._service.http.get(f"/jobs/{self._name}:1").json()
        return found

    def has_left(self, states: set[str]) -> bool:
        """Tell whether the job is in none of the states any more."""
        return self.job()["state"] not in states

    def state(self) -> str:
        """Return the camera's state."""
        return str(self._service.camera(self._name)["state"])

    def line(self, stage: str, words: str = "") -> str:
        """Return what was needed until a stage."""
        seconds = time.monotonic() - self._began_s
        job = self.job()
        cpu_s = sum(self._cpu.used_s().values())
        return (
            f"{stage:<10} after {seconds:6.1f} s: {job['recorded_s']:.0f} s of footage, "
            f"{cpu_s:.0f} s of CPU{words}"
        )

    def ages_ms(self) -> list[float]:
        """Return the age of each score when it was made, in ms."""
        scores = self._service.all_scores(self._name)
        return [1000 * (score["scored_at"] - score["captured_at"]) for score in scores]


def report(folder: Path, footage_s: float, minutes: float, shadow_s: float) -> Iterator[str]:
    """Yield what is measured, a line a stage.

    Raises AssertionError where a stage does not come.
    """
    longest_s = 180 + 3 * footage_s + 2 * shadow_s + SLACK * 60 * minutes
    clip = folder / "live.mp4"
    write_clip(clip, Scene(seed=3), longest_s)  # so long that the camera never begins anew
    asked = {"footage_s": footage_s, "minutes": minutes, "shadow_s": shadow_s}
    with rtsp_server(clip) as url, running_service(folder / "data", threads=1) as service:
        service.add(id="gate", url=url, model="places", learning="record")
        watched = Watched(service, "gate")
        service.http.post("/cameras/gate/learn", json=asked).raise_for_status()
        wait_until(lambda: watched.state() == "online", "a first value", longest_s, every_s=0.5)
        yield watched.line("online", f" (to reach: {ONLINE_LIMIT_S:.0f} s)")
        for stage, before in STAGES.items():
            wait_until(partial(watched.has_left, before), stage, longest_s, every_s=0.5)
            yield watched.line(stage)
        job = watched.job()
        yield f"{job['state']} {job['checkpoint']}: {job['reason'] or 'by rule'}"
        dropped = service.camera("gate")["dropped"]
        lost = {reason: frames for reason, frames in dropped.items() if frames}
        yield f"frames lost: {lost or 'none'}"
        ages = watched.ages_ms()
        p99_ms = float(np.percentile(ages, 99))
        yield (
            f"age of {len(ages)} scores: median {np.median(ages):.0f} ms, p99 {p99_ms:.0f} ms "
            f"(to reach: {AGE_LIMIT_MS:.0f} ms)"
        )


def main() -> None:
    """Print the report for the options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--footage", type=float, default=300.0, help="seconds to record")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training")
    parser.add_argument("--shadow", type=float, default=300.0, help="seconds")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for text in report(Path(folder), asked.footage, asked.minutes, asked.shadow):
            print(text, flush=True)


if __name__ == "__main__":
    main()
