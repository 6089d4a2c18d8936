"""What is normal, in numbers: bounds of PSNR, distance and gate error from normal clips, stored in the checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lookout.models.checkpoint.file import Checkpoint
from lookout.models.data.clips import STRICT, Reading, Room, clip_parts
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
    """The same checkpoint with bounds taken from normal clips, the published update at work.

    Better on clips that were not trained on: on those the model is too good. Raises DataError, VideoError,
    and CheckpointError where a score is no finite number.
    """
    scored = list(_scored(Scorer(checkpoint, device, precision), clips, reading, on_frame))
    bounds = Bounds.of(
        np.concatenate([clip.psnr_db for clip in scored]),
        np.concatenate([clip.distance for clip in scored]),
        np.concatenate([clip.gate_error for clip in scored]),
        np.concatenate([clip.local_db for clip in scored]),
    )
    checkpoint.model.cpu()
    note: dict[str, object] = {"clips": len(clips), "frames": bounds.frames, "precision": precision}
    note |= {} if reading.sample_fps is None else {"sample_fps": reading.sample_fps}
    return dataclasses.replace(
        checkpoint, calibration=bounds, provenance={**checkpoint.provenance, "calibration": note}
    )


def _scored(
    scorer: Scorer, clips: list[Path], reading: Reading, on_frame: Callable[[], None]
) -> Iterator[ClipScores]:
    """Each part of each clip, beginning with the trained memory. One clip at a time is in memory."""
    preprocess = scorer.checkpoint.preprocess
    rooms = [
        Room([path], preprocess, reading.sample_fps) for path in clips
    ]  # refuses before the first is decoded
    for path, room in zip(clips, rooms, strict=True):
        parts = clip_parts(path, preprocess, scorer.t_length, reading, room)
        while parts:
            yield ClipScorer(scorer).score(path.stem, parts.pop(0), on_frame=on_frame)
