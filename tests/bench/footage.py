"""What is measured on: the demo's scene and the demo's checkpoint, so that anyone can run it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from service.demo.scene import Scene, write_clip
from service.settings import SHIPPED_MODELS

MODEL = SHIPPED_MODELS / "square.safetensors"


def scene_clip(folder: Path, seconds: float) -> Path:
    """The generated scene as a clip, written once."""
    path = folder / f"scene-{seconds:g}.mp4"
    if not path.exists():
        write_clip(path, Scene(seed=3), seconds)
    return path


def median_s(work: Callable[[], object], repeats: int) -> float:
    """Median time of one call, after one call to warm up."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)
