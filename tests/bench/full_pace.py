"""Files at full pace through the whole line, against the bare engine; where a frame's time goes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from lookout.models.arrays import Pixels
from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.device import choose_precision
from lookout.models.media.clip_reader import read_clip
from lookout.models.scorer import Scorer
from tests.bench import usage
from tests.e2e.service_process import Service
from tests.waiting import wait_until

BATCHES = (1, 2, 4, 8)
ENGINE_S = 2.0  # of each batch
START_LIMIT_S = 90.0
LOOK_EVERY_S = 1.0  # each look is an API request: it costs too


def report(
    service: Service,
    model: Path,
    clip: Path,
    numbers: Sequence[int],
    frames: int,
    threads: int | None,
) -> Iterator[str]:
    """Yield the lines of the comparison.

    The engine is measured before and after, since a busy machine can be quieter during one of them.
    """
    engine = Engine(model, clip, threads)
    before = engine.best_fps()
    yield (
        f"bare engine {engine.how}, frames/s by batch: {engine.rates}; "
        f"CPU {engine.cpu_ms:.1f} ms a frame"
    )
    cpu_ms = engine.cpu_ms
    runs = [measure(service, model.stem, clip, files, frames) for files in numbers]
    engine_fps = (before + engine.best_fps()) / 2
    cpu_ms = (cpu_ms + engine.cpu_ms) / 2
    yield f"bare engine again: {engine.rates}; CPU {engine.cpu_ms:.1f} ms a frame"
    for run in runs:
        ratio = run.fps / engine_fps
        yield (
            f"{run.files} files at full pace: {run.fps:.1f} frames/s; "
            f"of the bare engine's best {ratio:.2f}"
        )
        yield (
            f"    {run.costs()}; of this the bare engine's {cpu_ms / sum(run.cpu_ms.values()):.2f}"
        )


class Engine:
    """The steps alone, without Redis, decoding or anything else."""

    def __init__(self, model: Path, clip: Path, threads: int | None) -> None:
        torch.set_num_threads(threads or torch.get_num_threads())
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._scorer = Scorer(load_checkpoint(model), device, choose_precision("auto", device))
        self._window = read_clip(clip, self._scorer.checkpoint.preprocess)[: self._scorer.t_length]
        self.how = f"on {device} in {self._scorer.precision}, {torch.get_num_threads()} threads"
        self.rates = ""
        self.cpu_ms = 0.0

    def best_fps(self) -> float:
        """Return the frames/s with the best number of cameras in a batch."""
        began_s, done = time.process_time(), 0
        fps = {}
        for batch in BATCHES:
            frames, seconds = self._run([self._window] * batch)
            fps[batch], done = frames / seconds, done + frames
        self.cpu_ms = 1000 * (time.process_time() - began_s) / done
        self.rates = ", ".join(f"{batch}: {rate:.1f}" for batch, rate in fps.items())
        return max(fps.values())

    def _run(self, clips: list[Pixels]) -> tuple[int, float]:
        """Score these clips again and again; return the frames scored and the seconds."""
        items = torch.stack([self._scorer.fresh_items()] * len(clips))
        self._scorer.step(clips, items).psnr_db.tolist()
        began, frames = time.perf_counter(), 0
        while time.perf_counter() - began < ENGINE_S:
            self._scorer.step(clips, items).psnr_db.tolist()
            frames += len(clips)
        return frames, time.perf_counter() - began


@dataclass(frozen=True)
class Run:
    """The measurements of a number of files at once, from their first scores until most is done."""

    files: int
    fps: float
    cpu_ms: dict[str, float]  # a frame, by role
    cores: float  # busy

    def costs(self) -> str:
        """Return the CPU time of a frame by role, as a line."""
        each = ", ".join(f"{role} {ms:.1f}" for role, ms in self.cpu_ms.items() if ms >= 0.05)
        return (
            f"CPU, ms a frame: {each}; in all {sum(self.cpu_ms.values()):.1f}, "
            f"{self.cores:.2f} cores busy"
        )


def measure(
    service: Service, model: str, clip: Path, files: int, frames: int, **more: object
) -> Run:
    """Run so many files at full pace; return rates and the CPU time of each role.

    more: further fields of the cameras.
    """
    # Each run its own: one that comes back at once under the same name drops frames as `changed`.
    run = uuid4().hex[:8]
    names = [f"fast{files}-{run}-{i}" for i in range(files)]
    for name in names:
        service.add(id=name, url=str(clip), model=model, pace="fast", calibration="model", **more)
    wait_until(
        lambda: all(views(service)[name]["scores"] for name in names),
        "all are scored",
        START_LIMIT_S,
    )
    meter, scored, began = (
        usage.CpuMeter(service.process.pid),
        _scores(service, names),
        time.monotonic(),
    )

    def most_is_done() -> bool:
        meter.look()
        return _scores(service, names) >= 0.8 * files * frames

    wait_until(most_is_done, "most is scored", 600, every_s=LOOK_EVERY_S)
    done, wall_s, used = _scores(service, names) - scored, time.monotonic() - began, meter.used_s()
    remove(service, names)
    cpu_ms = {role: 1000 * seconds / done for role, seconds in used.items()}
    return Run(files, done / wall_s, cpu_ms, sum(used.values()) / wall_s)


def _scores(service: Service, names: Sequence[str]) -> int:
    """Return how many frames of these cameras are scored so far."""
    return sum(int(one["scores"]) for name, one in views(service).items() if name in names)


def views(service: Service) -> dict[str, dict[str, Any]]:
    """Return every camera as the API shows it."""
    items = service.http.get("/cameras").raise_for_status().json()["items"]
    return {one["id"]: one for one in items}


def remove(service: Service, names: Sequence[str]) -> None:
    """Remove the cameras, and wait until their decoders have ended."""
    for name in names:
        service.http.delete(f"/cameras/{name}").raise_for_status()
    pid = service.process.pid

    def gone() -> bool:
        return not any(role == "decoder" for role, _ in usage.processes(pid).values())

    wait_until(gone, "the decoders have ended", 30, every_s=0.1)
