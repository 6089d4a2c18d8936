"""Measure a model step against what the machine can do, for each model.

A step is upload, predict, measure, gate, update and heatmap.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.device import Precision, choose_precision
from lookout.models.registry import MODELS
from lookout.models.scorer import Scorer
from tests.bench.footage import MODEL, full_size, median_s
from tests.bench.table import Row

COMMAND = "python -m tests.bench engine"

LIVE = {
    "riad": {"width": 16},
    "intra": {"width": 128, "blocks": 6, "heads": 4},
    "scadn": {"width": 8, "blocks": 4},
    "smai": {"width": 8},
}
"""Sizes at which a camera can have the live form of a model."""

TOO_SLOW = ("intra", "smai")
"""Models whose exact form at published sizes takes minutes a frame on a CPU."""


def report(_: Path, repeats: int = 9, batch: int = 8) -> Iterator[Row]:
    """Yield the rows of the compact and the full network, then one for each model."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    compact = Scorer(load_checkpoint(MODEL), device, choose_precision("auto", device))
    full = Scorer(full_size(), device, choose_precision("auto", device))
    rate = flop_rate(device, compact.precision, repeats)
    for name, scorer, to_reach in (("compact", compact, 1.8), ("full", full, None)):
        step_s = time_of_steps(scorer, 1, repeats)
        yield Row(
            f"{name} step, {scorer.precision}, beside its FLOP at the machine's rate (ms)",
            1000 * step_s,
            COMMAND,
            1000 * flop(scorer) / rate,
            to_reach,
        )
        yield Row(
            f"{batch} cameras at once, {name}, beside single steps (frames/s)",
            batch / time_of_steps(scorer, batch, repeats),
            COMMAND,
            1 / step_s,
            1.5 if name == "compact" else None,
            "higher",
        )
    for model in MODELS:
        yield published_step(model, device, repeats)
    for model, sizes in LIVE.items():
        yield from live_step(model, sizes, device, repeats)


def flop_rate(device: str, precision: Precision, repeats: int, size: int = 1536) -> float:
    """Return the FLOP/s of a large matrix product in the given precision."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.randn(size, size, device=device, dtype=dtype)

    def product() -> float:
        return float((a @ a)[0, 0])

    return 2 * float(size) ** 3 / median_s(product, repeats)


def flop(scorer: Scorer) -> int:
    """Return the FLOP of one forward pass."""
    clip = scorer.normalise(pictures(scorer, 1))
    past = clip[:, : clip.shape[1] - (clip.shape[1] > 1) * 3]
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        scorer.network(past, scorer.fresh_items()[None])
    return int(counter.get_total_flops())


def pictures(scorer: Scorer, batch: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """Return clips of noise."""
    rng = np.random.default_rng(0)
    config = scorer.checkpoint.config
    shape = (scorer.t_length, config.height_px, config.width_px, 3)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(batch)]


def time_of_steps(scorer: Scorer, batch: int, repeats: int) -> float:
    """Return the seconds of a step of a batch of clips."""
    clips = pictures(scorer, batch)
    items = torch.stack([scorer.fresh_items()] * batch)

    def step() -> list[float]:
        numbers: list[float] = scorer.step(clips, items).psnr_db.tolist()
        return numbers

    return median_s(step, repeats)


def published_step(model: str, device: str, repeats: int) -> Row:
    """Return the row of a model at its published sizes, one camera at a time."""
    if model in TOO_SLOW:
        return Row(f"{model} as published (frames/s)", None, COMMAND)
    scorer = Scorer(full_size(model), device, choose_precision("auto", device))
    step_s = time_of_steps(scorer, 1, repeats)
    return Row(f"{model} as published, {scorer.precision} (frames/s)", 1 / step_s, COMMAND)


def live_step(model: str, sizes: dict[str, int], device: str, repeats: int) -> Iterator[Row]:
    """Yield the rate of a model's live form at sizes that fit a camera, and its CPU time."""
    scorer = Scorer(full_size(model, **sizes), device, "fp32")
    rng = np.random.default_rng(0)
    background = cv2.resize(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), (256, 256))
    items = scorer.fresh_items()[None]
    numbers = count()
    carried: list[torch.Tensor | None] = [None]

    def step() -> float:
        """Score the next frame: soft blobs, noise, and a square of 32 px that moves."""
        number = next(numbers)
        noise = rng.integers(0, 4, background.shape, dtype=np.uint8)
        frame = np.asarray(background + noise, np.uint8)
        frame[100:132, 2 * number % 224 : 2 * number % 224 + 32] = 255
        scored = scorer.step([frame[None]], items, numbers=[number], carried=carried)
        carried[0] = scored.carried[0] if scored.carried else None
        return scored.psnr_db.item()

    step_s = median_s(step, repeats)
    before_s = time.process_time()
    for _ in range(repeats):
        step()
    cpu_s = (time.process_time() - before_s) / repeats
    given = " ".join(f"{name} {size}" for name, size in sizes.items())
    yield Row(
        f"{model} live ({given}), fp32 (frames/s)",
        1 / step_s,
        COMMAND,
        to_reach=5.0,
        better="higher",
    )
    yield Row(f"{model} live ({given}), fp32, CPU a frame (ms)", 1000 * cpu_s, COMMAND)
