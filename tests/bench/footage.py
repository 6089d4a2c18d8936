"""The footage of the measurements: the demo's scene and checkpoint, so that anyone can run them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lookout.models.base import initial_items
from lookout.models.checkpoint.file import Checkpoint, load_checkpoint, save_checkpoint
from lookout.models.media.preprocess import Preprocess
from lookout.models.registry import make_model, sized
from lookout.service.core.settings import SHIPPED_MODELS
from lookout.service.demo.scene import Scene, write_clip

MODEL = SHIPPED_MODELS / "square.safetensors"


def full_size(name: str = "mnad-pred", **sizes: int) -> Checkpoint:
    """A model at its published sizes, or at others; weights do not matter for its speed."""
    config = sized(name, **sizes)
    model = make_model(name, config).eval().requires_grad_(False)
    return Checkpoint(name, model, initial_items(model), config, Preprocess(), None, {})


def full_size_file(folder: Path) -> Path:
    """Return the checkpoint as a file, written once.

    Its bounds are the demo model's, and as meaningless as its weights.
    """
    path = folder / "full.safetensors"
    if not path.exists():
        save_checkpoint(path, replace(full_size(), calibration=load_checkpoint(MODEL).calibration))
    return path


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
