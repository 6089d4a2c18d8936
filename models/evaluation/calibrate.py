"""Calibration: bounds of PSNR, distance and gate error of normal clips, in a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lookout.models.checkpoint.file import Checkpoint
from lookout.models.data.clips import STRICT, MemoryLimit, Reading, clip_parts
from lookout.models.device import Precision
from lookout.models.evaluation.clip_scores import ClipScorer, ClipScores
from lookout.models.scorer import Scorer
from lookout.models.scoring.calibration import Bounds


def calibrate(
    checkpoint: Checkpoint,
    clips: list[Path],
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
    reading: Reading = STRICT,
    on_frame: Callable[[], None] = lambda: None,
) -> Checkpoint:
    """Return the checkpoint with bounds from normal clips, scored with the published update.

    Each part of a clip begins with the trained memory; one clip at a time is in memory. Clips that
    were not trained on are better: on the others the model is too good.

    Raises DataError, VideoError, and CheckpointError where a score is not finite.
    """
    scorer = Scorer(checkpoint, device, precision)
    preprocess = scorer.checkpoint.preprocess
    # All are checked before the first is decoded.
    limits = [MemoryLimit([path], preprocess, reading.sample_fps) for path in clips]
    scored: list[ClipScores] = []
    for path, memory in zip(clips, limits, strict=True):
        parts = clip_parts(path, preprocess, scorer.t_length, reading, memory)
        while parts:
            clip = ClipScorer(scorer).score(path.stem, parts.pop(0), on_frame=on_frame)
            scored.append(clip)
    bounds = Bounds.of(
        np.concatenate([clip.psnr_db for clip in scored]),
        np.concatenate([clip.distance for clip in scored]),
        np.concatenate([clip.gate_error for clip in scored]),
        np.concatenate([clip.local_db for clip in scored]),
    )
    note: dict[str, object] = {"clips": len(clips), "frames": bounds.frames, "precision": precision}
    if reading.sample_fps is not None:
        note["sample_fps"] = reading.sample_fps
    return dataclasses.replace(
        checkpoint, calibration=bounds, provenance={**checkpoint.provenance, "calibration": note}
    )
