"""One forward pass for many cameras: windows in, scores and heatmaps out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from lookout.models.scorer import Scorer
from lookout.service.core.messages import Frame
from lookout.service.inference.camera_line import CameraLine

ReadyFrame = tuple[CameraLine, Frame]
"""A frame to score, and its line, whose `frames.clip` is the frame's window."""


def groups(lines: Sequence[CameraLine], largest: int) -> list[list[CameraLine]]:
    """Return the lines that may share a forward pass, in order.

    A group has one checkpoint and at most `largest` lines.
    """
    alike: dict[int, list[CameraLine]] = {}
    for line in lines:
        alike.setdefault(id(line.scorer), []).append(line)
    return [
        group[i : i + largest] for group in alike.values() for i in range(0, len(group), largest)
    ]


def repeat_still(
    batch: Sequence[ReadyFrame], now: Callable[[], float] = time.time
) -> list[ReadyFrame]:
    """Give the last score to each frame whose picture is still; return the others, to be scored.

    now: Unix time in seconds.
    """
    to_score: list[ReadyFrame] = []
    for line, frame in batch:
        if line.reuses(frame):
            line.repeat(frame, now())
        else:
            to_score.append((line, frame))
    return to_score


def score_batch(
    batch: Sequence[ReadyFrame], now: Callable[[], float] = time.time
) -> list[tuple[CameraLine, Exception]]:
    """Score one frame of each line in one forward pass; return the lines that failed with errors.

    batch: lines of one checkpoint. now: Unix time in seconds.
    Raises whatever the forward pass raises, and then has changed no line.
    """
    scorer: Scorer = batch[0][0].scorer
    clips = scorer.normalise(torch.stack([line.frames.clip() for line, _ in batch]))
    items = torch.stack([line.state.items for line, _ in batch])
    rules = [line.state.rule for line, _ in batch]
    numbers = [frame.seq for _, frame in batch]
    weights = None
    if any(line.weights is not None for line, _ in batch):
        alike = clips.new_ones(clips.shape[2:])  # (H, W)
        weights = torch.stack(
            [alike if line.weights is None else line.weights for line, _ in batch]
        )
    carried = [line.state.carried(frame.session) for line, frame in batch]
    step = scorer.step_normalised(clips, items, rules, weights, numbers, carried)
    outputs = step.samples()
    motions = [line.motion(frame) for line, frame in batch]
    scored_at = now()
    failed: list[tuple[CameraLine, Exception]] = []
    for (line, frame), output, motion in zip(batch, outputs, motions, strict=True):
        try:
            line.record(frame, output, scored_at, motion)
        except Exception as error:  # of one camera: the others' scores count
            failed.append((line, error))
    return failed
