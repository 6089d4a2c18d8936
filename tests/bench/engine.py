"""Measure a model step against the bare forward pass, for each model.

A step is upload, predict, measure, gate, update and heatmap.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import torch

from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.device import choose_precision
from lookout.models.registry import MODELS
from lookout.models.scorer import Scorer
from tests.bench.footage import MODEL, full_size, median_s

LIVE = {"riad": {"width": 16}, "scadn": {"width": 8, "blocks": 4}}
"""Sizes at which a camera can have the live form of a model."""


def report(_: Path, repeats: int = 9, batches: tuple[int, ...] = (1, 2, 4, 8)) -> Iterator[str]:
    """Yield a line for each checkpoint and batch size, then one for each model."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for name, checkpoint in (
        ("square (width 16)", load_checkpoint(MODEL)),
        ("full (width 64)", full_size()),
    ):
        scorer = Scorer(checkpoint, device, choose_precision("auto", device))
        for batch in batches:
            yield _line(name, scorer, batch, repeats)
    for model in MODELS:
        yield _step_of(model, device, repeats)
    for model, sizes in LIVE.items():
        yield _live_step(model, sizes, device, repeats)


def _step_of(model: str, device: str, repeats: int) -> str:
    """Return the line about a model at its published sizes, one camera at a time."""
    scorer = Scorer(full_size(model), device, choose_precision("auto", device))
    clip = np.random.default_rng(0).integers(0, 256, (scorer.t_length, 256, 256, 3), dtype=np.uint8)
    items = scorer.fresh_items()[None]

    def step() -> float:
        return scorer.step([clip], items).psnr_db.item()

    step_s = median_s(step, repeats)
    return (
        f"{model} as published, {scorer.precision}: "
        f"step {1000 * step_s:.1f} ms, {1 / step_s:.1f} frames/s"
    )


def _live_step(model: str, sizes: dict[str, int], device: str, repeats: int) -> str:
    """Return the line about a model's live form, at sizes that fit a camera."""
    scorer = Scorer(full_size(model, **sizes), device, "fp32")
    clip = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    items = scorer.fresh_items()[None]
    numbers = count()

    def step() -> float:
        return scorer.step([clip], items, numbers=[next(numbers)]).psnr_db.item()

    step_s = median_s(step, repeats)
    before_s = time.process_time()
    for _ in range(repeats):
        step()
    cpu_s = (time.process_time() - before_s) / repeats
    given = " ".join(f"{name} {size}" for name, size in sizes.items())
    threads = torch.get_num_threads()
    return (
        f"{model} live ({given}), fp32, {device}, {threads} threads: "
        f"step {1000 * step_s:.1f} ms, {1 / step_s:.1f} frames/s; CPU {1000 * cpu_s:.0f} ms a frame"
    )


def _line(name: str, scorer: Scorer, batch: int, repeats: int) -> str:
    """Return the time of a step and of the bare forward pass, in a batch of `batch` clips."""
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 256, (5, 256, 256, 3), dtype=np.uint8) for _ in range(batch)]
    items = torch.stack([scorer.fresh_items()] * batch)
    past = scorer.normalise(clips)[:, :-3]

    @torch.inference_mode()
    def forward() -> float:
        with torch.autocast(scorer.device.type, torch.bfloat16, enabled=scorer.precision == "bf16"):
            return float(scorer.network(past, items).frame[0, 0, 0, 0])

    def step() -> list[float]:
        numbers: list[float] = scorer.step(clips, items).psnr_db.tolist()
        return numbers

    bare_s, step_s = median_s(forward, repeats), median_s(step, repeats)
    return (
        f"{name}, {scorer.precision}, batch {batch}: step {1000 * step_s / batch:.1f} ms a frame, "
        f"bare forward {1000 * bare_s / batch:.1f} ms a frame, ratio {step_s / bare_s:.2f}"
    )
