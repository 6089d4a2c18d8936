"""One forward pass for many cameras: windows in, scores and heatmaps out, each camera's memory its own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from models.scorer import Scored, Scorer
from service.inference.line import CameraLine
from service.messages import Frame, Heat, Score

Ready = tuple[CameraLine, list[Frame]]
Result = tuple[Score, Heat]


def batches(ready: Sequence[Ready], most: int) -> list[list[Ready]]:
    """Group by checkpoint, `most` cameras a batch, in the given order."""
    groups: dict[int, list[Ready]] = {}
    for item in ready:
        groups.setdefault(id(item[0].scorer), []).append(item)
    return [group[i : i + most] for group in groups.values() for i in range(0, len(group), most)]


def score_batch(batch: Sequence[Ready], now: Callable[[], float] = time.time) -> list[Result]:
    """Score one clip of each camera (all of one checkpoint); moves each camera's memory and learner on."""
    scorer: Scorer = batch[0][0].scorer
    clips = [np.stack([frame.pixels for frame in frames]) for _, frames in batch]
    scored = scorer.step(clips, torch.stack([line.items for line, _ in batch]))
    return _results(batch, scored, now())


def _results(batch: Sequence[Ready], scored: Scored, scored_at: float) -> list[Result]:
    # One transfer a step: everything that leaves the device, (B, 4) and (B, 64, 64).
    numbers = torch.stack(
        (scored.psnr_db, scored.distance, scored.gate_error, scored.memory_updated.float()), dim=1
    ).tolist()
    cells = (scored.heat * 65535).round().clamp(0, 65535).to(torch.int32).cpu().numpy().astype(np.uint16)
    results = []
    for i, (line, frames) in enumerate(batch):
        line.items = scored.items[i]
        results.append((_score(line, frames[-1], numbers[i], scored_at), _heat(frames[-1], cells[i])))
    return results


def _score(line: CameraLine, frame: Frame, numbers: list[float], scored_at: float) -> Score:
    psnr, distance, gate, updated = numbers
    value = line.learner.value(psnr, distance, line.scorer.checkpoint.config.lambda_)
    return Score(
        camera=frame.camera,
        session=frame.session,
        seq=frame.seq,
        captured_at=frame.captured_at,
        scored_at=scored_at,
        model=line.camera.model,
        psnr_db=_finite(psnr),
        distance=_finite(distance),
        gate_error=_finite(gate),
        memory_updated=bool(updated),
        value=None if value is None else _finite(value),
    )


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _heat(frame: Frame, cells: np.ndarray[tuple[int, ...], np.dtype[np.uint16]]) -> Heat:
    return Heat(frame.camera, frame.session, frame.seq, cells)
